"""One tick of the harm test over 100 000 streams, quiet and busy: the figure that scale rests on.

Run from the root of the repository: ``python -m tests.bench.bench_streams``. Prints one line of
JSON. In each tick a share of the streams has events; the tick checks the counts, computes both
factors for all rate ratios, opens an epoch every third time, and says E. The goal is a median of
at most 100 ms on one core where the streams have one event each on average.
"""

import json
import statistics
import time
from dataclasses import dataclass

import numpy as np

from firedoor.core.evidence import harm
from firedoor.core.evidence.counts import Counts
from firedoor.core.evidence.mixture import RATIOS

STREAMS = 100_000
TICKS = 15
SEED = 20261122
GOAL_MS = 100.0


@dataclass(frozen=True)
class Load:
    """Share of the streams with events in a tick, and the mean number of events of all streams."""

    name: str
    busy: float
    events: float


LOADS = (
    Load("1 % busy, one event each", 0.01, 0.01),
    Load("10 % busy, one event each", 0.1, 0.1),
    Load("1 % busy, 100 events each", 0.01, 1.0),
    Load("10 % busy, 10 events each", 0.1, 1.0),
    Load("all busy, one event each", 1.0, 1.0),
    Load("all busy, 20 events each", 1.0, 20.0),
)


def main() -> None:
    """Measure and print."""
    spent_ms = [(load.name, _ticks_ms(load)) for load in LOADS]
    print(
        json.dumps(
            {
                "bench": "streams",
                "streams": STREAMS,
                "ratios": len(RATIOS),
                "ticks": TICKS,
                "tick_ms_median": {name: statistics.median(spent) for name, spent in spent_ms},
                "tick_ms_min": {name: min(spent) for name, spent in spent_ms},
                "goal_ms": GOAL_MS,
                "numpy": np.__version__,
            }
        )
    )


def _ticks_ms(load: Load) -> list[float]:
    """Time of every tick, milliseconds."""
    chance = np.random.default_rng(SEED)
    treated = chance.integers(1, 200, STREAMS)
    state, spent_ms = harm.start(STREAMS), []
    for tick in range(TICKS):
        busy = chance.random(STREAMS) < load.busy
        events = np.where(busy, chance.poisson(load.events / load.busy, STREAMS), 0)
        events = np.minimum(events, treated)
        x1 = chance.binomial(events, 0.1)
        began = time.perf_counter()
        state = harm.absorb(state, Counts.of(treated, 9 * treated, x1, events - x1), tick // 3)
        harm.log_e(state)
        spent_ms.append(round(1_000 * (time.perf_counter() - began), 1))
    return spent_ms


if __name__ == "__main__":
    main()
