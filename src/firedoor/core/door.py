"""The door of one release in one ring: a pure state machine.

::

                    earlier ring open            cleared | walked
      - -> waiting -------------------> opening ------------------> open
            |    ^                       |    ^                      |
       hold v    | resume   hold, budget v    | resume, machines     | harmful
           held -+          spent, ..   held -+ spoke again          | (late)
                                                                     v
      - -> held (preflight failed) -- resume --> opening | waiting
      waiting, opening, held, open -- a person, harmful evidence in any ring --> shut
      waiting, opening, held -- newer | withdrawn | person --> superseded
      open -- another one pinned | its bytes missing --> superseded
      opening, open -- worse than past good releases --> held
      held (late harm) -- resume --> open
      waiting, opening, held, shut -- expedite --> opening | open        any -- pin --> open
      waiting, opening, held in a fast lane -- its time is over --> the same, as it was before

In *shadow* mode a door holds nothing: every machine gets the release, but for a control share that
waits one deadline. It moves as evidence has it, and where an enforcing door would be shut by
evidence it opens, ``would have shut``. What a person orders is done in either mode.

``step(door, event)`` returns the new door and the commands to carry out, once the new door is
durable. Commands are idempotent, so a crash between the two is healed by giving them again.
Held never goes to open by itself. Shut is left only by ``expedite`` or ``pin``.

Source: decisions.md 4.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from firedoor.core.errors import IllegalTransition
from firedoor.core.fast_lane import FastLane
from firedoor.core.units import UnixMs


class State(StrEnum):
    """Where a door can be."""

    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    SHUT = "shut"
    HELD = "held"
    SUPERSEDED = "superseded"


class Reason(StrEnum):
    """Why it is there. Part of the state, shown everywhere beside it."""

    EARLIER_RING = "earlier ring"
    EVIDENCE = "evidence"
    ADOPTED = "adopted"
    EMPTY = "empty"
    CLEARED = "cleared"
    WALKED = "walked"
    EXPEDITED = "expedited"
    PINNED = "pinned"
    HARMFUL = "harmful"
    WOULD_SHUT = "would have shut"
    PERSON = "person"
    BUDGET_SPENT = "budget spent"
    WORSE = "worse than history"
    LATE_HARM = "late harm"
    RESTORED = "restored"
    PREFLIGHT = "preflight failed"
    JOINT = "joint suspects"
    NEWER = "newer"
    WITHDRAWN = "withdrawn"
    MISSING = "bytes missing"


@dataclass(frozen=True, slots=True)
class Door:
    """One door.

    Attributes:
        channel: Name of the channel.
        number: Boarding number: rises with each release that boards the channel, from 1.
        ring: Name of the ring.
        release: Release id.
        previous: Release its machines came from; what control machines and a shut door serve.
            "" for the first release of a channel.
        budget: Harm budget B of this ring, machines, >= 1. Grows by ``expedite --budget`` and
            by ``resume`` after "budget spent" (fresh slots, on record).
        state: Where it is.
        reason: Why.
        since_ms: Wall clock of the last change.
        by: Person who last acted on it, "" where evidence or the train did.
        note: That person's reason, or a sentence with the numbers that decided.
        judged: Evidence may shut it. False once a person has overridden a verdict of harm.
        was_held: It was held by what machines showed when a newer release took its place.
        shadow: It holds nothing: evidence is told, and stops nobody.
        compared: Past releases may hold it. False once a person has overridden that.
        excused: A person has let it go on after it was held for its harm.
        lane: The part of ``budget`` that ends by itself, None for none.
    """

    channel: str
    number: int
    ring: str
    release: str
    previous: str
    budget: int
    state: State
    reason: Reason
    since_ms: UnixMs
    by: str = ""
    note: str = ""
    judged: bool = True
    was_held: bool = False
    shadow: bool = False
    compared: bool = True
    excused: bool = False
    lane: FastLane | None = None


@dataclass(frozen=True, slots=True)
class Boarded:
    """A release boards: the first event of a door.

    Attributes:
        adopted: It was here before Firedoor.
        empty: The ring has no machine.
        blocked: The ring that this one comes after is not open.
        failed: What its preflight found that no machine should get, "" for nothing.
    """

    adopted: bool = False
    empty: bool = False
    blocked: bool = False
    failed: str = ""


@dataclass(frozen=True, slots=True)
class EarlierOpened:
    """The ring this ring comes after is open."""

    empty: bool = False


@dataclass(frozen=True, slots=True)
class Assessed:
    """What the judge found at a tick.

    Attributes:
        harmful: The release's E reached 1/alpha_harm, in any ring.
        cleared: U_t <= delta, strata covered, soaked, E below the warning level.
        walked: Every active machine is admitted, matured and soaked, E below the warning level.
        gone: Most of the machines that matured are harmed and have not spoken again.
        spent: The window is full of harmed machines and nobody is unresolved.
        recovered: The silent machines that spent the budget have spoken again: all of them, or
            where everybody has the release, so many that most are well.
        worse: The release is worse than past good ones.
        newest: No later release of the channel is open or under way.
        sentence: The numbers behind it, in one sentence.
    """

    harmful: bool = False
    cleared: bool = False
    walked: bool = False
    gone: bool = False
    spent: bool = False
    recovered: bool = False
    worse: bool = False
    newest: bool = True
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A precaution: no new decks; what is in flight matures; the judge goes on."""

    reason: Reason = Reason.PERSON
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """A person lets a held door go on.

    Attributes:
        by: Who.
        note: Why.
        fresh: Slots that a door gets if it was held because its budget was spent, machines.
        blocked: The ring it comes after is still not open: it goes back to waiting for it.
    """

    by: str
    note: str
    fresh: int
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Shut:
    """A person contains the release."""

    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Expedite:
    """A named person widens the budget (``budget``), or admits everybody (``budget`` None).

    Attributes:
        by: Who.
        note: Why.
        budget: Machines more that may be put at risk, >= 1; None admits everybody.
        ends_ms: When the wider budget ends by itself, wall clock; None: with the door. A lane that
            is open already ends then as well. Only with a budget.
    """

    by: str
    note: str
    budget: int | None
    ends_ms: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class LaneOver:
    """The time of a fast lane is over."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """This ring gets exactly this release now, evidence or not."""

    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """Another release takes this one's place."""

    reason: Reason
    by: str = ""
    note: str = ""


