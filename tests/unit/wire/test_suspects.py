"""Which of two: what an explanation says of a release that is accused together with another."""

from collections.abc import Iterator

import pytest
from tests.loop import memory
from tests.unit.services.pairs import AV, OS, Pair

from firedoor.adapters.store.judge import JudgeReader
from firedoor.console.facts import SuspectFacts, Whose
from firedoor.core.door import State
from firedoor.core.units import UnixMs
from firedoor.wire.decisions import described
from firedoor.wire.explaining import suspected


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Four hundred machines that take updates of two channels."""
    with memory() as folder:
        made = Pair(folder)
        yield made
        made.close()


def told(pair: Pair, key: tuple[str, int]) -> SuspectFacts | None:
    """The facts from the side of one of them."""
    (boarding,) = pair.store.boardings(key[0])
    reader: JudgeReader = pair.store
    return suspected(reader, boarding)


def test_each_of_two_suspects_is_told_of_the_other(pair: Pair) -> None:
    """The same counts, from either side: whoever reads one page sees which of two it is."""
    pair.deal(AV, 40)
    pair.deal(OS, 300)
    pair.harm(lambda a, _: a, AV, OS)
    pair.fly(AV, harmed=40, state=State.SHUT)
    pair.fly(OS, harmed=3)
    pair.look()

    guilty, innocent = told(pair, AV), told(pair, OS)

    assert guilty is not None
    assert innocent is not None
    assert (guilty.channel, guilty.number, guilty.whose) == (*OS, Whose.THIS)
    assert (innocent.channel, innocent.number, innocent.whose) == (*AV, Whose.OTHER)
    assert guilty.both == innocent.both
    assert guilty.both + guilty.only_this == 40
    assert innocent.only_other == guilty.only_this
    assert guilty.only_other == guilty.neither == 0


def test_a_release_that_is_accused_alone_has_no_other(pair: Pair) -> None:
    """Most harm has one culprit, and nothing more to say."""
    pair.deal(AV, 40)
    pair.harm(lambda a, _: a, AV)
    pair.fly(AV, harmed=40)
    pair.look()

    assert told(pair, AV) is None


def test_the_ledger_says_in_a_sentence_why_a_suspect_is_held(pair: Pair) -> None:
    """A reason that nobody can read would be none."""
    pair.deal(AV, 9, among=range(1, 11), closed=0)
    pair.deal(OS, 9, among=range(1, 11), closed=0)
    pair.harm(lambda a, b: a and b, AV, OS)
    for key in (AV, OS):
        pair.fly(key, harmed=3)
    pair.look()

    doors = [s.entry for s in pair.store.entries() if s.entry.kind == "door"]

    assert {entry.body["channel"] for entry in doors} == {"av", "os"}
    for entry in doors:
        view = described(entry, lambda *_: "")
        assert "one of two releases accused of the same harm" in view.sentence
        assert view.time_ms == UnixMs(pair.clock.wall_ms)
