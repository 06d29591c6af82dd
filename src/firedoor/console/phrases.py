"""What is decided, judged and served, in words; the message ids of the catalogues.

Each table holds English sentences; ``Language.gettext`` turns them into the reader's. A pair
of state and reason that has no sentence of its own falls back to the state's. Everything is
said from numbers and names: what people and vendors wrote is for the page to quote.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from firedoor.console.language import Language
from firedoor.console.model import (
    ChannelView,
    Condition,
    DecisionView,
    DoorView,
    Judgement,
    PreflightView,
    ReleaseView,
)
from firedoor.console.urgent import WaitingOrder
from firedoor.core.channel import Verb
from firedoor.core.door import Reason, State
from firedoor.services.ledger import BOARDED, MORE_RINGS, NOTE, REVEALED
from firedoor.services.records import Block


def _(message: str) -> str:
    """Mark a message id for extraction."""
    return message


_SHORT_ID = 12
_TRIED = (State.WAITING, State.OPENING)

STATES: Final[Mapping[State, str]] = {
    State.WAITING: _("waiting"),
    State.OPENING: _("opening"),
    State.OPEN: _("open"),
    State.SHUT: _("shut"),
    State.HELD: _("held"),
    State.SUPERSEDED: _("superseded"),
}

JUDGEMENTS: Final[Mapping[Judgement, str]] = {
    Judgement.UNDECIDED: _("undecided so far"),
    Judgement.CLEARED: _("cleared by the evidence"),
    Judgement.HARMFUL: _("harmful by the evidence"),
}

CONDITIONS: Final[Mapping[Condition, str]] = {
    Condition.IN_FLIGHT: _("outcome not known yet"),
    Condition.DORMANT: _("has not fetched it"),
    Condition.HEALTHY: _("healthy"),
    Condition.HARMED: _("harmed"),
    Condition.REJECTED: _("rejected it"),
}

_HARMS: Final[Mapping[str, str]] = {
    "silence": _("went silent"),
    "boot-unclean": _("crashed and restarted"),
    "panic": _("kernel panic"),
    "bugcheck": _("blue screen"),
    "service-failed": _("a service failed"),
    "coredump": _("a program crashed"),
    "check-failed": _("a health check failed"),
    "false-positive": _("false alarm on a clean file"),
    "rejected": _("refused the content"),
    # Streams, for a harm whose very signal is not on record any more.
    "crash": _("crashed"),
    "check": _("failed a check"),
}

_BAD_ENDS: Final = _(
    "Two releases in a row ended held or shut: the next one boards only when a person "
    "resumes the channel."
)
_BLOCKED: Final[Mapping[str, str]] = {
    Block.PREFLIGHT: _(
        "The channel's first release failed its preflight: machines get nothing from it until the "
        "vendor publishes one that passes, or a person resumes the channel."
    ),
    Block.GATE_LOST: _(
        "The gate's records were lost (gate.db): who was let into which release is not known. "
        "See first whether the machines poll again; the next release boards only when a person "
        "resumes the channel."
    ),
    Block.LEDGER_LOST: _(
        "The last entries of the ledger were lost (judge.db): what was shut since is not known. "
        "See the alerts of that time first, and shut it again; the next release boards only when "
        "a person resumes the channel."
    ),
}

_PREFLIGHTS: Final[Mapping[str, str]] = {
    "passed": _("Preflight passed."),
    "failed": _("Preflight failed."),
    "not checked": _("Preflight: not checked."),
    "off": _("Preflight is off."),
}

_UNDOINGS: Final[Mapping[str, str]] = {
    "contained": _("contained"),
    "reverted": _("seen running the old version again"),
    "needs remedy": _("needs a remedy"),
}

_VERBS: Final[Mapping[str, str]] = {
    Verb.CONTAIN: _("contain"),
    Verb.REVERT: _("revert"),
    Verb.REMEDY: _("remedy"),
}

_HEADLINES: Final[Mapping[tuple[State, Reason | None], str]] = {
    (State.WAITING, None): _("Release %(number)s waits for the ring before this one to open."),
    (State.OPENING, None): _(
        "Release %(number)s is being tried on %(admitted)s of %(machines)s machines."
    ),
    (State.OPENING, Reason.PERSON): _(
        "%(by)s let release %(number)s go on: it has reached %(admitted)s of %(machines)s machines."
    ),
    (State.OPENING, Reason.EXPEDITED): _(
        "%(by)s widened the budget: release %(number)s has reached %(admitted)s of %(machines)s "
        "machines."
    ),
    (State.OPEN, None): _("Every machine gets release %(number)s."),
    (State.OPEN, Reason.ADOPTED): _(
        "Every machine gets release %(number)s. It was here before Firedoor, so nothing is "
        "claimed about it."
    ),
    (State.OPEN, Reason.EMPTY): _("Release %(number)s is open: there was no machine to try it on."),
    (State.OPEN, Reason.CLEARED): _(
        "Release %(number)s proved safe enough: every machine gets it."
    ),
    (State.OPEN, Reason.WOULD_SHUT): _(
        "The evidence would have shut release %(number)s. Shadow mode: every machine keeps it."
    ),
    (State.OPEN, Reason.WALKED): _(
        "Release %(number)s reached every machine step by step, and no harm showed."
    ),
    (State.OPEN, Reason.EXPEDITED): _(
        "%(by)s let release %(number)s through to every machine before the evidence was in."
    ),
    (State.OPEN, Reason.PINNED): _(
        "%(by)s pinned release %(number)s: every machine gets it, whatever the evidence says."
    ),
    (State.SHUT, None): _(
        "Release %(number)s was stopped after %(admitted)s of %(machines)s machines. Nobody else "
        "gets it."
    ),
    (State.SHUT, Reason.HARMFUL): _(
        "Release %(number)s is harmful. It was stopped after %(admitted)s of %(machines)s "
        "machines; nobody else gets it."
    ),
    (State.SHUT, Reason.PERSON): _(
        "%(by)s shut release %(number)s after %(admitted)s of %(machines)s machines. Nobody else "
        "gets it."
    ),
    (State.HELD, None): _(
        "Release %(number)s is held after %(admitted)s of %(machines)s machines. Nobody new gets "
        "it until a person decides."
    ),
    (State.HELD, Reason.BUDGET_SPENT): _(
        "The harm budget is spent: release %(number)s did harm on %(harmed)s of the %(admitted)s "
        "machines it reached. Nobody new gets it until a person decides."
    ),
    (State.HELD, Reason.PERSON): _(
        "%(by)s holds release %(number)s after %(admitted)s of %(machines)s machines. Nobody new "
        "gets it until a person lets it go on."
    ),
    (State.HELD, Reason.WORSE): _(
        "Release %(number)s is held after %(admitted)s of %(machines)s machines: it is worse than "
        "past good releases. Nobody new gets it until a person decides."
    ),
    (State.HELD, Reason.LATE_HARM): _(
        "Release %(number)s had opened and shows late harm: it is worse than past good releases. "
        "The machines that have it keep it; nobody else gets it until a person decides."
    ),
    (State.HELD, Reason.RESTORED): _(
        "Release %(number)s is held: records were restored from an older copy, so not every "
        "machine it reached is known. Nobody new gets it until a person decides."
    ),
    (State.HELD, Reason.PREFLIGHT): _(
        "Release %(number)s failed its preflight: no machine has got it, and none gets it until a "
        "person decides."
    ),
    (State.HELD, Reason.JOINT): _(
        "Release %(number)s is held: it and a release of another channel are accused of the same "
        "harm. Nobody new gets it until a person decides."
    ),
    (State.SUPERSEDED, None): _("Release %(number)s made way for another one."),
    (State.SUPERSEDED, Reason.WITHDRAWN): _(
        "The vendor withdrew release %(number)s before it was decided."
    ),
}

_REASONS: Final[Mapping[tuple[State, Reason | None], str]] = {
    (State.WAITING, None): _("waits for the ring before it"),
    (State.OPENING, None): _("goes to a few machines first"),
    (State.OPENING, Reason.PERSON): _("a person let it go on"),
    (State.OPENING, Reason.EXPEDITED): _("a person widened the harm budget"),
    (State.OPEN, None): _("goes to every machine"),
    (State.OPEN, Reason.ADOPTED): _("was here before Firedoor"),
    (State.OPEN, Reason.EMPTY): _("no machine to try it on"),
    (State.OPEN, Reason.CLEARED): _("the evidence cleared it"),
    (State.OPEN, Reason.WOULD_SHUT): _("the evidence would have shut it"),
    (State.OPEN, Reason.WALKED): _("reached every machine, no harm showed"),
    (State.OPEN, Reason.EXPEDITED): _("a person let everybody through"),
    (State.OPEN, Reason.PINNED): _("a person pinned it"),
    (State.SHUT, None): _("contained"),
    (State.SHUT, Reason.HARMFUL): _("the evidence says it does harm"),
    (State.SHUT, Reason.PERSON): _("a person shut it"),
    (State.HELD, None): _("a precaution"),
    (State.HELD, Reason.BUDGET_SPENT): _("the harm budget is spent"),
    (State.HELD, Reason.PERSON): _("a person holds it"),
    (State.HELD, Reason.WORSE): _("worse than past good releases"),
    (State.HELD, Reason.LATE_HARM): _("late harm"),
    (State.HELD, Reason.RESTORED): _("records were restored from an older copy"),
    (State.HELD, Reason.PREFLIGHT): _("the preflight failed"),
    (State.HELD, Reason.JOINT): _("one of two suspects"),
    (State.SUPERSEDED, None): _("another one took its place"),
    (State.SUPERSEDED, Reason.NEWER): _("a newer one took its place"),
    (State.SUPERSEDED, Reason.WITHDRAWN): _("withdrawn by the vendor"),
    (State.SUPERSEDED, Reason.PERSON): _("ended by a person"),
    (State.SUPERSEDED, Reason.PINNED): _("a person pinned another one"),
    (State.SUPERSEDED, Reason.MISSING): _("files of it are missing"),
}

_MOVES: Final[Mapping[tuple[State, Reason | None], str]] = {
    (State.WAITING, None): _("It waits for the ring before it."),
    (State.OPENING, None): _("It goes to a few machines at a time."),
    (State.OPENING, Reason.PERSON): _("A person let it go on."),
    (State.OPENING, Reason.EXPEDITED): _("A person widened its harm budget."),
    (State.OPEN, None): _("It is open to every machine."),
    (State.OPEN, Reason.ADOPTED): _("It was here before Firedoor: nothing is claimed about it."),
    (State.OPEN, Reason.EMPTY): _("It is open: there was no machine to try it on."),
    (State.OPEN, Reason.CLEARED): _("The evidence cleared it: every machine gets it."),
    (State.OPEN, Reason.WOULD_SHUT): _("The evidence would have shut it; every machine keeps it."),
    (State.OPEN, Reason.WALKED): _("It reached every machine step by step, and no harm showed."),
    (State.OPEN, Reason.EXPEDITED): _("A person let everybody through."),
    (State.OPEN, Reason.PINNED): _("A person pinned it: every machine of the ring gets it."),
    (State.SHUT, None): _("It is shut: nobody new gets it."),
    (State.SHUT, Reason.HARMFUL): _("The evidence says it does harm: nobody new gets it."),
    (State.SHUT, Reason.PERSON): _("A person shut it: nobody new gets it."),
    (State.HELD, None): _("It is held: nobody new gets it."),
    (State.HELD, Reason.BUDGET_SPENT): _("Its harm budget is spent: nobody new gets it."),
    (State.HELD, Reason.PERSON): _("A person holds it: nobody new gets it."),
    (State.HELD, Reason.WORSE): _("It is worse than past good releases: nobody new gets it."),
    (State.HELD, Reason.LATE_HARM): _(
        "Late harm shows: the machines that have it keep it, nobody else gets it."
    ),
    (State.HELD, Reason.RESTORED): _(
        "Records were restored from an older copy: nobody new gets it until a person decides."
    ),
    (State.HELD, Reason.PREFLIGHT): _("Its preflight failed: nobody gets it."),
    (State.HELD, Reason.JOINT): _(
        "It and a release of another channel are accused of the same harm: nobody new gets it."
    ),
    (State.SUPERSEDED, None): _("Another release takes its place."),
    (State.SUPERSEDED, Reason.NEWER): _("A newer release takes its place."),
    (State.SUPERSEDED, Reason.WITHDRAWN): _("The vendor withdrew it before it was decided."),
    (State.SUPERSEDED, Reason.PINNED): _("A person pinned another release in its place."),
    (State.SUPERSEDED, Reason.MISSING): _("It is passed over: files of it are missing."),
}

_ENTRIES: Final[Mapping[str, str]] = {
    BOARDED: _("It boarded the channel: from here on its doors decide who gets it."),
    MORE_RINGS: _("It boarded the channel: from here on its doors decide who gets it."),
    REVEALED: _(
        "All its doors have ended. The seed of its draws is revealed: anyone can audit who was "
        "chosen."
    ),
    NOTE: _("For the record:"),
}


def headline(language: Language, number: int, door: DoorView) -> str:
    """Say in one sentence what the door does with release ``number`` and what that means."""
    message = _HEADLINES.get((door.state, door.reason)) or _HEADLINES[door.state, None]
    if door.state is State.OPENING and door.unknown and not door.machines:
        message = _("Release %(number)s stands still: nobody who could try it is enrolled.")
    return language.gettext(
        message,
        number=language.number(number),
        admitted=language.number(door.admitted),
        machines=language.number(door.machines),
        harmed=language.number(door.harmed),
        by=door.by or language.gettext(_("Somebody")),
    )


def because(language: Language, state: State, reason: Reason | None) -> str:
    """Say in a few words why a door is where it is."""
    return language.gettext(_REASONS.get((state, reason)) or _REASONS[state, None])


def decided(language: Language, decision: DecisionView) -> str:
    """Say in one sentence what an entry of the ledger did."""
    if decision.lane_over:
        return language.gettext(_("Its fast lane is over: its harm budget is the usual one again."))
    if decision.state is not None:
        move = _MOVES.get((decision.state, decision.reason)) or _MOVES[decision.state, None]
        return language.gettext(move)
    if decision.kind in _ENTRIES:
        return language.gettext(_ENTRIES[decision.kind])
    return language.gettext(_("An entry of kind %(kind)s."), kind=decision.kind)


def lane(language: Language, door: DoorView, now_ms: int) -> str:
    """Say how long a fast lane lasts; ``""`` where there is none."""
    if door.lane is None:
        return ""
    return language.ngettext(
        "Fast lane: the budget is one machine wider until %(end)s UTC, and then ends by itself.",
        "Fast lane: the budget is %(count)s machines wider until %(end)s UTC, and then ends by "
        "itself.",
        door.lane.slots,
        end=language.time(door.lane.ends_ms, now_ms),
    )


def exploited(language: Language, release: ReleaseView) -> str:
    """Say that a release names what is known to be exploited, and whose matter that is."""
    trying = any(door.state in _TRIED for door in release.door.values())
    message = (
        _(
            "This release names what is known to be exploited: %(cves)s. Whether to hurry it is "
            "for a person to decide; the list moves no door."
        )
        if trying
        else _("This release names what is known to be exploited: %(cves)s.")
    )
    return language.gettext(message, cves=", ".join(each.cve for each in release.exploited))


def order(language: Language, release: ReleaseView, each: WaitingOrder, now_ms: int) -> str:
    """Say what waits for a second person, until when, and how that person approves it."""
    return language.gettext(
        _(
            "Order %(number)s of %(by)s (%(verb)s) waits for a second person until %(end)s UTC: "
            "firedoor release approve %(release)s %(number)s --by NAME"
        ),
        number=str(each.number),
        by=each.by,
        verb=each.verb,
        end=language.time(each.until_ms, now_ms),
        release=release.id[:_SHORT_ID],
    )


def quoted(decision: DecisionView) -> str:
    """What an entry has to be quoted for, ``""`` where ``decided`` says it all.

    That is a person's reason, and the text of a note. A reason that is not given apart is
    quoted with the record it stands in.
    """
    return decision.note or (decision.sentence if decision.by or decision.kind == NOTE else "")


def preflight(language: Language, view: PreflightView) -> str:
    """Say what came of looking at a release before the first machine; the tool is quoted apart."""
    return language.gettext(_PREFLIGHTS[view.result])


def situation(
    language: Language, view: ChannelView, serving: ReleaseView | None, flight: ReleaseView | None
) -> Iterator[str]:
    """Say how a channel is doing, a sentence at a time.

    Args:
        language: The reader's.
        view: The channel.
        serving: The release that ``view.serving`` names, if it is known.
        flight: The release that ``view.in_flight`` names, if it is known.
    """
    say = language.gettext
    if flight is not None:
        held = any(door.state is State.HELD for door in flight.door.values())
        message = (
            _("Release %(number)s is held and waits for a person.")
            if held
            else _("Release %(number)s is in flight.")
        )
        yield say(message, number=language.number(flight.number))
    elif serving is not None:
        number = language.number(serving.number)
        yield say(_("Release %(number)s is served and nothing is in flight."), number=number)
    elif view.last_sync_ms is None and not view.last_error:
        yield say(_("Nothing has been heard from the vendor's server yet."))
    if view.unknown and not view.machines:
        yield language.ngettext(
            "One client that is not enrolled reads this channel; nobody can try a release: enrol "
            "some, or expedite it.",
            "%(count)s clients that are not enrolled read this channel; nobody can try a release: "
            "enrol some, or expedite it.",
            view.unknown,
        )
    for ring, release in sorted(view.pinned.items()):
        yield say(
            _("Ring %(ring)s is pinned to release %(release)s, so nothing newer boards."),
            ring=ring,
            release=release[:_SHORT_ID],
        )
    if view.refused:
        yield say(
            _("The vendor offers release %(release)s, which was shut: it never boards by itself."),
            release=view.refused[:_SHORT_ID],
        )
    if view.blocked:
        yield say(_BLOCKED.get(view.blocked_by, _BAD_ENDS))


def evidence(language: Language, view: ReleaseView) -> Iterator[str]:
    """Say what the verdict on a release rests on, a sentence at a time, with the numbers."""
    say = language.gettext
    verdict, lines = view.verdict, view.thresholds
    yield say(
        _("Machines it reached: %(admitted)s; known to be well: %(well)s; harmed: %(harmed)s."),
        admitted=language.number(view.exposed),
        well=language.number(sum(door.matured for door in view.door.values())),
        harmed=language.number(view.harmed),
    )
    yield say(
        _("The e-value against it is %(factor)s; at %(shut)s the door shuts."),
        factor=language.factor(verdict.log_e_harm),
        shut=language.factor(lines.log_e_shut),
    )
    if verdict.harm_upper < 1:
        yield say(
            _(
                "That it harms more than %(upper)s of the machines that install it is excluded; "
                "at %(delta)s the door opens."
            ),
            upper=language.percent(verdict.harm_upper),
            delta=language.percent(lines.delta),
        )
    else:
        yield say(_("No share of harm is excluded yet."))


def harm(language: Language, kind: str) -> str:
    """Say what a signal kind means; an unknown kind speaks for itself."""
    return language.gettext(_HARMS[kind]) if kind in _HARMS else kind


def verb(language: Language, name: str) -> str:
    """The name of one of the three verbs of undoing."""
    return language.gettext(_VERBS[name]) if name in _VERBS else name


def undoing(language: Language, undo: str) -> str:
    """Say how far the undoing got on a machine, honestly."""
    return language.gettext(_UNDOINGS[undo]) if undo in _UNDOINGS else undo
