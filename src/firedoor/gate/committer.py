"""Group commit: many admissions, one write to disk.

While one group is being written the next one gathers. Nothing is answered before its group is
durable, so a crash at any point leaves no machine exposed that is not on record; at most it
leaves a record of a machine that was never answered.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from firedoor.core.errors import Unavailable
from firedoor.ports import Clock, Instant
from firedoor.services.places import Cut, Place

_T = TypeVar("_T")


class PlaceStore(Protocol):
    """Where places become durable."""

    def commit(self, places: Sequence[Place], cuts: Sequence[Cut], at: Instant) -> None:
        """All or nothing; durable on return. Raises Unavailable: nothing was written."""
        ...


Recorded = Callable[[Unavailable | None], None]
"""Told that something is durable, or why it is not."""


class Group(asyncio.Future[Unavailable | None]):
    """What is written together. Done when it is durable; the result says why it is not.

    One future for all who wait, as one of each would cost as much as its row. So none of them may
    cancel it for the others: a group is written whatever becomes of a request.
    """

    def __init__(self) -> None:
        """Nobody is in it yet."""
        super().__init__(loop=asyncio.get_running_loop())
        self.places: list[Place] = []
        self.cuts: list[Cut] = []
        self._told: list[Recorded] = []

    def add(self, places: Sequence[Place], cuts: Sequence[Cut], told: Recorded | None) -> None:
        """Write these too."""
        self.places.extend(places)
        self.cuts.extend(cuts)
        if told is not None:
            self._told.append(told)

    def end(self, error: Unavailable | None) -> None:
        """Tell everybody: first what is to be remembered of it, then who waits."""
        try:
            for told in self._told:
                told(error)
        finally:
            self.set_result(error)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - a future's
        """Not for others."""
        return False


class Committer:
    """One writer thread, in the order of the calls."""

    def __init__(self, store: PlaceStore, clock: Clock) -> None:
        """Start the thread with the first call."""
        self._store = store
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "gate-writer")
        self._gathering: Group | None = None
        self._writing: asyncio.Task[None] | None = None

    def submit(
        self, places: Sequence[Place], cuts: Sequence[Cut], told: Recorded | None = None
    ) -> Group:
        """Stand in line at once, with all others that the next write takes.

        Args:
            places: In the order of the calls.
            cuts: Likewise.
            told: Called when it has ended, whether or not anybody waits for the group then.
        """
        group = self._gathering
        if group is None:
            group = self._gathering = Group()
        if self._writing is None:
            self._writing = asyncio.create_task(self._drain())
        group.add(places, cuts, told)
        return group

    async def commit(self, places: Sequence[Place], cuts: Sequence[Cut]) -> None:
        """Return when places and cuts are durable. Raises Unavailable: they are not."""
        error = await self.submit(places, cuts)
        if error is not None:
            raise error

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run other work on the writer thread, after what was committed before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Finish what is waiting and end the thread."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _drain(self) -> None:
        try:
            while (group := self._gathering) is not None:
                self._gathering = None
                # Whatever goes wrong, nobody may wait for ever for an answer.
                error: Unavailable | None = Unavailable("the writer of the gate failed")
                try:
                    error = await self.run(partial(self._write, group))
                finally:
                    group.end(error)
        finally:
            self._writing = None

    def _write(self, group: Group) -> Unavailable | None:
        try:
            self._store.commit(group.places, group.cuts, self._clock.now())
        except Unavailable as error:
            return error
        return None
