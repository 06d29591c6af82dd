"""How far a look at an upstream has got: told in a file, for people who wait for it.

The first look at a distribution brings gigabytes. Whoever asks sees files and bytes, and when it
was told last: a judge that was killed takes nothing back.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from firedoor.ports import Clock

_EVERY_MS: Final = 1_000
_STALE_MS: Final = 120_000
"""One large file may take so long; what was not told anew for longer is of nobody who looks."""


class Progress(msgspec.Struct, frozen=True):
    """How far a look has got.

    Attributes:
        since_ms: When it had read what upstream has, wall clock.
        told_ms: When this was so, wall clock.
        files: Files that are in place.
        of_files: Files that have to be.
        size: Bytes of those that are in place.
        of_size: Bytes of all of them, as far as upstream says; 0 where it does not.
    """

    since_ms: int
    told_ms: int
    files: int
    of_files: int
    size: int
    of_size: int


class Looking:
    """Tells of one channel's looks, one after the other. One thread at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Nothing is told before ``begin``.

        Args:
            path: The file; its folder is made.
            clock: For when.
        """
        self._path = path
        self._clock = clock

    def begin(self, files: int, size: int) -> Callable[[int], None]:
        """A look knows what has to be there; call what is returned with the size of each file.

        Args:
            files: How many.
            size: Bytes of all of them, as far as upstream says.
        """
        since = self._clock.now().wall_ms
        done, held, told = 0, 0, 0

        def arrived(size_of_one: int) -> None:
            nonlocal done, held, told
            done, held = done + 1, held + size_of_one
            now = self._clock.now().wall_ms
            if now - told >= _EVERY_MS:
                told = now
                self._write(Progress(since, now, done, max(files, done), held, size))

        self._write(Progress(since, since, 0, files, 0, size))
        return arrived

    def end(self) -> None:
        """The look is over."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, progress: Progress) -> None:
        # Whether people can see it must not decide whether it goes on.
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            beside = self._path.with_suffix(".new")
            beside.write_bytes(msgspec.json.encode(progress))
            beside.replace(self._path)


def progress_of(path: Path, now_ms: int) -> Progress | None:
    """What was told last of a look that is under way, or None.

    Args:
        path: The file.
        now_ms: Wall clock.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return None
    return found if abs(now_ms - found.told_ms) < _STALE_MS else None
