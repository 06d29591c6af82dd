"""Room on the disk: people are told before there is none, and when there is some again."""

import queue
from collections.abc import Callable
from typing import Final

import structlog

from firedoor.core.errors import Unavailable
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.room import Level, Limits, Space
from firedoor.services.stores import JudgeRecords

_LOOK_MS: Final = 60_000
_TOLD: Final = "storage_told"
_log = structlog.get_logger()


class StorageWatch:
    """Looks once a minute. One thread at a time, within the judge's steps."""

    def __init__(self, limits: Limits, space: Callable[[], Space], store: JudgeRecords) -> None:
        """Nothing is read yet.

        Args:
            limits: What is allowed.
            space: What is stored and free. Raises Unavailable.
            store: Where it is remembered what people have been told.
        """
        self._limits = limits
        self._space = space
        self._store = store
        self._looked_ms = -_LOOK_MS
        self._news: queue.SimpleQueue[tuple[str, str, bool]] = queue.SimpleQueue()

    def tell(self, channel: str, text: str, *, alert: bool) -> None:
        """Put something on the record at the judge's next step; from any thread."""
        self._news.put((channel, text, alert))

    def look(self, ledger: LedgerWriter, now: Instant) -> None:
        """Tell what others had to tell, and of a level that was reached, each time once."""
        while not self._news.empty():
            channel, text, alert = self._news.get()
            ledger.note(channel, text, now, alert=alert)
        if now.mono_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now.mono_ms
        try:
            space = self._space()
        except Unavailable as error:
            _log.warning("storage_not_measured", error=str(error))
            return
        before = Level(self._store.cursor(_TOLD))
        level = self._limits.level(space, before)
        if level is not before:
            self._store.put_cursor(_TOLD, level)
            ledger.note("", self._limits.told(level, space), now, alert=level > before)
