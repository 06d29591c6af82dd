"""Two vendors' releases over one another, from the first card to the ledger's sentence."""

from collections.abc import Iterator, Mapping

import pytest
from tests.loop import memory
from tests.unit.services.twin import OS, Twin

from firedoor.core.door import Reason, State
from firedoor.core.evidence.attribution import Culprit
from firedoor.core.ledger.canonical import Json

STOPPED = (State.SHUT, State.HELD)


@pytest.fixture
def twin() -> Iterator[Twin]:
    """Three hundred machines that take updates of two vendors, each with a new release."""
    with memory() as folder:
        made = Twin(folder, 300)
        made.publish_second("1")
        made.settle_in()
        made.publish("2")
        made.publish_second("2")
        yield made
        made.close()


def joint_notes(twin: Twin) -> list[Mapping[str, Json]]:
    """What the ledger says of the two, oldest first."""
    found = (signed.entry.body.get("suspects") for signed in twin.store.entries())
    return [suspects for suspects in found if isinstance(suspects, Mapping)]


def test_harm_of_two_releases_together_stops_both_and_is_named(twin: Twin) -> None:
    """Each alone is harmless: without the pair, one would be shut and the other go on."""
    twin.fatal = (2, 2)
    for _ in range(60):
        twin.bucket()
        if twin.door(2).state in STOPPED and twin.second_door(2).state in STOPPED:
            break
    twin.bucket(10)

    doors = twin.door(2), twin.second_door(2)
    assert {door.state for door in doors} <= set(STOPPED)
    assert Reason.JOINT in {move["reason"] for move in twin.moves(2)}
    assert joint_notes(twin)[-1]["culprit"] == Culprit.INTERACTION
    assert joint_notes(twin)[-1]["harmed"] == ((0, 0), (0, len(twin.dead)))


def test_a_harmless_release_goes_on_beside_a_deadly_one(twin: Twin) -> None:
    """Its cards know nothing of the other's, so its evidence stays quiet and nobody holds it."""
    twin.deadly.add(twin.release_of(2))
    for _ in range(60):
        twin.bucket()
        if twin.second_door(2).state is not State.OPENING:
            break

    assert twin.door(2).state is State.SHUT
    assert twin.second_door(2).state is State.OPEN
    assert not joint_notes(twin)
    assert twin.store.cursor(f"suspected:{OS}:2") == 0


def test_a_judge_that_is_started_again_says_nothing_twice(twin: Twin) -> None:
    """What people were told is in the store, not in the process."""
    twin.fatal = (2, 2)
    for _ in range(45):
        twin.bucket()
        if joint_notes(twin):
            twin.start_judge()

    told = [each["culprit"] for each in joint_notes(twin)]
    assert told
    assert len(set(told)) == len(told)
