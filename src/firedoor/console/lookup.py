"""Releases by the beginning of their id."""

from firedoor.console.model import ReleaseView
from firedoor.console.reading import ReadModel
from firedoor.core.errors import BadInput, NotFound
from firedoor.core.release import id_prefix


def release_named(read: ReadModel, text: str) -> ReleaseView:
    """The one release whose id begins with ``text``.

    Raises:
        BadInput: It is no beginning of an id, or of more than one.
        NotFound: No release begins so.
    """
    prefix = id_prefix(text)
    found = read.match(prefix)
    if len(found) > 1:
        raise BadInput(f"more than one release begins with {prefix}", hint="give more digits")
    view = read.release(found[0]) if found else None
    if view is None:
        raise NotFound(f"no release {prefix}")
    return view
