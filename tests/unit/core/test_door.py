from dataclasses import replace

import pytest

from firedoor.core.door import (
    Assessed,
    Boarded,
    Command,
    Door,
    EarlierOpened,
    Expedite,
    Hold,
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

THEN, NOW = UnixMs(1_000), UnixMs(2_000)
STOP, DEAL, ADMIT, CONTAIN, REVEAL, ALERT = (
    Command.STOP,
    Command.DEAL,
    Command.ADMIT_ALL,
    Command.CONTAIN,
    Command.REVEAL,
    Command.ALERT,
)
REASONS = {
    State.WAITING: Reason.EARLIER_RING,
    State.OPENING: Reason.EVIDENCE,
    State.OPEN: Reason.CLEARED,
    State.SHUT: Reason.HARMFUL,
    State.HELD: Reason.PERSON,
    State.SUPERSEDED: Reason.NEWER,
}


def door(state, reason=None, **changes):
    return Door(
        channel="av",
        number=7,
        ring="tills",
        release="b" * 64,
        previous="a" * 64,
        budget=5,
        state=state,
        reason=reason or REASONS[state],
        since_ms=THEN,
        **changes,
    )


HARM = Assessed(harmful=True, sentence="harm is proved")
CLEAR = Assessed(cleared=True, sentence="no harm in 300 installs")
WALK = Assessed(walked=True, sentence="all admitted")
SPENT = Assessed(spent=True, sentence="five are silent")
SPOKE = Assessed(recovered=True, sentence="they spoke again")
HOLD = Hold(Reason.PERSON, "Amira", "calls are coming in")
RESUME = Resume("Amira", "it was the network", fresh=5)
SHUT = Shut("Amira", "tills are down")
MORE = Expedite("Amira", "zero day", budget=100)
ALL = Expedite("Amira", "zero day", budget=None)
PIN = Pin("Amira", "go back")
NEWER = Supersede(Reason.NEWER)
PINNED = Supersede(Reason.PINNED, "Amira", "go back")

STATES = list(State)
WAIT, GOING, OPEN, CLOSED, PAUSED, PAST = (
    State.WAITING,
    State.OPENING,
    State.OPEN,
    State.SHUT,
    State.HELD,
    State.SUPERSEDED,
)
CONTAINED = (CONTAIN, ALERT)

TABLE = [
    # from, event, to, reason, commands
    (WAIT, EarlierOpened(), GOING, Reason.EVIDENCE, (DEAL,)),
    (WAIT, EarlierOpened(empty=True), OPEN, Reason.EMPTY, (ADMIT, REVEAL)),
    (GOING, CLEAR, OPEN, Reason.CLEARED, (ADMIT, REVEAL)),
    (GOING, WALK, OPEN, Reason.WALKED, (ADMIT, REVEAL)),
    (GOING, SPENT, PAUSED, Reason.BUDGET_SPENT, (STOP, ALERT)),
    *((state, HARM, CLOSED, Reason.HARMFUL, CONTAINED) for state in (WAIT, GOING, PAUSED, OPEN)),
    *((state, HOLD, PAUSED, Reason.PERSON, (STOP, ALERT)) for state in (WAIT, GOING)),
    (PAUSED, RESUME, GOING, Reason.PERSON, (DEAL,)),
    (PAUSED, replace(RESUME, blocked=True), WAIT, Reason.EARLIER_RING, ()),
    *((state, SHUT, CLOSED, Reason.PERSON, CONTAINED) for state in (WAIT, GOING, PAUSED, OPEN)),
    *((state, MORE, GOING, Reason.EXPEDITED, (DEAL,)) for state in (WAIT, GOING, PAUSED, CLOSED)),
    *(
        (state, ALL, OPEN, Reason.EXPEDITED, (ADMIT, REVEAL))
        for state in (WAIT, GOING, PAUSED, CLOSED)
    ),
    *((state, PIN, OPEN, Reason.PINNED, (ADMIT, REVEAL)) for state in STATES),
    *((state, NEWER, PAST, Reason.NEWER, (STOP, REVEAL)) for state in (WAIT, GOING, PAUSED)),
    *(
        (state, PINNED, PAST, Reason.PINNED, (STOP, REVEAL))
        for state in (WAIT, GOING, PAUSED, OPEN)
    ),
]
REFUSED = [
    *((state, EarlierOpened()) for state in STATES if state is not WAIT),
    *((state, HOLD) for state in (OPEN, CLOSED, PAUSED, PAST)),
    *((state, RESUME) for state in STATES if state is not PAUSED),
    *((state, SHUT) for state in (CLOSED, PAST)),
    *((state, MORE) for state in (OPEN, PAST)),
    *((state, ALL) for state in (OPEN, PAST)),
    *((state, NEWER) for state in (OPEN, CLOSED, PAST)),
    *((state, PINNED) for state in (CLOSED, PAST)),
]
UNMOVED = [
    *((state, Assessed()) for state in STATES),
    *((state, HARM) for state in (CLOSED, PAST)),
    *(
        (state, event)
        for state in (WAIT, OPEN, CLOSED, PAUSED, PAST)
        for event in (CLEAR, WALK, SPENT)
    ),
    *((state, SPOKE) for state in STATES),
]


@pytest.mark.parametrize(("state", "event", "to", "reason", "commands"), TABLE)
def test_the_table_of_transitions_holds_row_by_row(state, event, to, reason, commands):
    """The table is what the operator was promised (decisions.md 4)."""
    after, given = step(door(state), event, NOW)

    assert (after.state, after.reason, given) == (to, reason, commands)
    assert after.since_ms == NOW
    assert (after.channel, after.number, after.ring, after.release) == ("av", 7, "tills", "b" * 64)


@pytest.mark.parametrize(("state", "event"), REFUSED)
def test_an_event_that_a_state_does_not_accept_is_refused(state, event):
    """It is stale or repeated; whoever sent it has to look again."""
    with pytest.raises(IllegalTransition, match=state.value) as refusal:
        step(door(state), event, NOW)

    assert refusal.value.hint


@pytest.mark.parametrize(("state", "event"), UNMOVED)
def test_what_the_judge_finds_moves_a_door_only_where_the_table_says(state, event):
    """Same object, no commands: nothing is written and nothing is carried out."""
    before = door(state)

    after, commands = step(before, event, NOW)

    assert after is before
    assert commands == ()


def test_the_table_and_the_refusals_leave_no_case_out():
    """A pair that nobody thought of is where a door opens by accident."""
    told = {(state, type(event)) for state, event, *_ in TABLE}
    told |= {(state, type(event)) for state, event in (*REFUSED, *UNMOVED)}
    events = (Assessed, EarlierOpened, Expedite, Hold, Pin, Resume, Shut, Supersede)

    assert told == {(state, event) for state in STATES for event in events}


# Boarding


@pytest.mark.parametrize(
    ("event", "state", "reason", "commands"),
    [
        (Boarded(adopted=True), OPEN, Reason.ADOPTED, (ADMIT,)),
        (Boarded(adopted=True, blocked=True, empty=True), OPEN, Reason.ADOPTED, (ADMIT,)),
        (Boarded(), GOING, Reason.EVIDENCE, (DEAL,)),
        (Boarded(empty=True), OPEN, Reason.EMPTY, (ADMIT, REVEAL)),
        (Boarded(blocked=True), WAIT, Reason.EARLIER_RING, ()),
        (Boarded(blocked=True, empty=True), WAIT, Reason.EARLIER_RING, ()),
    ],
)
def test_a_release_boards(event, state, reason, commands):
    """The first is adopted without a claim; an empty ring has nobody to ask; a later one waits."""
    after, given = step(door(State.WAITING), event, NOW)

    assert (after.state, after.reason, given) == (state, reason, commands)


# Held


@pytest.mark.parametrize("reason", [Reason.PERSON, Reason.RESTORED, Reason.BUDGET_SPENT])
@pytest.mark.parametrize("event", [CLEAR, WALK, replace(CLEAR, walked=True)])
def test_held_never_opens_by_itself_however_good_the_evidence(reason, event):
    """A person, or an accident, has asked for a person."""
    before = door(State.HELD, reason)

    assert step(before, event, NOW) == (before, ())


@pytest.mark.parametrize("reason", [Reason.PERSON, Reason.RESTORED])
def test_only_a_hold_for_a_spent_budget_ends_when_the_machines_speak_again(reason):
    """The other holds are about something else than those machines."""
    before = door(State.HELD, reason)

    assert step(before, SPOKE, NOW) == (before, ())
    after, commands = step(door(State.HELD, Reason.BUDGET_SPENT), SPOKE, NOW)
    assert (after.state, after.reason, commands) == (GOING, Reason.EVIDENCE, (DEAL,))


@pytest.mark.parametrize(
    ("event", "counts"), [(HOLD, False), (Hold(Reason.RESTORED), True), (SPENT, True)]
)
def test_a_door_remembers_that_evidence_held_it_to_the_end(event, counts):
    """Two releases in a row that end like that stop the train; a person's hold is no verdict."""
    held, _ = step(door(State.OPENING), event, NOW)
    resumed, _ = step(held, RESUME, NOW)

    assert step(held, NEWER, NOW)[0].was_held is counts
    assert not step(held, PINNED, NOW)[0].was_held
    assert not step(resumed, NEWER, NOW)[0].was_held


def test_a_waiting_ring_that_was_held_waits_again_when_it_is_resumed():
    """Resume must not jump the queue of the rings."""
    held, _ = step(door(State.WAITING), HOLD, NOW)
    resumed, _ = step(held, replace(RESUME, blocked=True), NOW)
    opened, commands = step(resumed, EarlierOpened(), NOW)

    assert resumed.state is State.WAITING
    assert (opened.state, commands) == (State.OPENING, (DEAL,))


# Budgets


def test_resuming_after_a_spent_budget_gives_fresh_slots():
    """The harmed keep theirs, so without fresh ones the door could not move."""
    spent, _ = step(door(State.OPENING), SPENT, NOW)

    assert step(spent, RESUME, NOW)[0].budget == 10


@pytest.mark.parametrize("reason", [Reason.PERSON, Reason.RESTORED])
def test_resuming_any_other_hold_changes_no_budget(reason):
    """Nothing was spent."""
    assert step(door(State.HELD, reason), RESUME, NOW)[0].budget == 5


@pytest.mark.parametrize("state", [WAIT, GOING, PAUSED, CLOSED])
def test_expediting_adds_to_the_budget(state):
    """What was risked before stays risked."""
    assert step(door(state), MORE, NOW)[0].budget == 105
    assert step(door(state), ALL, NOW)[0].budget == 5


# Who answers for it


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (GOING, HOLD),
        (GOING, SHUT),
        (PAUSED, RESUME),
        (GOING, MORE),
        (GOING, ALL),
        (GOING, PIN),
        (OPEN, PINNED),
    ],
)
def test_a_persons_name_and_reason_stay_with_the_door(state, event):
    """Whoever asks later must not have to guess."""
    after, _ = step(door(state), event, NOW)

    assert (after.by, after.note) == (event.by, event.note)


