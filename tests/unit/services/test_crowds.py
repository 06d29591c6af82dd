"""Who makes room for whom, with numbers for connections: even ones wait, odd ones are in use."""

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.services.crowds import Crowds

MANY, FLEET = 10_000, 500


def waits(member):
    """The loss with it: the lower numbers first."""
    return None if member % 2 else member


def crowds(**of):
    """Connections by the address; underscores stand for dots."""
    made = Crowds(waits)
    for address, members in of.items():
        for member in members:
            made.enter(member, address.replace("_", "."))
    return made


def fleet():
    """Machines with one connection each, all in use; above the numbers of the crowd."""
    return {f"10_0_{n // 250}_{n % 250}": [2 * MANY + 2 * n + 1] for n in range(FLEET)}


def test_a_crowd_gives_way_to_whoever_has_less():
    """Ten thousand of one address keep nobody out, though each of them asks for something."""
    made = crowds(a=range(1, 2 * MANY, 2), **fleet())
    for n in range(MANY // 2):
        gone = made.gives("10.1.0.1", second=n)
        assert gone is not None
        assert gone < 2 * MANY
        made.leave(gone)


def test_a_crowd_cannot_push_out_others_that_wait():
    """A machine that keeps its connection open between two requests has one; that stays."""
    made = crowds(a=range(0, 2 * MANY, 2), b=[2 * MANY], c=[2 * MANY + 2])
    for member in range(MANY):
        gone = made.gives("a", second=1)
        assert gone == 2 * member
        made.leave(gone)
        made.enter(3 * MANY + 2 * member, "a")

    assert 2 * MANY in made
    assert 2 * MANY + 2 in made


def test_in_a_crowd_the_one_that_waits_goes_first():
    """A download is not cut for the sake of a connection that only sits there."""
    assert crowds(a=[*range(1, 199, 2), 4]).gives("b", second=1) == 4


def test_a_crowd_that_is_all_in_use_gets_no_more():
    """It would have to cut one of its own to begin another."""
    made = crowds(a=range(1, 2001, 2), b=[2002])
    assert made.gives("a", second=1) is None
    assert not made.has_few("a")


def test_equals_that_are_all_in_use_cut_nobody():
    """More machines than there may be, each with a download: the next one waits for its turn."""
    made = crowds(**fleet())
    assert made.gives("10.1.0.1", second=1) is None
    assert made.has_few("10.1.0.1")


def test_one_that_waits_among_many_in_use_is_found_in_turn():
    """Not all are looked at each time, or every newcomer would cost as much as a thousand."""
    made = crowds(**fleet(), z=[2])
    tries = [made.gives("10.1.0.1", second=n) for n in range(FLEET)]
    assert 2 in tries


def test_who_is_in_use_again_is_not_taken_for_one_that_waits():
    """What was found a moment ago may have asked for something since."""
    busy = set()
    made = Crowds(lambda member: None if member in busy else member)
    for member in range(100):
        made.enter(member, "a")
    assert made.gives("b", second=1) == 0
    busy |= {0, 1, 2}
    assert made.gives("b", second=1) == 3


def test_those_that_have_gone_are_not_kept_by_a_list_of_those_that_wait():
    """A connection has what its client has said so far: thousands of them are megabytes."""

    class One:
        """What can be watched."""

    made: Crowds[One] = Crowds(lambda _: 1)
    ones = [One() for _ in range(1_000)]
    known = [weakref.ref(one) for one in ones]
    for one in ones:
        made.enter(one, "a")
    assert made.gives("b", second=1) is ones[0]
    for one in ones[1:]:
        made.leave(one)
    del ones[1:], one

    assert sum(each() is not None for each in known) <= 2


def test_who_has_shown_nothing_goes_before_one_of_many_that_is_in_use():
    """A site's downloads must not be cut for newcomers while others only sit there."""
    made = Crowds(waits, nothing=1_000)
    for member in range(1, 121, 2):
        made.enter(member, "site")
    for member in (2_000, 2_002, 500):
        made.enter(member, f"10.0.0.{member % 7}")

    assert made.gives("b", second=1) == 500
    made.leave(500)
    assert made.gives("b", second=1) == 1


def test_whether_anybody_has_many_is_known():
    """As many as an updater opens is few."""
    assert crowds(**fleet()).nobody_has_many()
    assert crowds(a=range(15)).nobody_has_many()
    assert not crowds(a=range(16)).nobody_has_many()
    assert crowds().nobody_has_many()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_a_network_of_one_household_is_one_address(one, other, same):
    """Who has IPv6 has more addresses than there may ever be connections."""
    made = crowds()
    for member in range(1, 2001, 2):
        made.enter(member, one)
    assert made.has_few(other) is not same


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=300),
    st.sampled_from("abcde"),
)
def test_whoever_gives_way_is_open_and_has_not_less_than_half_of_the_most(steps, newcomer):
    """Whatever came and went before."""
    made: Crowds[int] = Crowds(waits)
    of: dict[int, str] = {}
    for number, (address, comes) in enumerate(steps):
        if comes or not of:
            made.enter(number, address)
            of[number] = address
        else:
            made.leave(min(of))
            del of[min(of)]
    assert len(made) == len(of)
    gone = made.gives(newcomer, second=1)
    if gone is not None:
        counts = [*of.values(), newcomer]
        assert 2 * max(counts.count(of[gone]), 15) >= max(map(counts.count, counts))
    elif of:
        assert all(waits(member) is None for member in of if of[member] == newcomer)
