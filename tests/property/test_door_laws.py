"""Laws that hold along every history of a door, legal or not."""

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from firedoor.core.door import (
    Assessed,
    Boarded,
    Command,
    Commands,
    Door,
    EarlierOpened,
    Event,
    Expedite,
    Hold,
    LaneOver,
    Pin,
    Reason,
    Resume,
    Shut,
    State,
    Supersede,
    ended,
    step,
)
from firedoor.core.errors import IllegalTransition
from firedoor.core.units import UnixMs

flags = st.booleans()
assessed = st.builds(
    Assessed, harmful=flags, cleared=flags, walked=flags, spent=flags, recovered=flags
)
people = st.one_of(
    st.builds(Hold, st.just(Reason.PERSON), st.just("Amira")),
    st.builds(Resume, st.just("Amira"), st.just(""), fresh=st.integers(1, 20), blocked=flags),
    st.just(Shut("Amira", "")),
    st.builds(Expedite, st.just("Amira"), st.just("x"), st.none() | st.integers(1, 50)),
    st.builds(Expedite, st.just("Amira"), st.just("x"), st.integers(1, 50), st.just(UnixMs(10**6))),
    st.just(Pin("Amira", "")),
)
train = st.one_of(
    st.builds(EarlierOpened, empty=flags),
    st.builds(Supersede, st.sampled_from([Reason.NEWER, Reason.WITHDRAWN, Reason.PINNED])),
    st.just(Hold(Reason.RESTORED)),
    st.just(LaneOver("it is over")),
)
events = st.one_of(assessed, assessed, people, train)
boardings = st.builds(Boarded, adopted=flags, empty=flags, blocked=flags)


def new_door():
    return Door("av", 1, "tills", "b", "a", 5, State.WAITING, Reason.EARLIER_RING, UnixMs(0))


class Accepted(NamedTuple):
    """An event, and what the door made of it."""

    event: Event
    before: Door
    after: Door
    commands: Commands


def history(boarded, sent):
    """Every event that was accepted."""
    door, commands = step(new_door(), boarded, UnixMs(0))
    told = []
    for now, event in enumerate(sent, 1):
        try:
            after, commands = step(door, event, UnixMs(now))
        except IllegalTransition:
            continue
        told.append(Accepted(event, door, after, commands))
        door = after
    return told


@pytest.mark.parametrize(
    "premise",
    [
        lambda it: it.before.state is State.SHUT and it.after.state is State.OPEN,
        lambda it: it.before.state is State.HELD and it.after.state is State.OPEN,
        lambda it: isinstance(it.event, Assessed) and it.event.harmful and it.before.judged,
        lambda it: it.before.judged and not it.after.judged,
        lambda it: not it.before.judged,
        lambda it: it.after.budget > it.before.budget,
        lambda it: Command.CONTAIN in it.commands,
        lambda it: Command.DEAL in it.commands,
        lambda it: Command.REVEAL in it.commands,
        lambda it: it.after.was_held,
        lambda it: isinstance(it.event, LaneOver) and it.before.state is State.OPENING,
        lambda it: it.after.judged and not it.before.judged,
        lambda it: it.before.lane and it.after.state is State.SHUT,
    ],
    ids=[
        "a shut door opens", "a held door opens", "harm is proved", "the judge is overridden",
        "evidence counts no more", "the budget grows", "a door shuts", "a deck is dealt",
        "a seed is revealed", "a held door is superseded",
        "a lane ends", "a lane's end brings the judge back", "a door shuts in a lane",
    ],
)  # fmt: skip
def test_what_the_laws_below_speak_of_does_happen(premise):
    """A law about something that never happens would hold of any code."""
    stories = st.builds(history, boardings, st.lists(events, max_size=30))
    often_enough = settings(max_examples=20_000, phases=[Phase.generate], database=None)

    told = find(
        stories,
        lambda told: any(map(premise, told)),
        settings=often_enough,
        random=Random(2024),
    )

    assert told


@given(boardings, st.lists(events, max_size=30))
def test_what_is_shut_is_left_only_by_a_named_person(boarded, sent):
    """Whatever else happens, contained stays contained."""
    for event, before, after, _ in history(boarded, sent):
        if before.state is State.SHUT and after.state is not State.SHUT:
            assert isinstance(event, Expedite | Pin)
            assert after.by == "Amira"