@pytest.mark.parametrize("event", [CLEAR, WALK, SPENT, HARM])
def test_what_evidence_decides_is_signed_by_nobody_and_says_its_numbers(event):
    """The name of the person who acted before must not stand under it."""
    before = door(State.OPENING, by="Amira", note="resumed")

    after, _ = step(before, event, NOW)

    assert (after.by, after.note) == ("", event.sentence)


# Shut, and overriding the judge


@pytest.mark.parametrize(
    "event",
    [EarlierOpened(), HOLD, RESUME, SHUT, NEWER, PINNED, CLEAR, WALK, SPENT, SPOKE, HARM],
)
@pytest.mark.parametrize("reason", [Reason.HARMFUL, Reason.PERSON])
def test_shut_is_left_only_by_expedite_or_pin(event, reason):
    """What was contained stays contained until somebody answers for it by name."""
    before = door(State.SHUT, reason)
    try:
        after, _ = step(before, event, NOW)
    except IllegalTransition:
        after = before

    assert after is before


@pytest.mark.parametrize("event", [MORE, ALL])
@pytest.mark.parametrize("reason", [Reason.HARMFUL, Reason.PERSON])
def test_whoever_expedites_a_shut_release_has_overridden_the_judge(event, reason):
    """The verdict latches, so it would shut the door again in the next tick."""
    after, _ = step(door(State.SHUT, reason), event, NOW)

    assert not after.judged
    assert step(after, HARM, NOW) == (after, ())


