"""R simulated releases of one scenario, ready to be played to any rule, interval by interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from tests.bench.rules.rule import Bools, Briefing, Closing, Interval, Ints

Closings = dict[int, list[Closing]]
"""Interval -> what sealed pools revealed in it, in order; of one run."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of every run and interval, shape (R, T) each; meanings as in ``Interval``."""

    reporting: Bools
    treated: Ints
    control: Ints
    crashes: Ints
    control_crashes: Ints
    bucket: Ints
    finished: Ints
    failed: Ints
    overdue: Ints
    control_overdue: Ints


@dataclass(frozen=True, slots=True)
class Stream:
    """R runs of one scenario.

    Attributes:
        tick: Length of an interval, minutes.
        briefing: What is known before.
        counts: What is seen.
        closings: What sealed pools reveal, one mapping a run.
        harmed: Treated machines harmed so far, whether or not anybody was told, shape (R, T).
            No rule sees it.
    """

    tick: int
    briefing: Briefing
    counts: Counts
    closings: Sequence[Closings]
    harmed: Ints

    @property
    def intervals(self) -> int:
        """T."""
        return int(self.harmed.shape[1])

    def play(self) -> Iterator[Interval]:
        """The intervals in order; each holds what is known at its end and nothing later."""
        names = [column.name for column in fields(Counts)]
        for t in range(self.intervals):
            seen = {name: getattr(self.counts, name)[:, t] for name in names}
            closings = [mapping.get(t, ()) for mapping in self.closings]
            yield Interval(t * self.tick, (t + 1) * self.tick, closings=closings, **seen)


def reveal(
    decks: Ints,
    treated: Bools,
    tick: Ints,
    signal: Ints,
    names: Sequence[str],
    *,
    strata: Sequence[str] = (),
) -> Closings:
    """Count first events of sealed members as a judge must: once a machine, first signal wins.

    Args:
        decks: Deck of each member, shape (N,), from 0.
        treated: Labels, shape (N,).
        tick: Interval of the member's first event, -1 for none, shape (N,).
        signal: Number of its signal, shape (N,); within an interval lower numbers come first.
        names: Names of the signals.
        strata: Stratum of each member, N of them; none where nothing is known.

    Returns:
        One closing for each (interval, deck, signal) with an event, with the sealed totals just
        before it: members that were counted leave their pool.
    """
    kinds, pools = len(names), int(decks.max()) + 1
    sealed = np.stack(
        [
            np.bincount(decks[~treated], minlength=pools),
            np.bincount(decks[treated], minlength=pools),
        ]
    )
    hit = np.flatnonzero(tick >= 0)
    groups: dict[int, dict[str, list[int]]] = {}
    key = (tick[hit] * pools + decks[hit]) * kinds + signal[hit]
    for group, member in zip(key.tolist(), hit.tolist(), strict=True):
        stratum = strata[member] if strata else ""
        counts = groups.setdefault(group, {}).setdefault(stratum, [0, 0])
        counts[not treated[member]] += 1
    closings: Closings = {}
    for group, found in sorted(groups.items()):
        rest, kind = divmod(group, kinds)
        when, deck = divmod(rest, pools)
        r0, r1 = sealed[:, deck].tolist()
        x1, x0 = (sum(counts[arm] for counts in found.values()) for arm in (0, 1))
        by_stratum = tuple((text, a, b) for text, (a, b) in sorted(found.items()) if text)
        closing = Closing(deck + 1, names[kind], r1, r0, x1, x0, strata=by_stratum)
        closings.setdefault(when, []).append(closing)
        sealed[:, deck] -= (x0, x1)
    return closings


def totals(ticks: Ints, length: int) -> Ints:
    """Events per interval, shape (T,); events outside of 0..T-1 are left out."""
    inside = (ticks >= 0) & (ticks < length)
    return np.bincount(ticks[inside], minlength=length)
