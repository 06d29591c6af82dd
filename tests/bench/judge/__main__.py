"""The open benchmark: B1 to B16 and Firedoor's judge on the same streams.

``make bench-judge`` or ``python -m tests.bench.judge [--scale F] [--only WORD ...] [--write]``

Scale 1 takes about 25 minutes on two cores. Figures go to stdout as JSON; with ``--write`` they
go, with tables and pictures, into ``docs/explanation/``. ``--only`` keeps the scenarios whose
name contains one of the words (and the contests ``fleet`` and ``floors``). Everything is seeded.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tests.bench.judge import contests, page, plots, tables
from tests.bench.judge.play import play_all
from tests.bench.judge.score import as_json, losses, score_all
from tests.bench.rules.catalogue import RULES
from tests.bench.streams.scenarios import SCENARIOS

DOCS = Path(__file__).parents[3] / "docs" / "explanation"
LEAST = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Play, score, print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="runs, as a multiple")
    parser.add_argument("--only", nargs="*", default=[], help="what contains one of the words")
    parser.add_argument("--write", action="store_true", help="into docs/explanation")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(argv)

    def wanted(name: str) -> bool:
        return not asked.only or any(word in name for word in asked.only)

    scenarios = [scenario for scenario in SCENARIOS if wanted(scenario.name)]
    began = time.perf_counter()
    with ProcessPoolExecutor(asked.workers) as pool:
        floors = contests.races(asked.scale, pool) if wanted("floors") else []
        fleet = contests.fleets(asked.scale, pool) if wanted("fleet") else []
        played = play_all(scenarios, asked.scale, LEAST, pool)
    scores = score_all(scenarios, played)
    ours = [rule.key for rule in RULES if rule.ours]
    found = losses(scenarios, scores, ours)
    results = {
        "scale": asked.scale,
        "seconds": round(time.perf_counter() - began),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "scenarios": as_json(scores),
        "fleet": [asdict(cell) for cell in fleet],
        "floors": [asdict(cell) for cell in floors],
        "losses": [asdict(loss) for loss in found],
    }
    if not asked.write:
        print(json.dumps(results, indent=1))
        return 0
    if asked.only:
        parser.error("--write wants every scenario: the tables compare them")
    parts = {
        "rules": tables.catalogue(),
        "scenarios": tables.worlds(),
        "run": f"Scale {asked.scale:g}, {results['seconds']} s on {asked.workers} processes, "
        f"numpy {np.__version__}, Python {platform.python_version()}.",
        "false halts": tables.false_halts(scores),
        "ring calm": tables.ring_harm(scores, "calm"),
        "ring worlds": tables.ring_harm(scores, None),
        "large control": tables.harm(scores, "large control"),
        "table b": tables.harm(scores, "B"),
        "table c": tables.harm(scores, "C"),
        "table g": tables.harm(scores, "G"),
        "clearance": tables.clearance(scores),
        "fleet": tables.fleet(fleet),
        "floors": tables.floors(floors),
        "losses": tables.lost(found),
    }
    target = DOCS / "benchmark.md"
    target.write_text(page.filled(target.read_text(), parts))
    folder = DOCS / "benchmark"
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, scenario, title in (
        ("rate", "calm: x10", "Ten times the crashes, 1000 + 1000 machines"),
        ("bricks", "calm: bricks 5 %", "5 % bricks, 1000 + 1000 machines"),
        ("silent", "calm: silent bricks 5 %", "5 % bricks that send nothing"),
    ):
        picture = plots.operating_points(scores, scenario, "calm", title)
        (folder / f"{name}.svg").write_text(picture)
    (folder / "fleet.svg").write_text(
        plots.blast(fleet, 0.05, "8.5 million machines, a release that kills 5 %: machines killed")
    )
    print(f"wrote {target.name} and {folder.name}/", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
