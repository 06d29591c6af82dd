"""Whether a blob still is what its name says, asked before it is first served and once a day.

Disks give back other bytes than were written, seldom and without a word, and not every client
looks. Hashing each reply would cost more than sending it; so each blob is hashed once, by a thread
beside the event loop, and all who ask for it meanwhile wait for the same answer.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from firedoor.core.errors import Unavailable
from firedoor.core.units import Digest

_COUNTS_S: Final = 24 * 3600.0
_WAIT_S: Final = 10.0
_KNOWN: Final = 65_536
_THREADS: Final = 2
_log = structlog.get_logger()


class Soundness:
    """Asks about blobs. One event loop."""

    def __init__(
        self,
        is_sound: Callable[[Digest], bool],
        *,
        wait_s: float = _WAIT_S,
        counts_s: float = _COUNTS_S,
    ) -> None:
        """Nothing is known yet.

        Args:
            is_sound: Hashes a blob, and takes one that does not match out of the way; called in
                a thread. Raises Unavailable.
            wait_s: So long a reply waits for the answer, seconds; a file that takes longer to
                read is sent, and stopped from then on if it turns out to be wrong.
            counts_s: So long an answer counts, seconds.
        """
        self._is_sound = is_sound
        self._wait_s = wait_s
        self._counts_s = counts_s
        self._until: dict[Digest, float] = {}
        self._pending: dict[Digest, asyncio.Future[bool]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "soundness")

    def knows(self, digest: Digest) -> bool:
        """Whether the blob was found to be right lately: then nobody has to wait."""
        return self._until.get(digest, 0.0) > time.monotonic()

    async def check(self, digest: Digest) -> None:
        """Make sure that a blob is right, if that is known in time.

        Raises:
            Unavailable: It is not, or it cannot be read.
        """
        pending = self._pending.get(digest)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(self._pool, self._is_sound, digest)
            self._pending[digest] = pending
            pending.add_done_callback(lambda done: self._learn(digest, done))
        # Whoever goes away leaves the others waiting.
        done, _ = await asyncio.wait([pending], timeout=self._wait_s)
        if done and not pending.result():
            raise Unavailable("the blob had changed on the disk, and was taken out of the way")

    def _learn(self, digest: Digest, done: asyncio.Future[bool]) -> None:
        del self._pending[digest]
        if done.cancelled() or done.exception() is not None:
            return
        if not done.result():
            _log.error("blob_rotted", digest=digest)
            return
        if len(self._until) >= _KNOWN:
            self._until.clear()
        self._until[digest] = time.monotonic() + self._counts_s
