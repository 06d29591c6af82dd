"""Machines that wait for a file which their release names and nobody holds yet.

One row for the process that mirrors, however many machines wait; they wait no longer than their
client would. Bytes come from the store of blobs or not at all: only there they are known to be
right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.services.supply import Refusal, Wanted

WAIT_S: Final = 20.0
"""How long a request waits; apt gives a silent server thirty seconds."""

AGAIN_MS: Final = 15_000
"""So long nobody asks again for a file that was refused, or for one that is on its way."""

_SLOW: Final = "the gate is fetching this file from upstream; ask again"


class Supply:
    """Asks for files and waits for them. One event loop."""

    def __init__(
        self,
        want: Callable[[Wanted], Awaitable[None]],
        is_held: Callable[[FileEntry], bool],
        now: Callable[[], int],
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        """Nobody waits yet.

        Args:
            want: Writes down what is wanted, durably. Raises Unavailable.
            is_held: Whether a file's bytes are held.
            now: Monotonic clock, ms.
            wait_s: How long one request waits, seconds.
        """
        self._want = want
        self._is_held = is_held
        self._now = now
        self._wait_s = wait_s
        self._pending: dict[Digest, tuple[FileEntry, asyncio.Future[Refusal | None]]] = {}
        self._asked: dict[Digest, int] = {}
        self._refused: dict[Digest, tuple[int, Refusal]] = {}

    def is_held(self, entry: FileEntry) -> bool:
        """Whether a file's bytes are held: then nobody has to wait."""
        return self._is_held(entry)

    async def bring(self, channel: str, path: str, entry: FileEntry) -> Refusal | None:
        """Wait until the bytes of a file are held; else say why they are not."""
        digest, now = entry.sha256, self._now()
        at, refusal = self._refused.get(digest, (0, None))
        if refusal is not None and now - at < AGAIN_MS:
            return refusal
        known = self._pending.get(digest)
        if known is None:
            known = entry, asyncio.get_running_loop().create_future()
            self._pending[digest] = known
        if now - self._asked.get(digest, now - AGAIN_MS) >= AGAIN_MS:
            self._asked[digest] = now
            try:
                await self._want(Wanted(channel, path, digest, entry.size))
            except Unavailable as error:
                self._answer(digest, Refusal(channel, path, digest, gone=False, error=str(error)))
        # Whoever goes away leaves the others waiting.
        done, _ = await asyncio.wait([known[1]], timeout=self._wait_s)
        if done:
            return known[1].result()
        return Refusal(channel, path, digest, gone=False, error=_SLOW)

    def look(self) -> None:
        """See which files have come."""
        for digest, (entry, _) in list(self._pending.items()):
            if self._is_held(entry):
                self._refused.pop(digest, None)
                self._answer(digest, None)

    def refused(self, refusals: Iterable[Refusal]) -> None:
        """Take over what the mirror could not fetch."""
        now = self._now()
        self._refused = {d: r for d, r in self._refused.items() if now - r[0] < AGAIN_MS}
        for refusal in refusals:
            self._refused[refusal.sha256] = now, refusal
            self._answer(refusal.sha256, refusal)

    def _answer(self, digest: Digest, refusal: Refusal | None) -> None:
        known = self._pending.pop(digest, None)
        self._asked.pop(digest, None)
        if known is not None and not known[1].done():
            known[1].set_result(refusal)
