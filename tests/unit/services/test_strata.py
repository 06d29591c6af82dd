"""Strata on their way: from the draw of a card through gate.db to a verdict's groups."""

from tests.loop import AV
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


def test_a_verdict_tells_which_model_was_hit(start):
    """An operator's first question is which machines; the answer is in the verdict."""
    loop = start(40, policy='budget = 6\nstrata = ["model"]')
    for machine in loop.machines:
        loop.stratum[machine] = f"model={'new' if machine % 4 == 0 else 'old'}"
    loop.settle_in()
    loop.deadly.add(loop.publish("2"))
    loop.bucket(25)
    cells = [c for c in loop.store.cells(AV, 2) if c.test is Test.HARM]
    (silence, *_) = loop.verdict(2).streams
    told = {(g.attribute, g.value): g.treated_harmed for g in silence.groups}
    dead = [m for m in loop.treated(2) if m in loop.dead]

    assert loop.flight(2).boarding.rules.attributes == ("model",)
    assert {cell.stratum for cell in cells} <= {"model=new", "model=old"}
    assert sum(told.values()) == silence.treated_harmed > 0
    for model in ("new", "old"):
        mine = [m for m in dead if loop.stratum[m] == f"model={model}"]
        assert told.get(("model", model), 0) == len(mine)


def test_a_cell_tells_how_long_after_the_cut_it_was_counted(start):
    """A crash within minutes and a silence after a deadline are different histories."""
    loop = start(20, policy="budget = 4")
    loop.beat(loop.machines)
    loop.settle_in()
    loop.publish("2")
    loop.bucket(3)
    loop.crash(loop.treated(2)[0])
    loop.dead.add(loop.control(2)[0])
    loop.bucket(14)
    cells = loop.store.cells(AV, 2)

    crash, silence, matured = (
        next(cell for cell in cells if cell.signal == signal)
        for signal in ("crash", "silence", "any")
    )
    assert (crash.age, silence.age, matured.age) == (0, 1, 1)
