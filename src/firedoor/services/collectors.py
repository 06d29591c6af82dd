"""Collectors that have fallen silent: told to people, and named where both arms fall silent.

A collector speaks for many machines, often of many sites. When it stops, they all stop, with a
release and without it; what they have in common is no site and no model. So whoever reads of
silence has to know which collector has stopped.

Source: issue "Signals from what machines already run", 7.
"""

from collections.abc import Iterator
from typing import Final

from firedoor.ports import HeardCollector, Instant, SignalSource
from firedoor.services.ledger import LedgerWriter
from firedoor.services.life import Life
from firedoor.services.stores import JudgeRecords

_TIMES: Final = 3
"""So many times its longest usual gap a collector may be silent."""

_NAMED_MS: Final = 24 * 3_600_000
"""One that has been silent for longer has nothing to do with what happens now."""

_MINUTE_MS: Final = 60_000


class Collectors:
    """Looks at them once a tick, within the judge's step."""

    def __init__(
        self,
        store: JudgeRecords,
        signals: SignalSource,
        ledger: LedgerWriter,
        *,
        silence_min_ms: int,
    ) -> None:
        """Prepare; ``silence_min_ms``: none that is heard as often as that is silent."""
        self._store = store
        self._signals = signals
        self._ledger = ledger
        self._silence_min_ms = silence_min_ms
        self._silent: dict[str, int] = {}

    def look(self, life: Life, now: Instant) -> None:
        """Tell people of each that fell silent, and when it is heard again, once each.

        Raises:
            Unavailable: The intake's records cannot be read.
        """
        known = list(self._signals.collectors())
        self._silent = dict(self._quiet(known, life, now))
        for each in known:
            # What is kept is when it had been heard when people were told.
            key = f"collector:{each.name}"
            told_ms = self._store.cursor(key)
            if told_ms and each.heard.wall_ms != told_ms:
                self._store.put_cursor(key, 0)
                self._ledger.note("", f"collector {each.name} is heard again", now)
            elif each.name in self._silent and not told_ms:
                self._store.put_cursor(key, each.heard.wall_ms)
                note = (
                    f"collector {each.name} has sent nothing for {_span(self._silent[each.name])}; "
                    f"lately it was silent for {_span(each.gap_ms)} at most. The silence of the "
                    "machines that it speaks for is its own, and no harm of a release"
                )
                self._ledger.note("", note, now, alert=True)

    def named(self, outage: str | None) -> str | None:
        """What is said of an outage, and which collectors are silent meanwhile."""
        silent = [
            f"{name} for {_span(ms)}" for name, ms in sorted(self._silent.items()) if ms < _NAMED_MS
        ]
        if outage is None or not silent:
            return outage
        word = "collector" if len(silent) == 1 else "collectors"
        return f"{outage}; silent as well: {word} {', '.join(silent)}"

    def _quiet(
        self, known: list[HeardCollector], life: Life, now: Instant
    ) -> Iterator[tuple[str, int]]:
        for each in known:
            # What was heard in an earlier boot lies before everything in this one.
            heard = each.heard.mono_ms if each.heard.boot == now.boot else 0
            begin = life.window(heard, intake=True)
            patience = max(self._silence_min_ms, _TIMES * each.gap_ms)
            if begin is not None and each.gap_ms and life.until >= begin + patience:
                yield each.name, now.since(each.heard)


def _span(ms: int) -> str:
    if ms < _MINUTE_MS:
        return f"{max(1, ms // 1000)} s"
    minutes = ms // _MINUTE_MS
    return f"{minutes:,} minute{'' if minutes == 1 else 's'}"
