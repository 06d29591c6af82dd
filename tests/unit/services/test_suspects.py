"""Which of two releases that roll out over one another does the harm."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.loop import memory
from tests.unit.services.pairs import AV, OS, RING, Pair

from firedoor.core import valve
from firedoor.core.door import Reason, State
from firedoor.core.evidence.attribution import Culprit
from firedoor.core.valve import Deal
from firedoor.services.suspects import WITHIN_MS


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Four hundred machines that take updates of two channels."""
    with memory() as folder:
        made = Pair(folder)
        yield made
        made.close()


def of_the_first(a: bool, b: bool) -> bool:  # noqa: FBT001, ARG001 - the two labels of a machine
    return a


def of_either(a: bool, b: bool) -> bool:  # noqa: FBT001 - likewise
    return a or b


def of_both_together(a: bool, b: bool) -> bool:  # noqa: FBT001 - likewise
    return a and b


def test_the_decks_of_two_channels_know_nothing_of_each_other() -> None:
    """Else every contrast below would compare machines that were alike to begin with."""
    cards = Deal(treated=500, cards=2_000)
    labels = []
    for channel in ("av", "os"):
        shuffled = [
            valve.arrangement(
                valve.deck_key(valve.boarding_seed(b"k" * 32, channel, number), "ab" * 32, RING, 1),
                cards,
            )
            for number in range(1, 21)
        ]
        labels.append(np.array(shuffled))
    both = (labels[0] & labels[1]).sum()

    # 20 decks: 2 500 in both by chance, with a standard deviation of 42 (hypergeometric).
    assert 2_330 < both < 2_670
    assert not np.array_equal(labels[0][0], labels[1][0])


def test_the_guilty_is_told_from_what_was_rolled_out_over_it(pair: Pair) -> None:
    """Half of the harmed have the other release, too: that is what half of all have."""
    pair.deal(AV, 40)
    pair.deal(OS, 200)
    pair.harm(of_the_first, AV, OS)

    found = pair.compare()

    assert found.culprit is Culprit.A
    assert found.harmed[0] == (0, 0)
    assert sum(found.harmed[1]) == 40
    assert found.sealed == 0


def test_harm_of_two_releases_together_is_called_that(pair: Pair) -> None:
    """Either vendor alone would say, and rightly, that theirs is harmless."""
    pair.deal(AV, 120)
    pair.deal(OS, 120)
    hit = pair.harm(of_both_together, AV, OS)

    found = pair.compare()

    assert found.culprit is Culprit.INTERACTION
    assert found.harmed == ((0, 0), (0, len(hit)))


def test_two_harmful_releases_are_both_found(pair: Pair) -> None:
    """To take back one of them would be half a rescue."""
    pair.deal(AV, 60)
    pair.deal(OS, 60)
    pair.harm(of_either, AV, OS)

    assert pair.compare().culprit is Culprit.BOTH


def test_what_everybody_has_already_is_no_contrast_and_no_excuse(pair: Pair) -> None:
    """The operating system went to all of them last week: does it take both? Nobody can tell."""
    pair.hand_out(OS, pair.machines)
    pair.deal(AV, 60)
    pair.harm(of_the_first, AV)

    found = pair.compare()

    assert found.findings.culprit is Culprit.A
    assert found.culprit is Culprit.JOINT
    assert found.findings.log_e_b == pytest.approx(0.0, abs=1e-9)


def test_nobody_is_let_off_because_the_other_shows_first(pair: Pair) -> None:
    """Harm that needs both shows in the rarer one; what it is without the other is not known."""
    pair.deal(AV, 16)
    pair.deal(OS, 300)
    pair.harm(of_both_together, AV, OS)

    found = pair.compare()

    assert found.findings.culprit is Culprit.A
    assert found.culprit is Culprit.JOINT


def test_the_label_of_a_sealed_member_is_not_read(pair: Pair) -> None:
    """The second one's class has not closed: who of the harmed is treated there is nobody's."""
    pair.deal(AV, 40)
    pair.deal(OS, 200, closed=0)
    pair.harm(of_the_first, AV)

    sealed = pair.compare()
    with pair.store.step():
        pair.store.close_deck(*OS, RING, 1, 1)
    public = pair.compare()

    assert sealed.harmed == ((0, 0), (0, 0))
    assert sealed.sealed == 40
    assert sealed.culprit is Culprit.JOINT
    assert public.sealed == 0
    assert sum(public.harmed[1]) == 40
    assert public.culprit is Culprit.A


