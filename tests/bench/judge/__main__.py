"""The open benchmark: B1 to B16 and Firedoor's judge on the same streams.

``make bench-judge`` or ``python -m tests.bench.judge [--scale F] [--only WORD ...] [--write]``

Scale 1 takes about 25 minutes on two cores. Figures go to stdout as JSON; with ``--write`` they
go, with tables and pictures, into ``docs/explanation/``; ``--redraw`` does that again with the
last figures. ``--only`` keeps the scenarios whose
name contains one of the words (and the contests ``fleet`` and ``floors``). Everything is seeded.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench.judge import contests, page, plots, summary, tables
from tests.bench.judge.contests import FleetScore, RaceScore
from tests.bench.judge.play import play_all
from tests.bench.judge.score import Loss, Score, Scores, as_json, losses, score_all
from tests.bench.rules.catalogue import RULES
from tests.bench.streams.scenarios import SCENARIOS

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "benchmark.md"
FOLDER = PAGE.with_suffix("")
LEAST = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Play, score, print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="runs, as a multiple")
    parser.add_argument("--only", nargs="*", default=[], help="what contains one of the words")
    parser.add_argument("--write", action="store_true", help="into docs/explanation")
    parser.add_argument("--redraw", action="store_true", help="the page, from the last figures")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(argv)
    if asked.redraw:
        write(Results.from_json(json.loads((FOLDER / "results.json").read_text())))
        return 0
    if asked.write and asked.only:
        parser.error("--write wants every scenario: the tables compare them")
    results = measure(asked.scale, asked.only, asked.workers)
    if asked.write:
        write(results)
    else:
        print(json.dumps(results.as_json(), indent=1))
    return 0


@dataclass(frozen=True, slots=True)
class Results:
    """All figures, and what they were made with.

    Attributes:
        made: Scale, seconds, workers and versions.
        scores: What was played interval by interval.
        fleet: Table F.
        floors: Table A.
        lost: Where another rule did better.
    """

    made: Mapping[str, str | float | int]
    scores: Scores
    fleet: Sequence[FleetScore]
    floors: Sequence[RaceScore]
    lost: Sequence[Loss]

    def as_json(self) -> dict[str, object]:
        """For results.json."""
        return {
            "made": dict(self.made),
            "scenarios": as_json(self.scores),
            "fleet": [asdict(cell) for cell in self.fleet],
            "floors": [asdict(cell) for cell in self.floors],
            "losses": [asdict(loss) for loss in self.lost],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Results":
        """Read results.json."""
        return cls(
            found["made"],
            {
                scenario: {rule: Score(**cell) for rule, cell in row.items()}
                for scenario, row in found["scenarios"].items()
            },
            [FleetScore(**cell) for cell in found["fleet"]],
            [RaceScore(**cell) for cell in found["floors"]],
            [Loss(**loss) for loss in found["losses"]],
        )


def measure(scale: float, only: Sequence[str], workers: int) -> Results:
    """Play what was asked for."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    scenarios = [scenario for scenario in SCENARIOS if wanted(scenario.name)]
    began = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        floors = contests.races(scale, pool) if wanted("floors") else []
        fleet = contests.fleets(scale, pool) if wanted("fleet") else []
        played = play_all(scenarios, scale, LEAST, pool)
    scores = score_all(scenarios, played)
    made: dict[str, str | float | int] = {
        "scale": scale,
        "seconds": round(time.perf_counter() - began),
        "workers": workers,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    ours = [rule.key for rule in RULES if rule.ours]
    return Results(made, scores, fleet, floors, losses(scenarios, scores, ours))


def write(results: Results) -> None:
    """Write the page, its pictures and the figures."""
    made, scores = results.made, results.scores
    parts = {
        "summary": summary.shown(scores, results.fleet),
        "exceptions": summary.exceptions(scores, results.lost),
        "rules": tables.catalogue(),
        "scenarios": tables.worlds(),
        "run": "Scale {scale}, {seconds} s on {workers} processes, numpy {numpy}, "
        "Python {python}.".format(**made),
        "false halts": tables.false_halts(scores),
        "ring calm": tables.ring_harm(scores, "calm"),
        "ring worlds": tables.ring_harm(scores, None),
        "large control": tables.harm(scores, "large control"),
        "table b": tables.harm(scores, "B"),
        "table c": tables.harm(scores, "C"),
        "table g": tables.harm(scores, "G"),
        "clearance": tables.clearance(scores),
        "fleet": tables.fleet(results.fleet),
        "floors": tables.floors(results.floors),
        "losses": tables.lost(results.lost),
    }
    PAGE.write_text(page.filled(PAGE.read_text(), parts))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "results.json").write_text(json.dumps(results.as_json(), indent=1) + "\n")
    for name, scenario, title in (
        (
            "rate",
            "calm: x10",
            "Ten times the crashes, 1000 + 1000 machines: harmed before the halt",
        ),
        ("bricks", "calm: bricks 5 %", "5 % bricks, 1000 + 1000 machines: harmed before the halt"),
        (
            "silent",
            "calm: silent bricks 5 %",
            "5 % bricks that send nothing: harmed before the halt",
        ),
    ):
        picture = plots.operating_points(scores, scenario, "calm", title)
        (FOLDER / f"{name}.svg").write_text(picture)
    (FOLDER / "fleet.svg").write_text(
        plots.blast(
            results.fleet,
            0.05,
            "8.5 million machines, a release that kills 5 %: machines killed",
        )
    )
    print(f"wrote {PAGE.name} and {FOLDER.name}/", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
