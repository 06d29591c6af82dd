"""Fallbacks: what a ring is served when the release it was served is contained.

That is the newest open release before it whose bytes are all held: they may have been swept, or
have rotted. What machines are served already is never asked about: a file that rotted is fetched
again, and its fleet stays where it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firedoor.core.board import Board
from firedoor.core.errors import Unavailable
from firedoor.services.lines import Line

Held = Callable[[str], bool]
"""Says whether all bytes of a release are held, and keeps them from being swept."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a ring is served.

    Attributes:
        base: Boarding number, 0 for nothing.
        missing: Newer open boardings that have to be passed over, newest first.
        lacking: The ring fell, and nothing that is whole is left.
    """

    base: int
    missing: tuple[int, ...] = ()
    lacking: bool = False


class Fallback:
    """Remembers what every ring is served, so that it sees one fall back."""

    def __init__(self, held: Held, board: Board) -> None:
        """Begin with what was decided last.

        Args:
            held: Asks the blob store.
            board: The last that was published.
        """
        self._held = held
        self._served = {
            (channel.name, lane.ring): lane.base
            for channel in board.channels
            for lane in channel.lanes
        }

    def find(self, channel: str, ring: str, open_lines: Sequence[Line]) -> Found:
        """What a ring is served from now on.

        Args:
            channel: Its name.
            ring: Its name.
            open_lines: Boardings that are open in the ring, newest first.
        """
        found = self._find(channel, ring, open_lines)
        self._served[(channel, ring)] = found.base
        return found

    def is_held(self, release: str) -> bool:
        """Say whether all bytes of a release are held, and keep them; True if nobody knows.

        Containing a release must not wait for a disk that does not answer.
        """
        try:
            return self._held(release)
        except Unavailable:
            return True

    def _find(self, channel: str, ring: str, open_lines: Sequence[Line]) -> Found:
        base = open_lines[0].boarding.number if open_lines else 0
        if base >= self._served.get((channel, ring), base):
            return Found(base)
        missing: list[int] = []
        for line in open_lines:
            if self.is_held(line.boarding.release):
                return Found(line.boarding.number, tuple(missing))
            missing.append(line.boarding.number)
        # Part of a release is no worse than none: a client that misses a file keeps what it has.
        return Found(base, lacking=True)
