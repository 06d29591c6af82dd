"""The penalty box: machines that fail on every release tell nothing of any.

A machine whose disk dies, or that crashes every hour, is harmed under good releases as under bad
ones: it spends budgets, and hides among the noise what a release does to others. Who is in the box
draws no card; it gets a release when everybody does. It is known from good releases alone, before
a card is dealt, so the cards stay fair. Nobody is in it for ever: without cards it is harmed by
nobody's count, and after as many releases as are looked at it is tried again.

Source: issue "Signals from what machines already run", 6; landscape.md 1 (NervesHub).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from firedoor.services import past
from firedoor.services.lines import Line
from firedoor.services.stores import JudgeRecords

LOOKED_AT: Final = 10
"""The newest good releases of a channel that count."""

HARMED_IN: Final = 3
"""In so many of them a machine was harmed that is in the box."""

MOST_SHARE: Final = 0.1
"""Where more of a fleet would be in it, the fleet is sick and not the machines: nobody is."""

_SAID: Final = 20

Active = Mapping[tuple[str, str], int]
"""Channel and ring -> active machines."""


class PenaltyBox:
    """Who is in it. Counted again when another release has turned out good."""

    def __init__(self, store: JudgeRecords) -> None:
        """Begin with those who were in it when the judge last drew up a board."""
        self._store = store
        self._inside: tuple[int, ...] = store.board().benched
        self._counted: tuple[tuple[str, int], ...] | None = None

    def inside(self, lines: Mapping[str, Mapping[int, Line]], active: Active) -> tuple[int, ...]:
        """Register numbers of the machines in the box, rising.

        Args:
            lines: All boardings by channel and number.
            active: Active machines; empty while nobody has counted them: then nothing changes.
        """
        known = tuple(
            (channel, line.boarding.number)
            for channel, some in sorted(lines.items())
            for line in past.good(some.values(), self._store)[-LOOKED_AT:]
        )
        if known != self._counted and active:
            self._inside = self._found(known, max(_fleets(active), default=0))
            self._counted = known
        return self._inside

    def _found(self, known: Iterable[tuple[str, int]], fleet: int) -> tuple[int, ...]:
        harmed: dict[str, Counter[int]] = {}
        for channel, number in known:
            # One that was silent and came back was late, and has failed nobody.
            failed = {
                each.machine
                for each in self._store.harmed(channel, number)
                if not each.recovered_ms
            }
            harmed.setdefault(channel, Counter()).update(failed)
        # In one channel: a crash while several have a release in flight is harm to each of them.
        inside = {
            machine
            for times in harmed.values()
            for machine, count in times.items()
            if count >= HARMED_IN
        }
        return tuple(sorted(inside)) if len(inside) <= MOST_SHARE * fleet else ()


def sentence(inside: Sequence[int]) -> str:
    """What the ledger says when somebody has come into the box or left it."""
    if not inside:
        return "nobody is in the penalty box any more"
    numbers = ", ".join(map(str, inside[:_SAID])) + (", ..." if len(inside) > _SAID else "")
    machines = "1 machine" if len(inside) == 1 else f"{len(inside)} machines"
    return (
        f"in the penalty box, for harm under {HARMED_IN} of the last {LOOKED_AT} good releases of "
        f"a channel: {machines} (by number: {numbers}); no card is drawn there"
    )


def _fleets(active: Active) -> Iterable[int]:
    """Active machines of each channel."""
    total: Counter[str] = Counter()
    for (channel, _), count in active.items():
        total[channel] += count
    return total.values()
