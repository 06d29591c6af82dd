"""Errors as RFC 9457 problem details: one table from the error tree to HTTP."""

from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from firedoor.core.errors import (
    BadInput,
    FiredoorError,
    IllegalTransition,
    NotAllowed,
    NotFound,
    Rejected,
    TooLarge,
    Unavailable,
    Untrusted,
)

RETRY_AFTER_S = "2"

# The first class that matches: subclasses stand before their bases.
STATUS: tuple[tuple[type[FiredoorError], int], ...] = (
    (BadInput, 400),
    (NotAllowed, 403),
    (NotFound, 404),
    (IllegalTransition, 409),
    (TooLarge, 413),
    (Rejected, 400),
    (Untrusted, 502),
    (Unavailable, 503),
)

TITLES: Mapping[int, str] = {
    400: "the request makes no sense",
    401: "who is asking?",
    403: "not allowed",
    404: "not found",
    405: "not with this method",
    409: "the door does not accept this now",
    412: "the judge does not say so",
    413: "the body is too large",
    415: "the body is of another kind",
    421: "not served under this name",
    500: "a mistake in Firedoor",
    502: "the bytes do not verify",
    503: "not now, try again",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success.

    Attributes:
        type: ``firedoor:`` and the class of the error, or ``about:blank``.
        title: The same sentence for every problem of this status.
        status: The HTTP status again.
        detail: What went wrong this time.
        hint: What a person may do about it.
    """

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    hint: str = ""


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "about:blank",
    hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make the response for one problem.

    Args:
        status: HTTP status, 400 to 599.
        detail: What went wrong this time; goes to the caller as it is.
        kind: The problem's ``type``.
        hint: What a person may do about it.
        headers: Headers to add.
    """
    body = Problem(
        type=kind, title=TITLES.get(status, "refused"), status=status, detail=detail, hint=hint
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


async def on_error(_request: Request, error: Exception) -> Response:
    """Answer an error of the tree, or one the routing raised; for Starlette's handler table.

    Anything else is a mistake of ours: its text may name what the caller must not see.
    """
    match error:
        case FiredoorError():
            status = next(code for cls, code in STATUS if isinstance(error, cls))
            headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else {}  # noqa: PLR2004
            kind = f"firedoor:{type(error).__name__}"
            return problem(status, str(error), kind=kind, hint=error.hint, headers=headers)
        case HTTPException(status_code=status, detail=detail, headers=headers):
            return problem(status, detail, headers=headers)
        case _:
            return problem(500, "the request could not be answered; the log says why")
