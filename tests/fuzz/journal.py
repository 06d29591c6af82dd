"""Fuzz the reading of journals: ``python -m tests.fuzz.journal [--seconds N] [--corpus DIR]``.

What is tried is that nothing raises, that memory stays bounded, and that wherever the input is cut
the scanner finds what the slow reader finds in all of it. New inputs that reach new code go to the
corpus; a failure is written to a file and ends it with a status other than 0.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import atheris

# Before anybody else imports them: what is loaded already is not watched. The slow reader's
# branches tell more than ours, most of which are in one expression.
with atheris.instrument_imports(include=["firedoor.formats", "tests.journal_reference"]):
    from tests.journal_reference import read

    from firedoor.formats import journal

from tests.journals import STARTED, STOPPED, UNIT_FAILED, Writer, exported

from firedoor.config.definitions import shipped
from firedoor.core.definition import LogSource

CORPUS: Final = Path(__file__).parent / "corpus" / "journal"
ROWS: Final = shipped().of(LogSource.JOURNAL)
MOST_HELD: Final = 2 * journal.LONGEST_ENTRY + 2 * 65_536
LONGEST_INPUT: Final = 4_096


def one_input(data: bytes) -> None:
    """Cut the input where its first bytes say, and compare."""
    cuts, body = data[:4], data[4:]
    scanner, found, begin = journal.Scanner(ROWS, at_once=0), [], 0
    for cut in sorted(byte * len(body) // 256 for byte in cuts):
        found += scanner.feed(body[begin:cut])
        begin = cut
    found += scanner.feed(body[begin:]) + scanner.end()
    expected = read(ROWS, body)
    if found != expected:
        raise AssertionError(f"found {found}, expected {expected}")
    if scanner.held() > MOST_HELD:
        raise AssertionError(f"{scanner.held()} bytes are held")


def seed(folder: Path) -> None:
    """Write what to begin with, if there is nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    writer = Writer(1_795_000_000_000)
    writer.boots("a")
    writer.say(**UNIT_FAILED)
    writer.stop()
    writer.boots("b")
    seeds = {
        "boots": writer.text(),
        "binary": exported({"MESSAGE": exported(UNIT_FAILED), "_BOOT_ID": "a" * 32}),
        "started": exported(STARTED) + exported(STOPPED),
        "long": b"A\n" + (2**63).to_bytes(8, "little") + b"\n\n" + exported(UNIT_FAILED),
    }
    for name, body in seeds.items():
        (folder / name).write_bytes(b"\x20\x60\xa0\xe0" + body)


def main() -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--found", type=Path, default=Path("fuzz-journal-"))
    given = parser.parse_args()
    seed(given.corpus)
    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={LONGEST_INPUT}",
        "-rss_limit_mb=1024",
        "-timeout=20",
        f"-artifact_prefix={given.found}",
    ]
    atheris.Setup([sys.argv[0], *options, str(given.corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
