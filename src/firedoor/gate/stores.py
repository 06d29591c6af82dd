"""The stores around the gate: what it reads of the judge, and where it writes."""

from collections.abc import Sequence
from typing import Protocol

from firedoor.core.board import Board
from firedoor.core.door import Door
from firedoor.core.release import Manifest
from firedoor.gate.committer import PlaceStore
from firedoor.ports import Instant
from firedoor.services.boarding import Boarding
from firedoor.services.places import Standing
from firedoor.services.records import Bucket, StoredRelease
from firedoor.services.roster import Habit
from firedoor.services.supply import Refusal, Wanted


class BoardSource(Protocol):
    """The judge's store, as the gate reads it. Raises Unavailable while there is none."""

    def version(self) -> int:
        """Changes whenever the judge has written."""
        ...

    def board(self) -> Board:
        """The newest board."""
        ...

    def last_tick(self) -> tuple[str, int, int] | None:
        """(boot, monotonic ms, wall ms) of the judge's last tick."""
        ...

    def release(self, release: str) -> StoredRelease | None:
        """A release, or None."""
        ...

    def boarding(self, channel: str, number: int) -> Boarding | None:
        """A boarding, or None."""
        ...

    def doors(self, channel: str, number: int) -> Sequence[Door]:
        """Doors of one boarding; none if there is no such."""
        ...

    def manifest(self, release: str) -> Manifest:
        """Its manifest."""
        ...

    def refusals_after(self, number: int) -> Sequence[Refusal]:
        """Files that the mirror could not fetch lately, above a row, oldest first."""
        ...

    def renewed_after(self, count: int) -> Sequence[tuple[int, str]]:
        """(number of the renewal, release) of those that upstream renewed later, by number."""
        ...


class BucketStore(PlaceStore, Protocol):
    """Where the gate writes.

    Attributes:
        placed: Row number of the last durable place.
    """

    placed: int

    def remember(self, habits: Sequence[Habit], standings: Sequence[Standing]) -> None:
        """Part of a bucket, ahead of it; all or nothing, and repeatable. Raises Unavailable."""
        ...

    def flush(self, bucket: Bucket, at: Instant) -> None:
        """One bucket, all or nothing. Raises Unavailable."""
        ...

    def prune(self, before_wall_ms: int) -> None:
        """Forget signs of life older than this. Raises Unavailable."""
        ...

    def want(self, file: Wanted, at: Instant) -> None:
        """Write down a file that a machine waits for. Raises Unavailable."""
        ...
