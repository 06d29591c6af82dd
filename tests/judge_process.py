"""The judge as a process of its own that collects all the time, for tests that kill it.

``python -m tests.judge_process CONFIG [--every S] [--rest-ms N]``: the real role, with its mirror
and its collections, but that these come at once and what they delete has rested for moments only.
"""

import argparse
import os
from pathlib import Path

from firedoor.config import load
from firedoor.wire import judge_role
from firedoor.wire.files import Files


def main() -> None:
    """Judge until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--every", type=float, default=0.1)
    parser.add_argument("--rest-ms", type=int, default=6_000)
    given = parser.parse_args()
    config = load(given.config)
    judge_role.run(
        config,
        Files.of(config),
        os.getppid(),
        sweep_every_s=given.every,
        rest_ms=given.rest_ms,
    )


if __name__ == "__main__":
    main()
