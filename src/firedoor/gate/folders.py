"""Index pages of a release's folders, for clients and people that find their way by links.

A release is read through once, when somebody first asks for a folder; a page is made once.
"""

import html
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

_HEAD: Final = "<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<pre>\n"
_PAGES: Final = 256
"""Pages kept at a time."""


class Folders:
    """The folders of one release."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Nothing is read yet.

        Args:
            paths: All files; kept, and must not change.
        """
        self._paths = paths
        self._names: dict[str, set[str]] | None = None
        self._pages: dict[str, bytes] = {}

    def has(self, folder: str) -> bool:
        """Say whether there is a folder ("" or ending in a slash)."""
        return folder in self._folders()

    def page(self, folder: str) -> bytes | None:
        """An index page of a folder ("" or ending in a slash), or None if there is no such one.

        The format is what mirroring clients read: one link a line, folders with a slash.
        """
        page = self._pages.get(folder)
        if page is None:
            names = self._folders().get(folder)
            if names is None:
                return None
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            page = self._pages[folder] = _page(folder, sorted(names))
        return page

    def _folders(self) -> dict[str, set[str]]:
        if self._names is None:
            self._names = _names_by_folder(self._paths)
        return self._names


def _names_by_folder(paths: Iterable[str]) -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder, slash, name = path.rpartition("/")
        folder += slash
        # Up to the first folder that another file has entered into its own already.
        while folder not in folders:
            folders[folder] = {name}
            if not folder:
                break
            folder, slash, name = folder[:-1].rpartition("/")
            folder, name = folder + slash, f"{name}/"
        else:
            folders[folder].add(name)
    return folders


def _page(folder: str, names: Iterable[str]) -> bytes:
    title = html.escape(f"Index of /{folder}")
    links = ['<a href="../">../</a>'] if folder else []
    # With "./" a name with a colon is a name, and not an address of some scheme.
    links += [f'<a href="./{quote(name)}">{html.escape(name)}</a>' for name in names]
    return (_HEAD.format(title=title) + "\n".join(links) + "\n</pre>\n").encode()
