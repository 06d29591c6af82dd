"""The demonstration over many seeds: how much harm a bad release does before it is stopped.

``python -m tests.bench.bench_demo [--seeds N] [--machines N] [--failure brick|crash]``

Each seed is a whole ``firedoor demo --exit``: vendor, process tree and fleet from nothing. Prints
one JSON line.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys

BUDGET_BOUND = 1.6
MEAN_BOUND = 1.1
SECONDS_BOUND = 60.0

_HARMED = re.compile(r"(\d+) of \d+ machines (?:bricked|crashed) \(harm budget (\d+)\)")
_TOOK = re.compile(r"All of it took (\d+) s")


def main() -> None:
    """Run the demo once a seed and add up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--failure", choices=("brick", "crash"), default="brick")
    given = parser.parse_args()
    runs = [_run(seed, given.machines, given.failure) for seed in range(1, given.seeds + 1)]
    shares = [harmed / budget for harmed, budget, _ in runs]
    print(
        json.dumps(
            {
                "bench": "demo",
                "seeds": given.seeds,
                "machines": given.machines,
                "failure": given.failure,
                "harmed": [harmed for harmed, _, _ in runs],
                "budget": sorted({budget for _, budget, _ in runs}),
                "worst_share": max(shares),
                "worst_bound": BUDGET_BOUND,
                "mean_share": round(statistics.mean(shares), 3),
                "mean_bound": MEAN_BOUND,
                "seconds_median": statistics.median(took for _, _, took in runs),
                "seconds_most": max(took for _, _, took in runs),
                "seconds_bound": SECONDS_BOUND,
                "load": round(os.getloadavg()[0], 1),
                "python": platform.python_version(),
            }
        )
    )


def _run(seed: int, machines: int, failure: str) -> tuple[int, int, int]:
    command = [sys.executable, "-m", "firedoor", "demo", "--exit", "--seed", str(seed)]
    command += ["--machines", str(machines), "--failure", failure]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    harmed, took = _HARMED.search(done.stdout), _TOOK.search(done.stdout)
    if done.returncode or harmed is None or took is None:
        raise RuntimeError(f"seed {seed} ended {done.returncode}: {done.stdout}{done.stderr}")
    print(f"seed {seed}: {harmed[1]} harmed, {took[1]} s", file=sys.stderr, flush=True)
    return int(harmed[1]), int(harmed[2]), int(took[1])


if __name__ == "__main__":
    main()
