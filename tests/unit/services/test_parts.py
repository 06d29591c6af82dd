"""Parts of one interval from several collectors."""

import itertools
from dataclasses import replace

import pytest

from firedoor.core.errors import BadInput
from firedoor.formats.counts import Row
from firedoor.services import parts as of_parts
from firedoor.services import runs
from firedoor.services.alone import Asked, judge

ASKED = Asked(follow_up=2, delta=0.05)
PARTS = of_parts.listed(["west", "east"], ASKED)
HARM = {"east": 3, "west": 1}


def row(time_ms, part, *, signal="crash", stratum="", harmed=None, treated=50, control=450):
    harmed = HARM[part] if harmed is None else harmed
    return Row(time_ms, "v2", signal, stratum, treated, control, harmed, 2, treated)


def fed(pushes, parts=PARTS):
    """A run of (part, rows) pushes in this order."""
    run = None
    for at, (part, rows) in enumerate(pushes):
        if run is None:
            run = runs.begin_in_parts("r", rows, parts, part, at)
        else:
            run = runs.feed(run, rows, at, part)
    return run


def test_parts_of_an_interval_add_up():
    """By hand: 50 and 50 treated, 3 and 1 of them harmed; 450 and 450 control, 2 and 2."""
    run = fed([("east", [row(1, "east")]), ("west", [row(1, "west")])])

    assert run.weighed == [Row(1, "v2", "crash", "", 100, 900, 4, 4, 100)]
    assert run.question is not None
    assert run.question.machines == 1000
    whole = judge([Row(1, "v2", "crash", "", 100, 900, 4, 4, 100)], run.question)
    assert judge(run.weighed, run.question) == whole


def test_an_interval_is_weighed_when_all_its_parts_are_there():
    """Harm that comes first, looked at before the rest, would be the worst of it."""
    run = fed([("east", [row(1, "east", harmed=50)])])

    assert list(run.weighed) == []
    assert run.question is None
    assert of_parts.waits(run.rows, PARTS) == of_parts.Waits(1, ("west",), 1)


def test_an_interval_waits_for_the_one_before():
    """Weighed out of order, two collectors would give other bits than the same two tomorrow."""
    run = fed(
        [
            ("east", [row(1, "east"), row(2, "east"), row(3, "east")]),
            ("west", [row(1, "west")]),
        ]
    )

    assert {each.time_ms for each in run.weighed} == {1}
    assert of_parts.waits(run.rows, PARTS) == of_parts.Waits(2, ("west",), 2)
    done = runs.feed(run, [row(2, "west"), row(3, "west")], 9, "west")
    assert [each.time_ms for each in done.weighed] == [1, 2, 3]
    assert of_parts.waits(done.rows, PARTS) is None


def test_nothing_is_weighed_past_a_gap():
    """Also of rows that no run would take in this order."""
    rows = [
        replace(row(time, part), part=part)
        for time, part in ((1, "east"), (2, "east"), (2, "west"))
    ]

    assert of_parts.weighed(rows, PARTS) == []
    assert of_parts.waits(rows, PARTS) == of_parts.Waits(1, ("west",), 2)


def test_who_comes_first_changes_no_bit():
    """Every interleaving of two collectors with three intervals: 20 of them, and one answer."""
    three = {part: [(part, [row(t, part)]) for t in (1, 2, 3)] for part in ("east", "west")}
    found = set()
    for turns in set(itertools.permutations(["east"] * 3 + ["west"] * 3)):
        left = {part: iter(pushes) for part, pushes in three.items()}
        run = fed([next(left[part]) for part in turns])
        answer = judge(run.weighed, run.question)
        found.add((tuple(run.weighed), run.question, answer.log_e_harm, answer.harm_upper))

    assert len(found) == 1


def test_the_levels_are_those_of_all_parts_whoever_began():
    """300 machines make another level than 200; half of them must not fix it."""
    small = row(1, "east", treated=10, control=90, harmed=0)
    large = row(1, "west", treated=100, control=900, harmed=0)
    one = fed([("east", [small]), ("west", [large])])
    other = fed([("west", [large]), ("east", [small])])

    assert one.question == other.question
    assert (one.question.machines, one.question.alpha_harm) == (1100, 0.001)


