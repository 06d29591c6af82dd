"""Releases by the beginning of their id."""

from typing import Final

from firedoor.console.model import ReadModel, ReleaseView
from firedoor.core.errors import BadInput, NotFound

SHORTEST_PREFIX: Final = 8
"""Digits of a release id that an address has to have at least."""

_ID_DIGITS = 64
_HEX = frozenset("0123456789abcdef")


def release_named(read: ReadModel, text: str) -> ReleaseView:
    """The one release whose id begins with ``text``.

    Raises:
        BadInput: It is no beginning of an id, or of more than one.
        NotFound: No release begins so.
    """
    prefix = text.lower()
    if not _HEX.issuperset(prefix) or not SHORTEST_PREFIX <= len(prefix) <= _ID_DIGITS:
        raise BadInput(
            f"{prefix!r} is no release id",
            hint=f"give {SHORTEST_PREFIX} to {_ID_DIGITS} hexadecimal digits of it",
        )
    found = read.match(prefix)
    if len(found) > 1:
        raise BadInput(f"more than one release begins with {prefix}", hint="give more digits")
    view = read.release(found[0]) if found else None
    if view is None:
        raise NotFound(f"no release {prefix}")
    return view
