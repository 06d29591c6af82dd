"""The judge: the evidence of 10 000 streams, and whole ticks over 3 000 boardings in flight.

Run from the root of the repository: ``python -m tests.bench.bench_judge``. Prints a line of JSON
for each. In the first every stream gets a new cell; both factors are computed for all rate ratios,
the epoch is opened, and E is said. The goal is a median of at most 50 ms. The second is the
product's judge on its own stores, see ``tests.bench.flights``; ``--profile`` says where its time
goes.
"""

import argparse
import json
import statistics
import time

import numpy as np
from tests.bench import flights

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.mixture import RATIOS
from firedoor.core.verdict import Rules, absorb, start

STREAMS = 10_000
TICKS = 30
BASE_RATE = 0.003
SEED = 20240719
GOAL_MS = 50.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="profile whole ticks, on stderr")
    profile = parser.parse_args().profile
    print(json.dumps(_streams()), flush=True)
    print(json.dumps(flights.measure(profile=profile)))


def _streams() -> dict[str, object]:
    """Take a cell into each stream, again and again."""
    chance = np.random.default_rng(SEED)
    treated = chance.integers(1, 200, STREAMS)
    state = harm.start(STREAMS)
    spent_ms, events = [], []
    for epoch in range(TICKS):
        x1 = chance.binomial(treated, BASE_RATE)
        x0 = chance.binomial(9 * treated, BASE_RATE)
        events.append(x1 + x0)
        began = time.perf_counter()
        state = harm.absorb(state, Counts.of(treated, 9 * treated, x1, x0), epoch)
        harm.log_e(state)
        spent_ms.append(1_000 * (time.perf_counter() - began))
    return {
        "bench": "judge, evidence",
        "streams": STREAMS,
        "ratios": len(RATIOS),
        "ticks": TICKS,
        "events_per_cell_mean": round(float(np.mean(events)), 2),
        "events_per_cell_max": int(np.max(events)),
        "tick_ms_min": round(min(spent_ms), 1),
        "tick_ms_median": round(statistics.median(spent_ms), 1),
        "goal_ms": GOAL_MS,
        "cell_us_median": round(_cell_us(), 1),
        "numpy": np.__version__,
    }


def _cell_us() -> float:
    """Median time to take one cell into one release, as a replay does, in microseconds."""
    rules = Rules(0.001, 0.05, 0.05, 0.001, (("silence", 0.5), ("crash", 0.5)))
    evidence, spent_us = start(rules), []
    for seq in range(1, 1_001):
        cell = Cell(seq, "everyone", 1, seq // 60, Test.HARM, "silence", "", 20, 180, seq % 2, 1)
        began = time.perf_counter()
        evidence = absorb(evidence, cell)
        spent_us.append(1e6 * (time.perf_counter() - began))
    return statistics.median(spent_us)


if __name__ == "__main__":
    main()
