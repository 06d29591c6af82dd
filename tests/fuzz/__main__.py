"""Fuzz one parser: ``python -m tests.fuzz TARGET [--seconds N] [--corpus DIR]``.

Targets: see ``tests/fuzz/targets.py``. New inputs that reach new code go to the corpus; a failure
is written to a file and ends it with a status other than 0.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import atheris

# Before anybody else imports them: what is loaded already is not watched. The slow reader's
# branches tell more than those of the scanner, most of which are in one expression.
with atheris.instrument_imports(include=["firedoor.formats", "tests.journal_reference"]):
    from tests.fuzz.targets import TARGETS, seeds

CORPUS: Final = Path(__file__).parent / "corpus"
LONGEST_INPUT: Final = 4_096


def main() -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="folder; that of the target in the repository")
    given = parser.parse_args()
    corpus = given.corpus or CORPUS / given.target
    if not corpus.is_dir() or not any(corpus.iterdir()):
        corpus.mkdir(parents=True, exist_ok=True)
        for name, body in seeds(given.target).items():
            (corpus / name).write_bytes(body)
    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={LONGEST_INPUT}",
        "-rss_limit_mb=1024",
        "-timeout=20",
        f"-artifact_prefix=fuzz-{given.target}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
