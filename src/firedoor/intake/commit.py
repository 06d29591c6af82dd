"""Group commit: requests that come while a commit is under way share the next one.

SQLite and the disk work in one thread of their own, so the event loop goes on reading and
decoding meanwhile. A single request waits for one commit; under load a commit carries as many
requests as came during the one before, and the price of a sync is shared by all of them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from firedoor.core.errors import TooMuch, Unavailable
from firedoor.core.units import MachineNo
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.sorting import Sorted
from firedoor.ports import Clock, Instant, SignalStore

MAX_WAITING: Final = 500_000
"""Signals that may wait for a commit; more means that the disk has stopped for seconds."""

MAX_OF_ONE: Final = 125_000
"""Those of several requests of one sender that wait for the next commit; beside them as many may be
on their way to the disk. A request that is its sender's only one may have more."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Sorted
    new_events: "asyncio.Future[int]"


class GroupCommit:
    """The only user of the signal store while the intake runs. For one event loop.

    Attributes:
        store: What it writes; see ``run``.
        failing: Whether the last use of the store failed.
    """

    def __init__(self, store: SignalStore, clock: Clock, heartbeats: Heartbeats) -> None:
        """Prepare; the thread starts with the first use."""
        self.failing = False
        self.store = store
        self._clock = clock
        self._heartbeats = heartbeats
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake-store")
        self._queue: list[_Waiting] = []
        self._queued: Counter[Hashable] = Counter()
        self._draining: asyncio.Task[None] | None = None

    async def append(self, request: Sorted, sender: Hashable = None) -> int:
        """Make a request's signals durable; return how many of its events were new.

        Args:
            request: What was found in it.
            sender: Who sent it; None: it takes its part of what may wait, and of no share.

        Raises:
            TooMuch: Too much of this sender is waiting.
            Unavailable: Nothing of it was stored, or too much is waiting.
        """
        signals = len(request.sent) + len(request.events)
        if self._queue and self._queued.total() + signals > MAX_WAITING:
            raise Unavailable("more signals are waiting than the disk takes")
        own = 0 if sender is None else self._queued[sender]
        if own and own + signals > MAX_OF_ONE:
            raise TooMuch("too many of your signals are waiting", hint="send it again later")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future())
        self._queue.append(waiting)
        self._queued[sender] += signals
        if self._draining is None:
            self._draining = loop.create_task(self._drain())
        return await waiting.new_events

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do other work on the store, in turn with the commits."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        await asyncio.wait([done])
        self.failing = done.exception() is not None
        return done.result()

    async def close(self) -> None:
        """Commit what waits and end the thread; the store stays open."""
        if self._draining is not None:
            await self._draining
        self._thread.shutdown()

    async def _drain(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._queue:
                group, self._queue = self._queue, []
                self._queued.clear()
                await self._commit(group)
        finally:
            # Whatever broke it off, nobody waits for ever and the next request begins anew.
            self._draining = None
            left, self._queue = [*group, *self._queue], []
            self._queued.clear()
            for waiting in left:
                if not waiting.new_events.done():
                    waiting.new_events.set_exception(Unavailable("the commit was broken off"))

    async def _commit(self, group: list[_Waiting]) -> None:
        # Read when the group is closed: never before a delivery came, never falling.
        received = self._clock.now()
        deliveries = [waiting.request.delivery() for waiting in group]
        done = asyncio.get_running_loop().run_in_executor(
            self._thread, partial(self.store.append, received, deliveries)
        )
        # Looked at rather than raised: whatever went wrong, every request needs an answer.
        await asyncio.wait([done])
        error = done.exception()
        self.failing = error is not None
        if error is not None:
            for waiting in group:
                if not waiting.new_events.done():
                    waiting.new_events.set_exception(error)
            return
        self._hear(group, received)
        for waiting, new in zip(group, done.result(), strict=True):
            if not waiting.new_events.done():
                waiting.new_events.set_result(new)

    def _hear(self, group: list[_Waiting], received: Instant) -> None:
        sent: dict[MachineNo, int] = {}
        tell: set[MachineNo] = set()
        for waiting in group:
            sent.update(waiting.request.sent)
            tell.update(waiting.request.lives)
            tell.update(event.machine for event in waiting.request.events)
        self._heartbeats.hear(sent, received.mono_ms, received.wall_ms)
        self._heartbeats.tell(tell, received.mono_ms)
