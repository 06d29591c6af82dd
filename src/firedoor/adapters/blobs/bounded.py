"""Blobs with a border: what is over it is refused before the disk is full.

The same store as the one behind it, for one use of it: new releases stop earlier than what
machines wait for.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest
from firedoor.services.room import STORAGE, Limits

_LOOK_BYTES: Final = 4 << 20


class BoundedBlobs:
    """A blob store that takes only what there is room for. Several threads at once.

    Each ``put`` looks at the room as it goes on, so several at a time may exceed a budget by what
    they have under way; what has to stay free on the disk they share as they write.

    Args:
        blobs: Where the bytes go.
        limits: What is allowed.
        urgent: As in ``Limits.room``.
    """

    def __init__(self, blobs: DiskBlobs, limits: Limits, *, urgent: bool = False) -> None:
        self._blobs = blobs
        self._limits = limits
        self._urgent = urgent
        self.path = blobs.path
        self.has = blobs.has
        self.claim = blobs.claim
        self.scrub = blobs.scrub

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """As of ``DiskBlobs``.

        Raises:
            Untrusted: The bytes hash to something else; nothing stays.
            Unavailable: There is no room, or nothing can be written; nothing stays.
        """
        return self._blobs.put(self._within(chunks), expected)

    def expect(self, files: Iterable[tuple[Digest, int]]) -> None:
        """Make sure that there is room for those of these files that are not stored yet.

        Args:
            files: Digests and sizes, bytes.

        Raises:
            Unavailable: There is not.
        """
        wanted = dict(files)
        space = self._blobs.space()
        room = self._limits.room(space, urgent=self._urgent)
        if sum(wanted.values()) <= room:
            return  # The usual case: nobody has to look which are there.
        needed = sum(size for digest, size in wanted.items() if not self._blobs.has(digest))
        if needed > max(0, room):
            raise Unavailable(STORAGE + self._limits.lacking(space, needed))

    def _within(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        unseen = taken = 0
        for chunk in chunks:
            if not taken or unseen >= _LOOK_BYTES:
                space = self._blobs.space()
                # What was taken is off the free space already, and not yet in what is used.
                if self._limits.room(space, urgent=self._urgent) < len(chunk):
                    why = self._limits.refusal(space, urgent=self._urgent)
                    raise Unavailable(STORAGE + why)
                unseen = 0
            unseen += len(chunk)
            taken += len(chunk)
            yield chunk
