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


class Committer:
    """One writer thread, in the order of the calls."""

    def __init__(self, store: PlaceStore, clock: Clock) -> None:
        """Start the thread with the first call."""
        self._store = store
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "gate-writer")
        self._waiting: list[tuple[Sequence[Place], Sequence[Cut], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def submit(self, places: Sequence[Place], cuts: Sequence[Cut]) -> asyncio.Future[None]:
        """Stand in line at once; the result comes when places and cuts are durable.

        It raises Unavailable if they are not.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((places, cuts, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._drain())
        return done

    async def commit(self, places: Sequence[Place], cuts: Sequence[Cut]) -> None:
        """Return when places and cuts are durable. Raises Unavailable: they are not."""
        # The group is written whatever becomes of this request: its machine has its card.
        await asyncio.shield(self.submit(places, cuts))

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
            while self._waiting:
                group, self._waiting = self._waiting, []
                # Whatever goes wrong, nobody may wait for ever for an answer.
                error: Unavailable | None = Unavailable("the writer of the gate failed")
                try:
                    error = await self.run(partial(self._write, group))
                finally:
                    for _, _, done in group:
                        _tell(done, error)
        finally:
            self._writing = None

    def _write(
        self, group: list[tuple[Sequence[Place], Sequence[Cut], asyncio.Future[None]]]
    ) -> Unavailable | None:
        places = [place for some, _, _ in group for place in some]
        cuts = [cut for _, some, _ in group for cut in some]
        try:
            self._store.commit(places, cuts, self._clock.now())
        except Unavailable as error:
            return error
        return None


def _tell(done: asyncio.Future[None], error: Unavailable | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
