"""Room: new releases stop before the disk is full, and people learn of it in time."""

import pytest

from firedoor.services.room import Level, Limits, Space

GIB = 1 << 30
WIDE = Space(used=0, free=500 * GIB, total=1000 * GIB)


def test_a_budget_stops_new_releases_where_the_disk_has_room():
    """The disk may be shared with others, who were promised the rest of it."""
    limits = Limits(budget=10 * GIB)
    space = Space(used=9 * GIB, free=500 * GIB, total=1000 * GIB)

    assert limits.room(space) == GIB
    assert limits.room(Space(11 * GIB, 500 * GIB, 1000 * GIB)) < 0


def test_the_disk_stops_new_releases_before_it_is_full():
    """The databases need what is left: without them no machine is let in anywhere."""
    space = Space(used=GIB, free=GIB + 5, total=100 * GIB)

    assert Limits().room(space) == 5
    assert Limits(reserve=GIB // 2).room(space) == GIB // 2 + 5


def test_a_small_disk_keeps_a_twentieth_free():
    """A whole GiB would be all of a small appliance's disk."""
    assert Limits().reserved(Space(0, GIB, 2 * GIB)) == 2 * GIB // 20


def test_what_machines_wait_for_may_go_deeper_than_a_new_release():
    """A release that is open already must be served, whatever the budget of new ones says."""
    limits = Limits(budget=GIB, reserve=2 * GIB)
    space = Space(used=GIB, free=2 * GIB, total=100 * GIB)

    assert limits.room(space) == 0
    assert limits.room(space, urgent=True) == GIB
    assert limits.room(Space(GIB, GIB, 100 * GIB), urgent=True) == 0


@pytest.mark.parametrize(
    ("used", "level"), [(79, Level.FINE), (80, Level.CLOSE), (99, Level.CLOSE), (100, Level.FULL)]
)
def test_people_are_told_at_80_and_at_100_percent_of_the_budget(used, level):
    """Early enough to order a disk, and again when it is too late for that."""
    assert Limits(budget=100).level(Space(used, 500 * GIB, 1000 * GIB)) is level


def test_a_level_does_not_flutter():
    """A store that stands at its border must not send an alert a minute."""
    limits = Limits(budget=100)

    assert limits.level(Space(78, WIDE.free, WIDE.total), Level.CLOSE) is Level.CLOSE
    assert limits.level(Space(74, WIDE.free, WIDE.total), Level.CLOSE) is Level.FINE


def test_a_disk_that_others_fill_is_told_too():
    """Logs of the host fill the same disk, and nothing of ours has grown."""
    limits = Limits(reserve=GIB)

    assert limits.level(Space(0, 2 * GIB, 100 * GIB)) is Level.FINE
    assert limits.level(Space(0, 2 * GIB - 1, 100 * GIB)) is Level.CLOSE
    assert limits.level(Space(0, GIB, 100 * GIB)) is Level.FULL


def test_a_refusal_names_the_border_that_is_nearer():
    """Somebody who frees space on a disk that has plenty is none the wiser."""
    limits = Limits(budget=100, reserve=GIB)

    assert "storage.budget" in limits.refusal(Space(99, 500 * GIB, 1000 * GIB))
    assert "storage.budget" not in limits.refusal(Space(0, GIB, 1000 * GIB))
    assert "storage.budget" not in limits.refusal(Space(200, GIB, 1000 * GIB), urgent=True)


@pytest.mark.parametrize("level", [Level.CLOSE, Level.FULL])
@pytest.mark.parametrize("limits", [Limits(budget=100), Limits(reserve=GIB)])
def test_what_is_told_says_what_to_do(level, limits):
    """Somebody is woken by this and has never heard of a blob."""
    told = limits.told(level, Space(100, GIB // 4, 100 * GIB))

    assert "lower keep of a channel" in told
    assert ("raise storage.budget" in told) <= (limits.budget is not None)
    assert "firedoor channel show NAME" in told
    assert "free some space" in told or "raise storage.budget" in told
