"""How near the judge comes to what no test can beat: machines harmed until the door shuts.

Thousands of runs a cell, so that chance moves a ratio by less than its distance to the target;
``make soak`` repeats them with more. ``tests/bench/streams/floors.py`` says what is played.
"""

import numpy as np
import pytest
from tests.bench.streams.floors import (
    CONTESTS,
    EPOCH_EVENTS,
    POOL,
    SHARES,
    Contest,
    Signal,
    draw,
    merged,
    race,
)

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import CRASH, SILENCE
from firedoor.core.terms import DEFAULT_STRATA
from firedoor.core.verdict import Rules, absorb, start


@pytest.mark.parametrize(
    "contest",
    CONTESTS,
    ids=lambda c: f"w{c.share}-x{c.ratio}-{c.alpha}-{'full' if c.full else 'one'}",
)
def test_harm_is_found_near_the_floor(contest: Contest) -> None:
    """Every machine above the floor is one that need not have been hurt."""
    runs = 2_000 if contest.share >= 0.1 else 500

    halts = race(contest, runs, seed=20261122)

    assert not halts.missed
    assert halts.error < 0.04
    assert 1.0 < halts.ratio <= contest.target


def test_the_race_is_run_by_the_judge() -> None:
    """Six hundred events in three epochs: E after every one is what the product's fold says."""
    contest = Contest(0.1, 5.0, 1e-9, full=True)
    chance = np.random.default_rng(3)
    ours, theirs = Signal.start(0.1, 1), Signal.start(0.1, 1)
    rules = Rules(0.001, 0.05, 0.05, 0.01, tuple(SHARES.items()), attributes=DEFAULT_STRATA)
    evidence = start(rules)
    for epoch in range(3):
        ours.open(epoch)
        theirs.open(epoch)
        events = draw(contest, 1, chance)
        log_e = merged(contest, ours, theirs, events, epoch)[0]
        hits, mine, others = (
            np.diff(total[0], prepend=0).tolist()
            for total in (events.hits, events.crash_hits, events.crash_misses)
        )
        for number in range(EPOCH_EVENTS):
            moves = [(SILENCE, hits[number], 1 - hits[number])]
            if mine[number] + others[number]:
                moves.append((CRASH, mine[number], others[number]))
            for signal, x1, x0 in moves:
                evidence = absorb(evidence, _cell(evidence.seq + 1, epoch, signal, x1, x0))
            assert evidence.log_e == pytest.approx(log_e[number], abs=1e-9)
        ours.close(events.hits[:, -1], EPOCH_EVENTS - events.hits[:, -1])
        theirs.close(events.crash_hits[:, -1], events.crash_misses[:, -1])
    assert evidence.max_log_e > 50.0


def _cell(seq: int, epoch: int, signal: str, x1: int, x0: int) -> Cell:
    treated = POOL // 10
    return Cell(seq, "everyone", 1, epoch, Test.HARM, signal, "", treated, POOL - treated, x1, x0)
