"""Acting: the console's API, asked with the console token, so that the running judge decides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import urllib3

from firedoor.adapters.keys.file import load_token
from firedoor.cli import output
from firedoor.cli.context import Place, login_user
from firedoor.console.model import Outcome
from firedoor.console.problem import Problem
from firedoor.core import errors
from firedoor.core.errors import BadInput, FiredoorError, NotAllowed, Rejected, Unavailable

_PATIENCE_S: Final = 60.0
_TURNED_AWAY: Final = (401, 403)
_UNKNOWN: Final = 500

ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it goes on the record.")
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        show_default=False,
        help="Who asks, for the record; else your login name.",
    ),
]
ApprovedOption = Annotated[
    str,
    typer.Option(
        "--approved-by",
        metavar="NAME",
        show_default=False,
        help="The second person, where the policy wants one.",
    ),
]
RingOption = Annotated[
    str,
    typer.Option(
        "--ring", metavar="RING", show_default=False, help="Only this ring; else all of them."
    ),
]
ConsoleOption = Annotated[
    str,
    typer.Option(
        "--console",
        metavar="URL",
        envvar="FIREDOOR_CONSOLE",
        show_default=False,
        help="Where the console listens; else as configured.",
    ),
]


class Client:
    """Asks the console of one installation.

    Args:
        address: ``http://host:port``.
        token_file: Where the console token lies; it is read for each request.
    """

    def __init__(self, address: str, token_file: Path) -> None:
        self._address = address.rstrip("/")
        self._token_file = token_file

    def act(self, path: str, action: Mapping[str, object]) -> Outcome:
        """Ask for one thing and wait until it has been decided.

        Args:
            path: Path of the operation below ``/api/``.
            action: The body; entries that are empty are left out.

        Raises:
            Rejected: It was refused; nothing changed. The subclass says why.
            Unavailable: The console does not answer, or nobody decided in time.
            BadConfig: The token cannot be read.
        """
        body = msgspec.json.encode({k: v for k, v in action.items() if v not in ("", None, False)})
        headers = {
            "Authorization": f"Bearer {load_token(self._token_file)}",
            "Content-Type": "application/json",
        }
        # A request that acts is never sent twice: the first may have been heard.
        asking = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5.0, read=_PATIENCE_S), retries=False
        )
        with asking:
            try:
                answer = asking.request(
                    "POST", f"{self._address}/api/{path}", body=body, headers=headers
                )
            except urllib3.exceptions.ReadTimeoutError as error:
                raise Unavailable(
                    f"the console took the request and has not answered in {_PATIENCE_S:.0f} s",
                    hint="look at firedoor ledger show before you repeat it",
                ) from error
            except urllib3.exceptions.HTTPError as error:
                raise Unavailable(
                    f"no console answers at {self._address}",
                    hint="start it with firedoor up; --console URL asks another",
                ) from error
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own
            raise _refusal(answer.status, answer.data)
        return msgspec.json.decode(answer.data, type=Outcome)


def act(
    place: Place, console: str, path: str, *, by: str | None, as_json: bool, **action: object
) -> None:
    """Ask for one thing and print what came of it.

    Raises:
        BadInput: ``by`` names nobody.
        FiredoorError: As ``Client.act``.
        typer.Exit: Nothing has moved: the order waits for a second person.
    """
    if by is not None and not by.strip():
        # A script whose variable was empty must not act in the name of whoever runs it.
        raise BadInput("--by names nobody", hint="leave it out to act under your login name")
    client = Client(console or address(place), place.files.console_token)
    outcome = client.act(path, {"by": by or login_user(), **action})
    if as_json:
        output.document(outcome)
        return
    output.line(outcome.sentence)
    if outcome.order:
        raise typer.Exit(1)
    if outcome.door:
        rows = [
            (name, door.state.value, door.reason.value, door.budget)
            for name, door in outcome.door.items()
        ]
        output.table(("ring", "state", "reason", "budget"), rows)


def address(place: Place) -> str:
    """URL of the console as configured.

    Raises:
        Unavailable: It takes any free port, which only whoever started it knows.
    """
    listen = place.config.console.listen
    if not listen.port:
        raise Unavailable(
            "console.listen takes any free port, so nobody knows where it is",
            hint="name the one that firedoor up printed with --console URL",
        )
    return f"http://{listen}"


def _refusal(status: int, body: bytes) -> FiredoorError:
    """The error behind a problem document, as the class it was raised as."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        return Unavailable(f"what answers is no console: status {status}")
    known = getattr(errors, problem.type.removeprefix("firedoor:"), None)
    if isinstance(known, type) and issubclass(known, FiredoorError):
        kind: type[FiredoorError] = known
    elif status in _TURNED_AWAY:
        kind = NotAllowed
    else:
        kind = Unavailable if status >= _UNKNOWN else Rejected
    return kind(problem.detail or problem.title, hint=problem.hint)
