"""Strata on their way: from the draw of a card through gate.db to a verdict's groups."""

from tests.loop import AV, Loop
from tests.unit.services.turnstile import Gate, grant

from firedoor.core.cell import Test


def test_the_stratum_is_asked_once_a_card_and_never_without_one():
    """Most sessions draw nothing: the register must not be asked for them."""
    asked = []

    def stratum(machine):
        asked.append(machine)
        return f"site=s{machine}"

    gate = Gate(6, stratum_of=stratum)
    gate.board(candidate=2, grant=grant(cards=3))
    drawn = [gate.poll(machine)[0].places for machine in range(1, 4)]
    gate.board(candidate=2, closed=((1, 0),))
    for machine in range(4, 7):
        gate.poll(machine)

    assert asked == [1, 2, 3]
    assert [places[0].stratum for places in drawn] == ["site=s1", "site=s2", "site=s3"]


def test_a_stratum_that_cannot_be_read_takes_no_card_from_the_deck():
    """The deck would be short of a card that somebody else should have drawn."""
    failing = [True]

    def stratum(machine):
        if failing[0]:
            raise LookupError(machine)
        return "site=a"

    gate = Gate(4, stratum_of=stratum)
    gate.board(candidate=2, grant=grant(cards=2))
    try:
        gate.poll(1)
    except LookupError:
        failing[0] = False
    places = [gate.poll(machine)[0].places[0] for machine in (2, 3)]

    assert [place.card for place in places] == [0, 1]


def loop_with_models(folder, **how):
    loop = Loop(folder, 40, policy='budget = 6\nstrata = ["model"]', **how)
    for machine in loop.machines:
        loop.stratum[machine] = f"model={'new' if machine % 4 == 0 else 'old'}"
    loop.settle_in()
    return loop


def test_a_verdict_tells_which_model_was_hit(tmp_path):
    """An operator's first question is which machines; the answer is in the verdict."""
    loop = loop_with_models(tmp_path)
    try:
        release = loop.publish("2")
        loop.deadly.add(release)
        loop.bucket(25)
        cells = [c for c in loop.store.cells(AV, 2) if c.test is Test.HARM]
        (silence, *_) = loop.verdict(2).streams
        told = {(g.attribute, g.value): g.treated_harmed for g in silence.groups}
        dead = [m for m in loop.treated(2) if m in loop.dead]
    finally:
        loop.close()

    assert {cell.stratum for cell in cells} <= {"model=new", "model=old"}
    assert sum(told.values()) == silence.treated_harmed > 0
    for model in ("new", "old"):
        mine = [m for m in dead if loop.stratum[m] == f"model={model}"]
        assert told.get(("model", model), 0) <= len(mine)


def test_a_channel_may_look_by_other_attributes_than_the_rest(tmp_path):
    """Rules of a boarding: what the channel's policy said when it boarded."""
    loop = loop_with_models(tmp_path)
    try:
        loop.publish("2")
        rules = loop.flight(2).boarding.rules
    finally:
        loop.close()

    assert rules.attributes == ("model",)
