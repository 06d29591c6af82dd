"""What fuzzing has found is tried in every run."""

from pathlib import Path

import pytest
from tests.fuzz.targets import CUTS, JOURNAL_ROWS, TARGETS, seeds
from tests.journal_reference import read

from firedoor.formats.journal import Scanner

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_every_claim_holds_of_what_fuzzing_kept(target):
    """Every input that once reached code that no other did."""
    inputs = [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]
    assert inputs
    for data in (*inputs, *seeds(target).values()):
        TARGETS[target](data)


@pytest.mark.parametrize("step", [1, 61, 1_000_000])
def test_the_scanner_agrees_with_the_slow_reader_on_what_fuzzing_kept(step):
    """Cut at every byte, or nowhere."""
    for file in sorted((CORPUS / "journal").iterdir()):
        body = file.read_bytes()[CUTS:]
        scanner, found = Scanner(JOURNAL_ROWS, at_once=0), []
        for at in range(0, len(body), step):
            found += scanner.feed(body[at : at + step])
        assert found + scanner.end() == read(JOURNAL_ROWS, body), file.name