Event = (
    Boarded
    | EarlierOpened
    | Assessed
    | Hold
    | Resume
    | Shut
    | Expedite
    | LaneOver
    | Pin
    | Supersede
)


class Command(StrEnum):
    """What the service does after the new door is durable."""

    DEAL = "deal"
    """Decks may be opened."""
    STOP = "stop"
    """Cut the open deck; deal no more from it."""
    ADMIT_ALL = "admit all"
    """The release becomes what every machine of the ring gets."""
    CONTAIN = "contain"
    """Serve the previous release again, drop session pins, withhold the payloads, list patients."""
    REVEAL = "reveal"
    """Publish the seed: no card will be dealt from it again. Not of a shut door: a person may
    still expedite it, and whoever knew the seed then would know who is treated next."""
    ALERT = "alert"
    """Tell a person through the alert hook."""


Commands = tuple[Command, ...]

BEFOREHAND = frozenset({Reason.PERSON, Reason.PREFLIGHT})
"""Reasons to hold a door that say nothing of what the release did to machines."""

_ENDED = frozenset({State.OPEN, State.SHUT, State.SUPERSEDED})
_BY_HISTORY = frozenset({Reason.WORSE, Reason.LATE_HARM})
_EARNED = frozenset({Reason.CLEARED, Reason.WALKED})


def ended(state: State) -> bool:
    """Say whether a door in this state no longer takes part in the train."""
    return state in _ENDED


