"""Rings: who belongs where, and who waits for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.ring import (
    EVERYONE,
    Ring,
    find_cycle,
    largest_in_flight,
    order,
    ring_of,
    waits_for,
    with_everyone,
)

LAB = Ring("lab", (("site", ("lab",)),))
OFFICES = Ring("offices", (("site", ("prague", "brno")), ("role", ("desk",))), after="lab")
TILLS = Ring("tills", (("role", ("till",)),), after="lab")


@st.composite
def forests(draw):
    """Rings without cycles, written in any order."""
    count = draw(st.integers(0, 7))
    rings = []
    for number in range(count):
        earlier = draw(st.none() | st.integers(0, number - 1)) if number else None
        after = None if earlier is None else f"r{earlier}"
        budget = draw(st.integers(1, 9))
        rings.append(Ring(f"r{number}", (("n", (str(number),)),), after, budget))
    return draw(st.permutations(rings))


def test_a_machine_is_in_the_first_ring_that_claims_it():
    """The order in the file is the order of precedence: a till of the lab belongs to the lab."""
    assert ring_of({"site": "lab", "role": "till"}, [LAB, TILLS]) == "lab"
    assert ring_of({"site": "lab", "role": "till"}, [TILLS, LAB]) == "tills"


def test_a_ring_claims_a_machine_only_if_every_attribute_matches():
    """Half a match would put a machine into a cohort its operator did not mean."""
    assert ring_of({"site": "brno", "role": "desk"}, [OFFICES]) == "offices"
    assert ring_of({"site": "brno", "role": "till"}, [OFFICES]) == EVERYONE
    assert ring_of({"site": "brno"}, [OFFICES]) == EVERYONE


def test_a_machine_that_no_ring_claims_is_in_everyone():
    """Nobody may fall between the rings: such a machine would never get an update."""
    assert ring_of({}, [LAB, OFFICES]) == EVERYONE
    assert ring_of({"site": "lab"}, [Ring(EVERYONE), LAB]) == "lab"


def test_everyone_is_last_wherever_it_was_written_and_keeps_its_budget():
    """A budget for everyone must not be lost because the ring always exists."""
    rings = with_everyone([Ring(EVERYONE, budget=7), LAB])

    assert [ring.name for ring in rings] == ["lab", EVERYONE]
    assert rings[-1].budget == 7
    assert with_everyone([]) == (Ring(EVERYONE),)


def test_everyone_waits_for_all_other_rings():
    """Whoever was not thought of comes last, not first."""
    assert waits_for(EVERYONE, [LAB, OFFICES, TILLS]) == ("lab", "offices", "tills")
    assert waits_for("offices", [LAB, OFFICES]) == ("lab",)
    assert waits_for("lab", [LAB, OFFICES]) == ()


def test_asking_for_an_unknown_ring_is_a_mistake():
    """An answer of "waits for nobody" would open a door early."""
    with pytest.raises(ValueError, match="no ring 'labs'"):
        waits_for("labs", [LAB])


def test_a_cycle_is_found_and_named_in_full():
    """Rings that wait for each other would never open; the message needs the whole chain."""
    rings = [
        Ring("outside", after="a"),
        Ring("a", after="b"),
        Ring("b", after="c"),
        Ring("c", after="a"),
    ]

    assert find_cycle(rings) == ("a", "b", "c")
    assert find_cycle([Ring("self", after="self")]) == ("self",)


def test_an_order_that_cannot_be_is_refused():
    """The caller must not loop for ever over rings that wait for each other."""
    with pytest.raises(ValueError, match="a, b"):
        order([Ring("a", after="b"), Ring("b", after="a")])
    with pytest.raises(ValueError, match="a"):
        order([Ring("a", after="nowhere")])


@given(forests())
def test_every_ring_stands_after_what_it_waits_for(rings):
    """The order is the one in which doors may open."""
    ordered = order(rings)

    seen: set[str] = set()
    for ring in ordered:
        assert seen.issuperset(waits_for(ring.name, rings))
        seen.add(ring.name)
    assert seen == {ring.name for ring in rings} | {EVERYONE}
    assert find_cycle(rings) == ()


@given(forests(), st.integers(1, 40))
def test_the_largest_sum_in_flight_is_that_of_the_heaviest_set_that_may_run_side_by_side(
    rings, everyone
):
    """The figure is a promise to the operator: compared with trying every set of rings."""
    before = {ring.name: ring.after for ring in rings}

    def waits(name, other):
        while name is not None:
            name = before[name]
            if name == other:
                return True
        return False

    def side_by_side(subset):
        return not any(waits(a.name, b.name) for a in subset for b in subset)

    subsets = [
        [ring for bit, ring in enumerate(rings) if mask >> bit & 1]
        for mask in range(2 ** len(rings))
    ]
    heaviest = max(sum(r.budget for r in subset) for subset in subsets if side_by_side(subset))

    found = largest_in_flight(rings, lambda ring: ring.budget or everyone)

    assert found == max(heaviest, everyone)
