"""A bucket that has much to tell does not hold up those who wait for their places."""

from firedoor.services.places import Standing
from firedoor.services.records import Bucket, ahead
from firedoor.services.roster import Habit

MANY = 25_000


def bucket(habits=(), standings=()):
    return Bucket("run", False, (), habits, standings, (), (), 0)


def test_a_small_bucket_is_written_at_once():
    """One commit a minute, as ever."""
    whole = bucket([Habit(1, 0, 0, 1, b"")], [Standing("av", 1, 2, 3)])

    portions, rest = ahead(whole)

    assert portions == []
    assert rest == whole
    assert ahead(bucket()) == ([], bucket([], []))


def test_a_large_bucket_goes_ahead_in_portions_by_machine_and_nothing_is_lost():
    """Neighbours lie on the same page."""
    habits = [Habit(n, 0, 0, 1, b"") for n in range(MANY, 0, -1)]
    standings = [Standing("av", n, 2, n) for n in range(5, 0, -1)]

    portions, rest = ahead(bucket(habits, standings))

    told = [habit for some, _ in portions for habit in some] + list(rest.habits)
    assert told == sorted(habits)
    assert [s for _, some in portions for s in some] + list(rest.standings) == sorted(standings)
    assert len(portions) == 2
    assert max(len(some) for some, _ in portions) < MANY


def test_of_two_standings_of_a_machine_the_later_is_written_last():
    """A bucket that could not be written goes with the next."""
    before, after = Standing("av", 1, 9, 3), Standing("av", 1, 2, 4)

    _, rest = ahead(bucket((), [before, Standing("av", 0, 1, 1), after]))

    assert list(rest.standings)[1:] == [before, after]