def test_the_same_part_again_changes_nothing():
    """Collectors retry, also after the interval was weighed."""
    before = fed([("east", [row(1, "east")])])
    assert runs.feed(before, [row(1, "east")], 0, "east") == before
    done = runs.feed(before, [row(1, "west")], 5, "west")
    assert runs.feed(done, [row(1, "east")], 5, "east") == done


@pytest.mark.parametrize(
    ("part", "late", "complaint"),
    [
        ("east", row(2, "east", harmed=9), "came before with other counts"),
        ("west", row(2, "west", harmed=9), "came before with other counts"),
        ("east", row(2, "east", stratum="lab"), "closed without this signal and stratum"),
        ("east", row(1, "east"), "a later interval before this one"),
        ("south", row(3, "east"), "has no part 'south'"),
        ("east", row(3, "east", signal="silence"), "began without the signal"),
    ],
)
def test_what_would_change_a_weighed_interval_is_refused(part, late, complaint):
    """Somebody has looked at it."""
    run = fed([("east", [row(2, "east")]), ("west", [row(2, "west")])])

    with pytest.raises(BadInput, match=complaint):
        runs.feed(run, [late], 9, part)


def test_an_interval_that_only_one_collector_has_is_refused_at_once():
    """The run would wait for it for ever; either order of the two finds it."""
    began = fed([("east", [row(1, "east")])])
    with pytest.raises(
        BadInput, match=r"'west' has not sent the interval of 1970-01-01T00:00:00\.001Z"
    ) as skipped:
        runs.feed(began, [row(2, "west")], 2, "west")
    assert "0 machines" in skipped.value.hint

    began = fed([("west", [row(2, "west")])])
    with pytest.raises(BadInput, match="'west' has gone on to a later interval"):
        runs.feed(began, [row(1, "east")], 2, "east")


def test_a_collector_without_machines_sends_none():
    """Its site is closed on Sundays; the run goes on."""
    run = fed([("east", [row(1, "east")])])
    idle = Row(1, "v2", "crash", "", 0, 0, 0, 0, 0)
    done = runs.feed(run, [idle], 2, "west")

    assert done.weighed == [Row(1, "v2", "crash", "", 50, 450, 3, 2, 50)]


def _till(row):
    return replace(row, stratum="till")


def test_every_part_gives_all_signals_in_each_of_its_strata():
    """Else clearance would take the machines of both and the silences of one."""
    both = [row(1, "east"), row(1, "east", signal="silence")]
    run = fed([("east", both)])

    with pytest.raises(BadInput, match="leaves out the signal 'silence'"):
        runs.feed(run, [row(1, "west")], 2, "west")
    with pytest.raises(BadInput, match="leaves out the signal 'silence'"):
        fed([("east", [row(1, "east", stratum="lab"), *map(_till, both)])])


def test_strata_of_several_parts_stay_apart():
    """Only like machines are added; a part may also be a stratum of its own."""
    run = fed([("east", [row(1, "east", stratum="a")]), ("west", [row(1, "west", stratum="b")])])

    assert [each.stratum for each in run.weighed] == ["a", "b"]


def test_sites_that_two_collectors_share_are_one_site():
    """Its tills and its kiosks are counted apart; its power fails once."""
    sites = of_parts.listed(["tills", "kiosks"], Asked(sites=True))
    rows = [
        Row(1, "v2", "crash", "shop", 0, 9, 0, 9, 0),
        Row(1, "v2", "crash", "lab", 9, 0, 0, 0, 9),
    ]
    run = fed([("tills", rows), ("kiosks", rows)], sites)

    assert run.question.machines == 2
    found = judge(run.weighed, run.question).series.streams["crash"]
    assert (found.treated, found.control, found.control_harmed) == (1, 1, 1)
    with pytest.raises(BadInput, match="the stratum is empty"):
        fed([("tills", [Row(1, "v2", "crash", "", 0, 9, 0, 9, 0)])], sites)


@pytest.mark.parametrize("names", [[], ["a", "a"], [f"p{n}" for n in range(65)]])
def test_a_list_of_parts_makes_sense(names):
    """A twin would be waited for."""
    with pytest.raises(BadInput):
        of_parts.listed(names, ASKED)