def step(door: Door, event: Event, now: UnixMs) -> tuple[Door, Commands]:
    """Apply one event.

    Args:
        door: The door; for ``Boarded`` its state and reason are ignored.
        event: What happened.
        now: Wall clock, ms, for ``since_ms``.

    Returns:
        The door afterwards (the same object when nothing changed) and the commands.

    Raises:
        IllegalTransition: The state does not accept the event; nothing changed.
    """
    match event:
        case Boarded():
            return _board(door, event, now)
        case EarlierOpened(empty):
            if door.state is not State.WAITING:
                raise _illegal(door, "the earlier ring's opening")
            return _begin(door, now, empty=empty)
        case Assessed():
            return _assess(door, event, now)
        case Hold(reason, by, note):
            if door.state not in (State.WAITING, State.OPENING):
                raise _illegal(door, "hold")
            held = _to(door, State.HELD, reason, now, by=by, note=note)
            return held, (Command.STOP, Command.ALERT)
        case Resume():
            return _resume(door, event, now)
        case Shut(by, note):
            if door.state in (State.SHUT, State.SUPERSEDED):
                raise _illegal(door, "shut")
            shut = _to(door, State.SHUT, Reason.PERSON, now, by=by, note=note)
            return shut, (Command.CONTAIN, Command.ALERT)
        case Expedite():
            return _expedite(door, event, now)
        case LaneOver(note):
            return _end_lane(door, note, now)
        case Pin(by, note):
            pinned = _to(door, State.OPEN, Reason.PINNED, now, by=by, note=note)
            return replace(pinned, judged=False), (Command.ADMIT_ALL, Command.REVEAL)
        case Supersede(reason, by, note):
            # Newer releases open beside an open door: it gives way to a pin alone, or where
            # nothing is left to give.
            left = door.state is State.OPEN and reason in (Reason.PINNED, Reason.MISSING)
            if door.state not in (State.WAITING, State.OPENING, State.HELD) and not left:
                raise _illegal(door, "supersede")
            past = _to(door, State.SUPERSEDED, reason, now, by=by, note=note)
            stood_held = door.state is State.HELD and door.reason not in BEFOREHAND
            by_itself = reason in (Reason.NEWER, Reason.WITHDRAWN)
            past = replace(past, was_held=stood_held and by_itself)
            told = (Command.ALERT,) if reason is Reason.MISSING else ()
            return past, (Command.STOP, Command.REVEAL, *told)
        case _:
            assert_never(event)


def _board(door: Door, event: Boarded, now: UnixMs) -> tuple[Door, Commands]:
    if event.adopted:
        return _to(door, State.OPEN, Reason.ADOPTED, now), (Command.ADMIT_ALL,)
    if event.failed:
        held = _to(door, State.HELD, Reason.PREFLIGHT, now, note=event.failed)
        return held, (Command.STOP, Command.ALERT)
    if event.blocked:
        return _to(door, State.WAITING, Reason.EARLIER_RING, now), ()
    return _begin(door, now, empty=event.empty)


def _begin(door: Door, now: UnixMs, *, empty: bool) -> tuple[Door, Commands]:
    if empty:
        return _to(door, State.OPEN, Reason.EMPTY, now), (Command.ADMIT_ALL, Command.REVEAL)
    return _to(door, State.OPENING, Reason.EVIDENCE, now), (Command.DEAL,)


def _assess(door: Door, event: Assessed, now: UnixMs) -> tuple[Door, Commands]:
    note = event.sentence
    watched = door.state in (State.WAITING, State.OPENING, State.HELD, State.OPEN)
    if event.harmful and door.judged and watched and door.shadow:
        if door.reason is Reason.WOULD_SHUT:
            return door, ()
        told = _to(door, State.OPEN, Reason.WOULD_SHUT, now, note=note)
        return told, (Command.ADMIT_ALL, Command.REVEAL, Command.ALERT)
    if event.harmful and door.judged and watched:
        shut = _to(door, State.SHUT, Reason.HARMFUL, now, note=note)
        return shut, (Command.CONTAIN, Command.ALERT)
    if event.worse and door.judged and door.compared and not door.shadow:
        if door.state is State.OPENING:
            held = _to(door, State.HELD, Reason.WORSE, now, note=note)
            return held, (Command.STOP, Command.ALERT)
        if door.state is State.OPEN and door.reason in _EARNED and event.newest:
            held = _to(door, State.HELD, Reason.LATE_HARM, now, note=note)
            return held, (Command.STOP, Command.ALERT)
    if door.state is State.OPENING:
        # Evidence of other rings clears no ring whose own machines are gone, nor is such a ring
        # walked to the end, where nobody is left to compare with: unless a person has seen it.
        gone = event.gone and not door.shadow
        if event.cleared and not gone:
            opened = _to(door, State.OPEN, Reason.CLEARED, now, note=note)
            return opened, (Command.ADMIT_ALL, Command.REVEAL)
        if event.walked and (door.excused or not gone):
            opened = _to(door, State.OPEN, Reason.WALKED, now, note=note)
            return opened, (Command.ADMIT_ALL, Command.REVEAL)
        if event.spent or event.walked:
            held = _to(door, State.HELD, Reason.BUDGET_SPENT, now, note=note)
            return held, (Command.STOP, Command.ALERT)
    if door.state is State.HELD and door.reason is Reason.BUDGET_SPENT and event.recovered:
        return _to(door, State.OPENING, Reason.EVIDENCE, now, note=note), (Command.DEAL,)
    return door, ()


