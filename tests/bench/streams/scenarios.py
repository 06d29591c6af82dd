"""The scenarios of the benchmark: healthy worlds, and the harm that is done in each of them.

A harmful scenario names its healthy world: false halts are quoted from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from tests.bench.streams.counts import Flow
from tests.bench.streams.ring import Ring
from tests.bench.streams.stream import Stream


@dataclass(frozen=True, slots=True)
class Scenario:
    """One column of the benchmark.

    Attributes:
        name: Short and unique.
        says: What happens, in words.
        family: Which table it stands in: ``ring``, ``large control``, ``B``, ``C``, ``D``, ``G``.
        world: Draws runs.
        healthy: Name of the healthy scenario of the same world; its own name if it is that.
        runs: Runs at scale 1.
        seed: Of everything.
        floor: (rate ratio, treated share) of the information floor, where it has one.
        randomised: Cards were dealt to machines; without, the judge guarantees nothing.
    """

    name: str
    says: str
    family: str
    world: Ring | Flow
    healthy: str
    runs: int
    seed: int
    floor: tuple[float, float] | None = None
    randomised: bool = True

    @property
    def is_healthy(self) -> bool:
        """Whether the release is harmless."""
        return self.healthy == self.name

    @property
    def tick(self) -> int:
        """Minutes an interval."""
        return self.world.tick if isinstance(self.world, Ring) else 1

    def draw(self, runs: int, part: int = 0) -> Stream:
        """Draw some of the runs; parts of one scenario are independent."""
        return self.world.draw(runs, np.random.default_rng([self.seed, part]))


NULL_RUNS, HARM_RUNS = 1000, 300

_WORLDS: Mapping[str, tuple[str, Ring]] = {
    "calm": ("2 crashes per 1000 machine-days, installs over 4 h", Ring()),
    "shocks": ("a shared factor on each day's crashes, CV .5", Ring(shock=0.5)),
    "day and night": ("crashes swing by 80 % over the day", Ring(day_night=0.8)),
    "1 % make half": ("1 % of machines make half of all crashes", Ring(heavy=0.01)),
    "staggered": ("installs over 24 h", Ring(spread=24.0)),
    "outage": ("the collector is down from hour 2 to 5", Ring(outage=(2.0, 3.0))),
    "partition": ("a fifth of the sites is cut off, hour 3 to 9", Ring(partition=(3.0, 6.0))),
    "telemetry 30 %": ("three machines in ten report crashes", Ring(telemetry=0.3)),
    "asleep": ("2 % of machines are silent by chance at a deadline", Ring(quiet=0.02)),
}

_HARMS: Mapping[str, tuple[str, Mapping[str, float | bool]]] = {
    "x10": ("ten times the crashes", {"ratio": 10.0}),
    "bricks 5 %": ("5 % of installs kill the machine", {"brick": 0.05}),
}

_MORE_HARMS: Mapping[str, tuple[str, Mapping[str, float | bool]]] = {
    "x3": ("three times the crashes", {"ratio": 3.0}),
    "bricks 1 %": ("1 % of installs kill the machine", {"brick": 0.01}),
    "bricks 60 %": ("60 % of installs kill the machine", {"brick": 0.6}),
    "silent bricks 5 %": ("5 % die and send nothing", {"brick": 0.05, "says": 0.0}),
    "reboot delay": ("5 % die at their next restart, 12 h mean", {"brick": 0.05, "reboot": 12.0}),
    "silent, delayed": (
        "5 % die at their next restart, 12 h mean, and send nothing",
        {"brick": 0.05, "reboot": 12.0, "says": 0.0},
    ),
    "latent x10": ("ten times the crashes from hour 30 on", {"ratio": 10.0, "onset": 30.0}),
    "latent bricks": (
        "5 % die at hour 30, after a day's clearance",
        {"brick": 0.05, "onset": 30.0},
    ),
    "flips x10": (
        "bad in every other 5 minutes, ten times on average",
        {"ratio": 10.0, "flips": True},
    ),
    "flips bricks": (
        "what is installed in every other 5 minutes kills 10 %",
        {"brick": 0.05, "flips": True},
    ),
}


def _rings() -> list[Scenario]:
    found: list[Scenario] = []
    for number, (world, (says, ring)) in enumerate(_WORLDS.items()):
        seed = 1000 + 100 * number
        found.append(Scenario(world, says, "ring", ring, world, NULL_RUNS, seed))
        harms = {**_HARMS, **(_MORE_HARMS if world == "calm" else {})}
        for place, (harm, (what, change)) in enumerate(harms.items(), start=1):
            found.append(
                Scenario(
                    f"{world}: {harm}",
                    f"{says}; {what}",
                    "ring",
                    replace(ring, **change),  # type: ignore[arg-type]  # a table of fields
                    world,
                    HARM_RUNS,
                    seed + place,
                )
            )
    return found


def _large_control() -> list[Scenario]:
    """The whole fleet beside the ring as control, as the gate has it."""
    calm = Ring(treated=1000, control=9000)
    name = "9000 controls"
    says = "1000 machines install, 9000 stay as they were"
    found = [Scenario(name, says, "large control", calm, name, NULL_RUNS // 2, 3000)]
    for place, harm in enumerate(("x3", "x10", "bricks 1 %", "silent bricks 5 %"), start=1):
        what, change = {**_HARMS, **_MORE_HARMS}[harm]
        world = replace(calm, **change)  # type: ignore[arg-type]  # a table of fields
        found.append(
            Scenario(
                f"{name}: {harm}", what, "large control", world, name, HARM_RUNS // 2, 3000 + place
            )
        )
    return found


def _flows() -> list[Scenario]:
    """Table B: one day in minutes; table G: late onset."""
    busy = Flow(10_000, 90_000, 1.0)
    rare = replace(busy, rate=0.02)
    shocks = replace(busy, shocks=True)
    tiny = Flow(1_000, 999_000, 0.05)
    found: list[Scenario] = []
    rows: list[tuple[str, str, Flow, float, tuple[float, ...], int]] = [
        ("busy", "10 events a minute, a tenth treated", busy, 0.1, (1.5, 5.0), 200),
        ("rare", "a fiftieth of that", rare, 0.1, (2.0, 20.0), 1000),
        ("busy shocks", "busy, day and night, bursts x 20", shocks, 0.1, (2.0,), 200),
        ("tiny", "a thousandth treated, 50 events a minute", tiny, 0.001, (5.0,), 200),
    ]
    for number, (name, says, flow, share, ratios, runs) in enumerate(rows):
        seed = 4000 + 10 * number
        found.append(Scenario(name, says, "B", flow, name, runs, seed))
        found += [
            Scenario(
                f"{name}: x{ratio:g}",
                f"{says}; rate x{ratio:g}",
                "B",
                replace(flow, ratio=ratio),
                name,
                max(200, runs // 5),
                seed + place,
                (ratio, share),
            )
            for place, ratio in enumerate(ratios, start=1)
        ]
    # One event a tick of 14.4 minutes at w = .1, an epoch of 100 ticks a day: table G's setting.
    late = Flow(10_000, 90_000, 0.1, minutes=3_000)
    found.append(Scenario("onset", "1 event a minute, w = .1", "G", late, "onset", 200, 5000))
    for place, (ratio, onset) in enumerate(
        ((3.0, 0), (10.0, 0), (3.0, 300), (10.0, 300), (3.0, 2_000), (10.0, 2_000)), start=1
    ):
        found.append(
            Scenario(
                f"onset: x{ratio:g} from {onset}",
                f"x{ratio:g} from minute {onset} on",
                "G",
                replace(late, ratio=ratio, onset=onset),
                "onset",
                200,
                5000 + place,
                (ratio, 0.1),
            )
        )
    return found


def _bursts() -> list[Scenario]:
    """Table C: 50 sites of 40 machines, bursts that hit half a site."""
    base = Ring(
        treated=200,
        control=1800,
        hours=9,
        tick=1,
        spread=0.2,
        crash=2e-5 * 1440,
        quiet=0.0,
        bursts=0.002,
    )
    rows: list[tuple[str, str, Ring, str]] = [
        ("site bursts", "half a site crashes at once, 6 times an hour", base, "site bursts"),
        (
            "site bursts: x20",
            "and 20 times the ordinary crashes",
            replace(base, ratio=20.0),
            "site bursts",
        ),
        ("site bursts: x200", "and 200 times", replace(base, ratio=200.0), "site bursts"),
    ]
    found = [
        Scenario(name, says, "C", world, healthy, 400 if name == healthy else 200, 6000 + place)
        for place, (name, says, world, healthy) in enumerate(rows)
    ]
    whole = "whole sites"
    found.append(
        Scenario(
            whole,
            "five whole sites are the ring: nothing is randomised",
            "C",
            replace(base, whole_sites=True),
            whole,
            400,
            6010,
            randomised=False,
        )
    )
    return found


def _boundary() -> list[Scenario]:
    """Table D: harm of exactly the size that clearance excludes, much of it unreported."""
    ring = Ring(treated=2000, control=18000, brick=0.01, says=0.7, crash=0.0002, quiet=0.0005)
    name = "harm at delta"
    return [
        Scenario(
            name,
            "1 % of installs kill the machine, 30 % of those send nothing",
            "D",
            ring,
            "",
            300,
            7000,
        )
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *_rings(),
    *_large_control(),
    *_flows(),
    *_bursts(),
    *_boundary(),
)