def test_two_that_nothing_tells_apart_are_both_held_and_told_of_once(pair: Pair) -> None:
    """Never guess: a person decides, with the counts in hand."""
    everybody = list(pair.machines)
    pair.deal(AV, 9, among=everybody[:10], closed=0)
    pair.deal(OS, 9, among=everybody[:10], closed=0)
    pair.harm(of_both_together, AV, OS)
    for key in (AV, OS):
        pair.fly(key, harmed=3)
    pair.look()
    pair.look()

    for key in (AV, OS):
        door = pair.flights[key].doors[RING]
        assert (door.state, door.reason) == (State.HELD, Reason.JOINT)
        assert "accused of the same harm" in door.note
    (note,) = pair.notes()
    assert not note["alert"]  # The doors that were held tell people.
    assert note["suspects"]["culprit"] in (Culprit.JOINT, Culprit.NOBODY)


def test_a_release_that_a_person_lets_go_on_is_not_held_again(pair: Pair) -> None:
    """Whoever resumed it has read the counts."""
    pair.deal(AV, 9, among=range(1, 11), closed=0)
    pair.deal(OS, 9, among=range(1, 11), closed=0)
    pair.harm(of_both_together, AV, OS)
    for key in (AV, OS):
        pair.fly(key, harmed=3)
    pair.look()
    for key in (AV, OS):
        pair.resume(key)
        pair.close_one(key, harmed=1)
    pair.suspects = pair.fresh()
    pair.look()

    assert {pair.flights[key].doors[RING].state for key in (AV, OS)} == {State.OPENING}
    assert len(pair.notes()) == 1


def test_the_innocent_goes_on(pair: Pair) -> None:
    """It was accused by chance while the guilty rolled out; its own evidence decides on."""
    pair.deal(AV, 40)
    pair.deal(OS, 300)
    pair.harm(of_the_first, AV, OS)
    pair.fly(AV, harmed=40, state=State.SHUT)
    innocent = pair.fly(OS, harmed=3)
    pair.look()

    assert innocent.doors[RING].state is State.OPENING
    (note,) = pair.notes()
    assert note["alert"]
    assert note["suspects"]["culprit"] == Culprit.A
    assert "it is the first" in str(note["note"])


def test_a_shut_release_that_is_watched_no_more_still_accuses_for_a_day(pair: Pair) -> None:
    """All its classes have closed, the judge was restarted, and the other one comes."""
    pair.deal(AV, 9, among=range(1, 11))
    pair.deal(OS, 9, among=range(1, 11), closed=0)
    pair.harm(of_both_together, AV, OS)
    pair.fly(AV, harmed=9, state=State.SHUT)
    del pair.flights[AV]
    other = pair.fly(OS, harmed=3)
    pair.look()

    assert other.doors[RING].reason is Reason.JOINT


def test_accusations_of_different_days_are_not_of_one_piece(pair: Pair) -> None:
    """What was shut the day before yesterday does not hold what comes today."""
    pair.deal(AV, 9, among=range(1, 11))
    pair.deal(OS, 9, among=range(1, 11), closed=0)
    pair.harm(of_both_together, AV, OS)
    pair.fly(AV, harmed=9, state=State.SHUT)
    pair.clock.pass_ms(WITHIN_MS + 60_000)
    other = pair.fly(OS, harmed=3)
    pair.look()

    assert other.doors[RING].state is State.OPENING
    assert not pair.notes()


def test_two_that_harm_different_machines_are_no_pair(pair: Pair) -> None:
    """A bad night has two culprits, and nothing to attribute."""
    pair.deal(AV, 20, among=range(1, 101))
    pair.deal(OS, 20, among=range(101, 201))
    pair.harm(of_either, AV, OS)
    for key in (AV, OS):
        pair.fly(key, harmed=3)
    pair.look()

    assert not pair.notes()
    assert {pair.flights[key].doors[RING].state for key in (AV, OS)} == {State.OPENING}


def test_a_release_that_is_not_accused_is_not_looked_at(pair: Pair) -> None:
    """Of two that overlap, one is harmful and the other's evidence is quiet."""
    pair.deal(AV, 40)
    pair.deal(OS, 300)
    pair.harm(of_the_first, AV, OS)
    pair.fly(AV, harmed=40)
    pair.fly(OS, harmed=0)
    pair.look()

    assert not pair.notes()
