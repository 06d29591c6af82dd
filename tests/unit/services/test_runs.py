import pytest

from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.terms import Policy
from firedoor.formats.counts import Row
from firedoor.services import runs
from firedoor.services.alone import judge, question

ASKED = question(Policy(), 1000)


def row(time_ms, signal="crash", stratum="", *, harmed=0, release="v2", treated=50):
    return Row(time_ms, release, signal, stratum, treated, 450, harmed, 0, treated)


def began(*rows):
    return runs.begin("r", rows, ASKED, now_ms=1)


def test_new_rows_stand_behind_those_that_came_before():
    """A stratum that reports late must not change what was judged before it came."""
    run = runs.feed(began(row(1), row(5)), [row(3, stratum="lab")], now_ms=2)

    assert [each.time_ms for each in run.rows] == [1, 5, 3]
    assert (run.began_ms, run.fed_ms) == (1, 2)


def test_what_came_before_changes_nothing():
    """Pipelines retry."""
    run = began(row(1), row(2))

    assert runs.feed(run, [row(2), row(1), row(2)], now_ms=1) == run


def test_harmful_is_not_taken_back_by_what_comes_later():
    """Somebody acted on it."""
    run = began(row(1, harmed=20))
    after = runs.feed(run, [row(time) for time in range(2, 30)], now_ms=2)

    assert judge(run.rows, ASKED).state.value == "harmful"
    assert judge(after.rows, ASKED).state.value == "harmful"


@pytest.mark.parametrize(
    ("late", "complaint"),
    [
        (row(1, harmed=1), "came before with other counts"),
        (row(9, signal="silence"), "began without the signal 'silence'"),
        (row(9, release="v3"), "the run is about 'v2', not 'v3'"),
    ],
)
def test_what_would_change_the_past_is_refused(late, complaint):
    """A closed interval that opens again, or a bet that was not placed, is worth nothing."""
    with pytest.raises(BadInput, match=complaint):
        runs.feed(began(row(1)), [late], now_ms=2)


def test_a_signal_cannot_come_after_its_interval_has_closed():
    """Clearance would count its machines a second time."""
    run = began(row(1), row(1, "silence"), row(2))

    with pytest.raises(BadInput, match="closed without this signal"):
        runs.feed(run, [row(2, "silence")], now_ms=2)


def test_a_run_has_one_release_and_an_end():
    """A name used for two would mix them; a run without end would fill the disk."""
    with pytest.raises(BadInput, match="not 'v3'"):
        began(row(1), row(2, release="v3"))
    with pytest.raises(TooLarge, match="10,000 rows"):
        began(*(row(time) for time in range(10_001)))


def test_contradicting_rows_of_one_message_are_refused():
    """Only their author knows which is true."""
    with pytest.raises(BadInput, match="gives other counts"):
        began(row(1), row(1, harmed=1))


def test_an_interval_comes_whole():
    """Strata that come one by one may come worst first, and somebody looks in between."""
    run = began(row(1, stratum="shop"), row(1, stratum="till"))

    with pytest.raises(BadInput, match="closed without this signal and stratum"):
        runs.feed(run, [row(1, stratum="lab")], now_ms=2)
    assert len(runs.feed(run, [row(2, stratum="lab")], now_ms=2).rows) == 3