@given(boardings, st.lists(events, max_size=30))
def test_what_is_held_opens_only_by_a_named_person(boarded, sent):
    """Evidence may shut a held door, never open it."""
    for event, before, after, _ in history(boarded, sent):
        if before.state is State.HELD and after.state is State.OPEN:
            assert isinstance(event, Expedite | Pin)
            assert after.by == "Amira"


@given(boardings, st.lists(events, max_size=30))
def test_proof_of_harm_shuts_every_door_that_still_lets_machines_in(boarded, sent):
    """Unless a person has overridden the judge for this very door."""
    for event, before, after, _ in history(boarded, sent):
        if isinstance(event, Assessed) and event.harmful and before.judged:
            assert after.state in (State.SHUT, State.SUPERSEDED)


@given(boardings, st.lists(events, max_size=30))
def test_the_judge_is_overridden_only_where_somebody_saw_a_shut_door_or_pinned(boarded, sent):
    """And it comes back only with the end of a lane: the verdict would shut the door at once."""
    for event, before, after, _ in history(boarded, sent):
        if before.judged and not after.judged:
            overruled = isinstance(event, Expedite) and before.state is State.SHUT
            assert overruled or isinstance(event, Pin)
        if not before.judged and after.judged:
            assert isinstance(event, LaneOver)


@given(boardings, st.lists(events, max_size=30))
def test_the_budget_shrinks_only_with_a_lane_and_grows_only_by_a_person(boarded, sent):
    """Evidence widens the window by U, not by B."""
    for event, before, after, _ in history(boarded, sent):
        assert after.budget >= before.budget or (before.lane and not after.lane)
        if after.budget > before.budget:
            assert isinstance(event, Expedite | Resume)


@given(boardings, st.lists(events, max_size=30))
def test_machines_are_contained_and_people_told_whenever_a_door_shuts(boarded, sent):
    """A shut that contains nothing is a word on a screen."""
    for _, before, after, commands in history(boarded, sent):
        shuts = after.state is State.SHUT and before.state is not State.SHUT
        assert (Command.CONTAIN in commands) == shuts
        if shuts or (after.state is State.HELD and before.state is not State.HELD):
            assert Command.ALERT in commands


@given(boardings, st.lists(events, max_size=30))
def test_decks_are_dealt_only_while_the_door_is_opening(boarded, sent):
    """No other state may enrol anybody."""
    for _, before, after, commands in history(boarded, sent):
        if after is not before:
            assert (Command.DEAL in commands) == (after.state is State.OPENING)


@given(boardings, st.lists(events, max_size=30))
def test_the_seed_is_revealed_exactly_when_a_door_ends_for_good(boarded, sent):
    """Earlier, everybody could tell who is treated; a shut door may still be expedited."""
    for _, before, after, commands in history(boarded, sent):
        for_good = ended(after.state) and after.state is not State.SHUT
        assert (Command.REVEAL in commands) == (after is not before and for_good)


@given(boardings, st.lists(events, max_size=30))
def test_a_door_never_forgets_what_it_is_the_door_of(boarded, sent):
    """The ledger names it by these."""
    for _, before, after, _ in history(boarded, sent):
        kept = ("channel", "number", "ring", "release", "previous")
        assert all(getattr(before, name) == getattr(after, name) for name in kept)
        assert after.was_held >= before.was_held or after.state is not State.SUPERSEDED


@given(boardings, st.lists(events, max_size=40))
def test_what_a_lane_gave_is_gone_with_it(boarded, sent):
    """Whatever happens meanwhile: only slots that were given for good outlive a lane."""
    for_good = new_door().budget
    for event, before, after, _ in history(boarded, sent):
        if isinstance(event, Expedite) and event.budget is not None and event.ends_ms is None:
            for_good += event.budget
        if isinstance(event, Resume) and before.reason is Reason.BUDGET_SPENT:
            for_good += after.budget - before.budget
        assert after.budget == for_good + (after.lane.slots if after.lane else 0)
        assert after.lane is None or not ended(after.state)
        if isinstance(event, LaneOver):
            assert (after.lane, after.state) == (None, before.state)