@pytest.mark.parametrize("state", [WAIT, GOING, PAUSED])
@pytest.mark.parametrize("event", [MORE, ALL])
def test_expediting_an_undecided_release_leaves_the_judge_in_charge_once(state, event):
    """Haste is no verdict: proof of harm still shuts the door, and after that only once."""
    hurried, _ = step(door(state), event, NOW)
    shut, commands = step(hurried, HARM, NOW)
    again, _ = step(shut, event, NOW)

    assert (shut.state, commands) == (CLOSED, CONTAINED)
    assert step(again, HARM, NOW) == (again, ())


def test_a_pinned_release_is_not_judged():
    """The operator's override: exactly this release, evidence or not."""
    pinned, _ = step(door(State.OPENING), PIN, NOW)

    assert step(pinned, HARM, NOW) == (pinned, ())
    assert step(pinned, SHUT, NOW)[0].state is CLOSED


def test_harm_goes_before_everything_else_the_judge_found():
    """One tick may find harm and a full window together."""
    everything = Assessed(harmful=True, cleared=True, walked=True, spent=True, recovered=True)

    assert step(door(State.OPENING), everything, NOW)[0].state is CLOSED


def test_the_doors_that_no_longer_take_part_in_the_train():
    """The next release may board when all doors of this one are there."""
    assert [state for state in State if ended(state)] == [OPEN, CLOSED, PAST]
