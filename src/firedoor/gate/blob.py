"""Reading a blob for one reply, without letting a slow disk hold up the others.

What is in the page cache is read at once, in the event loop: a thread would cost more than the
copy. Only what the disk has to fetch goes to a thread.
"""

import asyncio
import os
from types import TracebackType
from typing import Final, Self

from firedoor.core.errors import Unavailable

# Linux: read from the page cache or fail, never wait. Elsewhere every read goes to a thread.
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", None)


def check_blob(path: str, size: int) -> None:
    """Make sure that a blob is there and as long as the manifest says.

    Raises:
        Unavailable: It is not.
    """
    try:
        held = os.stat(path).st_size  # noqa: PTH116 - once a reply; a Path costs as much again
    except OSError as error:
        raise Unavailable(f"the blob cannot be read: {error.strerror}") from error
    _check_size(held, size)


class OpenBlob:
    """A blob open for reading; a context manager."""

    def __init__(self, path: str, size: int) -> None:
        """Open it, and make sure that it is as long as the manifest says.

        Raises:
            Unavailable: It is missing, unreadable or of another length.
        """
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"the blob cannot be read: {error.strerror}") from error
        try:
            _check_size(os.fstat(self._fd).st_size, size)
        except Unavailable:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    async def read(self, part: range) -> bytes:
        """All bytes at the positions of ``part``.

        Raises:
            Unavailable: The disk fails, or the file was cut since it was opened.
        """
        pieces: list[bytes] = []
        at = part.start
        try:
            while at < part.stop:
                piece = self._read_now(part.stop - at, at)
                if piece is None:
                    piece = await self._read_later(part.stop - at, at)
                if not piece:
                    raise Unavailable("the blob became shorter while it was read")
                pieces.append(piece)
                at += len(piece)
        except OSError as error:
            raise Unavailable(f"the blob cannot be read: {error.strerror}") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fileno(self) -> int:
        """The descriptor, for a server that reads by itself."""
        return self._fd

    async def bring(self, part: range) -> None:
        """Have the bytes of ``part`` (not empty) read from the disk, so that nobody waits for them.

        Whether they are in the page cache is asked for the first and the last one: what lies
        between was read with them, and goes with them.

        Raises:
            Unavailable: The disk fails, or the file was cut since it was opened.
        """
        try:
            for at in (part[0], part[-1]):
                found = self._read_now(1, at)
                if found is None:
                    found = await self._read_later(len(part), part.start)
                if not found:
                    raise Unavailable("the blob became shorter while it was read")
        except OSError as error:
            raise Unavailable(f"the blob cannot be read: {error.strerror}") from error

    def _read_now(self, length: int, at: int) -> bytes | None:
        """What the page cache has, or None if the disk would have to work."""
        if _NOWAIT is None:
            return None
        buffer = bytearray(length)
        try:
            got = os.preadv(self._fd, [buffer], at, _NOWAIT)
        except OSError:
            return None  # not cached, or a file system without this call; an error will come again
        return bytes(buffer) if got == length else bytes(buffer[:got])

    async def _read_later(self, length: int, at: int) -> bytes:
        # A reader that is cancelled leaves its thread behind for one read. The thread has its own
        # descriptor, or it might read from whatever is opened next under the same number; and it
        # is shielded, so that it surely runs and closes it.
        fd = os.dup(self._fd)

        def read() -> bytes:
            try:
                return os.pread(fd, length, at)
            finally:
                os.close(fd)

        return await asyncio.shield(asyncio.to_thread(read))


def _check_size(held: int, size: int) -> None:
    if held != size:
        raise Unavailable(f"the blob has {held} bytes, the manifest says {size}")
