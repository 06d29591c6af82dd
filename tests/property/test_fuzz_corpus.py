"""What fuzzing has found is tried in every run."""

from pathlib import Path

import pytest
from tests.journal_reference import read

from firedoor.config.definitions import shipped
from firedoor.core.definition import LogSource
from firedoor.formats.journal import Scanner

JOURNALS = Path(__file__).parents[1] / "fuzz" / "corpus" / "journal"
ROWS = shipped().of(LogSource.JOURNAL)
CUTS = 4


@pytest.mark.parametrize("step", [1, 61, 1_000_000])
def test_the_scanner_agrees_with_the_slow_reader_on_what_fuzzing_kept(step):
    """Every input that once reached code that no other did."""
    inputs = sorted(JOURNALS.iterdir())
    assert inputs
    for file in inputs:
        body = file.read_bytes()[CUTS:]
        scanner, found = Scanner(ROWS, at_once=0), []
        for at in range(0, len(body), step):
            found += scanner.feed(body[at : at + step])
        assert found + scanner.end() == read(ROWS, body), file.name
