"""A policy with a ratio: the verdict says what was chosen, and how far the evidence for it is."""

import math

import pytest
from tests.unit.cli.desk import Desk
from tests.unit.wire.site import CHANNEL

from firedoor.core.cell import Cell, Test
from firedoor.core.verdict import absorb, start, verdict
from firedoor.services.flight import Flight
from firedoor.services.reports import sentence


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A release on 200 machines, one of whose controls falls silent; a ratio may clear it."""
    desk = Desk(tmp_path_factory.mktemp("ratio"), machines=200, policy="ratio = 1.5")
    desk.site.settle_in()
    release = desk.site.publish("2")
    dead: set[int] = set()

    def silent(machine: int) -> bool:
        treated = desk.site.treated(2)
        if not dead and treated:
            dead.add(min(m for m in desk.site.machines if m not in treated))
        return machine in dead

    for _ in range(8):
        desk.site.round(silent)
    return desk, release


def test_the_verdict_names_the_ratio_and_the_evidence_against_it(judged):
    """Without it nobody sees by which of two rules a door opened, or is about to."""
    desk, release = judged
    found = desk.run("verdict", "show", release, "--json").json()
    explained = desk.run("verdict", "explain", release, "--json").json()

    assert found["ratio"] == explained["ratio"] == 1.5
    assert found["log_e_ratio"] == explained["log_e_ratio"] != 0.0
    assert found["thresholds"]["log_e_ratio"] == pytest.approx(math.log(20))


def test_the_command_line_says_it_with_its_line(judged):
    """The number alone says nothing without what it is held against."""
    desk, release = judged
    found = desk.run("verdict", "show", release, "--json").json()
    said = desk.run("verdict", "show", release).out

    line = f"{found['log_e_ratio']:.4f} against 1.5 times the control's odds (clears at 2.9957)"
    assert line in said
    assert "odds of harm of 1.5 times the control's are not excluded yet" in said


@pytest.mark.parametrize(("harmed", "words"), [(10, "excluded as well"), (15, "not excluded yet")])
def test_the_ledgers_sentence_says_whether_the_ratio_is_excluded(judged, harmed, words):
    """By twenty classes of 1000 treated and 4000 control machines, of which 40 fail anyway."""
    boarding = judged[0].site.store.boardings(CHANNEL)[1]
    evidence = start(boarding.rules)
    for seq in range(1, 21):
        counts = (1000, 4000, harmed, 40, 1000)
        cell = Cell(seq, "everyone", seq, 0, Test.CLEARANCE, "any", "", *counts)
        evidence = absorb(evidence, cell)

    said = sentence(Flight(boarding, b"", {}, evidence), verdict(evidence))

    assert f"odds of harm of 1.5 times the control's are {words}" in said


def test_without_a_ratio_nothing_is_said_of_one(tmp_path):
    """It is off by default, and a line about nothing is a line too many."""
    desk = Desk(tmp_path)
    release = desk.adopt_and_walk()[1]
    found = desk.run("verdict", "show", release, "--json").json()
    said = desk.run("verdict", "show", release).out

    assert (found["ratio"], found["log_e_ratio"]) == (None, 0.0)
    assert found["thresholds"]["log_e_ratio"] is None
    assert "ratio" not in said
    assert "odds" not in said
    assert desk.site.store.boardings(CHANNEL)[-1].rules.ratio is None
