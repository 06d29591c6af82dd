"""What a door's state and reason mean, in words; the message ids of the catalogues.

Each table holds English sentences; ``Language.gettext`` turns them into the reader's. A pair
of state and reason that has no sentence of its own falls back to the state's.
"""

from collections.abc import Mapping
from typing import Final

from firedoor.console.language import Language
from firedoor.console.model import Condition, DoorView, Judgement
from firedoor.core.door import Reason, State


def _(message: str) -> str:
    """Mark a message id for extraction."""
    return message


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
}

_UNDOINGS: Final[Mapping[str, str]] = {
    "contained": _("contained"),
    "reverted": _("seen running the old version again"),
    "needs remedy": _("needs a remedy"),
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
    (State.OPEN, Reason.WALKED): _("reached every machine, no harm showed"),
    (State.OPEN, Reason.EXPEDITED): _("a person let everybody through"),
    (State.OPEN, Reason.PINNED): _("a person pinned it"),
    (State.SHUT, None): _("contained"),
    (State.SHUT, Reason.HARMFUL): _("the evidence says it does harm"),
    (State.SHUT, Reason.PERSON): _("a person shut it"),
    (State.HELD, None): _("a precaution"),
    (State.HELD, Reason.BUDGET_SPENT): _("the harm budget is spent"),
    (State.HELD, Reason.PERSON): _("a person holds it"),
    (State.HELD, Reason.RESTORED): _("records were restored from an older copy"),
    (State.SUPERSEDED, None): _("another one took its place"),
    (State.SUPERSEDED, Reason.NEWER): _("a newer one took its place"),
    (State.SUPERSEDED, Reason.WITHDRAWN): _("withdrawn by the vendor"),
    (State.SUPERSEDED, Reason.PERSON): _("ended by a person"),
}


def headline(language: Language, number: int, door: DoorView) -> str:
    """Say in one sentence what the door does with release ``number`` and what that means."""
    message = _HEADLINES.get((door.state, door.reason)) or _HEADLINES[door.state, None]
    return language.gettext(
        message,
        number=number,
        admitted=language.number(door.admitted),
        machines=language.number(door.machines),
        harmed=language.number(door.harmed),
        by=door.by or language.gettext(_("Somebody")),
    )


def because(language: Language, state: State, reason: Reason | None) -> str:
    """Say in a few words why a door is where it is."""
    return language.gettext(_REASONS.get((state, reason)) or _REASONS[state, None])


def harm(language: Language, kind: str) -> str:
    """Say what a signal kind means; an unknown kind speaks for itself."""
    return language.gettext(_HARMS[kind]) if kind in _HARMS else kind


def undoing(language: Language, undo: str) -> str:
    """Say how far the undoing got on a machine, honestly."""
    return language.gettext(_UNDOINGS[undo]) if undo in _UNDOINGS else undo