def _resume(door: Door, event: Resume, now: UnixMs) -> tuple[Door, Commands]:
    by, note = event.by, event.note
    if door.state is not State.HELD:
        raise _illegal(door, "resume")
    compared = door.compared and door.reason not in _BY_HISTORY
    door = _overridden_for_good(door)
    if door.reason is Reason.LATE_HARM:
        # Its seed is revealed: no deck can be dealt from it, so it opens or stays held.
        opened = _to(door, State.OPEN, Reason.EXPEDITED, now, by=by, note=note)
        return replace(opened, compared=compared), (Command.ADMIT_ALL,)
    if event.blocked:
        waiting = _to(door, State.WAITING, Reason.EARLIER_RING, now, by=by, note=note)
        return replace(waiting, compared=compared), ()
    more = event.fresh if door.reason is Reason.BUDGET_SPENT else 0
    opening = _to(door, State.OPENING, Reason.PERSON, now, by=by, note=note)
    budget, excused = door.budget + more, _is_excused(door)
    return replace(opening, budget=budget, compared=compared, excused=excused), (Command.DEAL,)


def _expedite(door: Door, event: Expedite, now: UnixMs) -> tuple[Door, Commands]:
    if door.state not in (State.WAITING, State.OPENING, State.HELD, State.SHUT):
        raise _illegal(door, "expedite")
    # Whoever lets a shut release through has read the verdict and answers for it; anything
    # else stays under the judge.
    judged = door.judged and door.state is not State.SHUT
    compared = door.compared and door.reason not in _BY_HISTORY
    if event.budget is None:
        opened = _to(door, State.OPEN, Reason.EXPEDITED, now, by=event.by, note=event.note)
        return replace(opened, judged=judged, compared=compared), (
            Command.ADMIT_ALL,
            Command.REVEAL,
        )
    if door.reason is Reason.LATE_HARM:
        raise _illegal(door, "expedite by a budget")
    if event.ends_ms is None:
        lane = _overridden_for_good(door).lane
    elif event.ends_ms <= now:
        raise ValueError("a fast lane that is over before it begins")
    else:
        lane = door.lane
        before = lane or FastLane(0, event.ends_ms, door.judged, door.compared)
        lane = replace(before, slots=before.slots + event.budget, ends_ms=event.ends_ms)
    opening = _to(door, State.OPENING, Reason.EXPEDITED, now, by=event.by, note=event.note)
    budget, excused = door.budget + event.budget, _is_excused(door)
    widened = replace(
        opening, budget=budget, judged=judged, compared=compared, excused=excused, lane=lane
    )
    return widened, (Command.DEAL,)


def _overridden_for_good(door: Door) -> Door:
    """What history held is let go on without a time: the end of a lane brings no hold back."""
    if door.lane is None or door.reason not in _BY_HISTORY:
        return door
    return replace(door, lane=replace(door.lane, compared=False))


def _end_lane(door: Door, note: str, now: UnixMs) -> tuple[Door, Commands]:
    """What the lane overrode holds again, so a shut release that it let through is shut anew."""
    lane = door.lane
    if lane is None:
        raise _illegal(door, "the end of a fast lane")
    narrow = replace(
        door,
        budget=door.budget - lane.slots,
        judged=lane.judged,
        compared=lane.compared,
        lane=None,
    )
    if door.state is not State.OPENING:
        return narrow, ()
    # The open deck was dealt for the wider budget; the next one is not.
    opening = _to(narrow, State.OPENING, Reason.EVIDENCE, now, note=note)
    return opening, (Command.STOP, Command.DEAL)


def _is_excused(door: Door) -> bool:
    return door.excused or (door.state is State.HELD and door.reason is Reason.BUDGET_SPENT)


def _to(
    door: Door, state: State, reason: Reason, now: UnixMs, *, by: str = "", note: str = ""
) -> Door:
    if door.lane is not None and state in _ENDED:
        # Nothing is left to end; what it added must not outlive it in another attempt.
        door = replace(door, budget=door.budget - door.lane.slots, lane=None)
    return replace(door, state=state, reason=reason, since_ms=now, by=by, note=note)


def _illegal(door: Door, what: str) -> IllegalTransition:
    return IllegalTransition(
        f"{what} refused: the door of {door.release[:12]} in ring {door.ring!r} "
        f"is {door.state} ({door.reason})"
    )
