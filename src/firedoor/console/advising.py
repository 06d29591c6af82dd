"""What a person can do about a release now: the commands, and what each does and does not."""

from collections.abc import Iterator, Mapping
from typing import Final

from firedoor.console.facts import Advice, Facts, Move
from firedoor.console.language import Language
from firedoor.console.model import ReleaseView
from firedoor.core.door import State

FRESH_SLOTS: Final = 10
"""Machines that the command for widening a budget suggests."""

_SHORT_ID = 12
_UNDECIDED: Final = frozenset({State.WAITING, State.OPENING, State.HELD})


def _(message: str) -> str:
    """Mark a message id for extraction."""
    return message


_NAMES: Final[Mapping[Move, str]] = {
    Move.CONTAIN: _("Contain it"),
    Move.CONTAINED: _("Contained already"),
    Move.REVERT: _("Revert: nothing to type"),
    Move.STAYS: _("Revert: not with this kind of client"),
    Move.REMEDY: _("Remedy: see whom a person has to reach"),
    Move.LIST: _("See who has it"),
    Move.HOLD: _("Hold it"),
    Move.RESUME: _("Let it go on"),
    Move.EXPEDITE: _("Hurry it"),
    Move.OVERRIDE: _("Let it through all the same"),
}

_DOES: Final[Mapping[Move, str]] = {
    Move.CONTAIN: _(
        "From the next request on nobody new gets it, and files that only this release has are "
        "refused."
    ),
    Move.CONTAINED: _("Nobody new gets it, and files that only this release has are refused."),
    Move.REVERT: _(
        "A machine that still polls is served the release before it, and its client installs "
        "that; it counts as reverted once it has been seen with it."
    ),
    Move.STAYS: _("Machines that installed it keep it until the vendor publishes something newer."),
    Move.REMEDY: _("Lists the machines that came to harm, and what is known of each."),
    Move.LIST: _("Lists the machines that got it and how each of them is."),
    Move.HOLD: _(
        "From the next request on nobody new gets it, until a person resumes it. When in doubt, "
        "this is the one that is easily taken back."
    ),
    Move.RESUME: _("The door goes on letting machines through, a few at a time."),
    Move.EXPEDITE: _("Puts %(slots)s more machines at risk at once."),
    Move.OVERRIDE: _(
        "Puts %(slots)s more machines at risk at once, although the release was shut; the judge "
        "does not shut it again."
    ),
}

_DOES_NOT: Final[Mapping[Move, str]] = {
    Move.CONTAIN: _("It takes nothing from machines that have installed it."),
    Move.CONTAINED: _("That takes nothing from machines that have installed it."),
    Move.REVERT: _("A machine that no longer polls is not reached by this."),
    Move.STAYS: _("Serving the older release does not bring them back."),
    Move.REMEDY: _("It heals nobody: no server reaches a machine that no longer polls."),
    Move.LIST: _("It changes nothing."),
    Move.HOLD: _("It takes the release from nobody who has it."),
    Move.RESUME: _(
        "It makes the release no safer. If the harm budget was spent, as many machines again are "
        "put at risk."
    ),
    Move.EXPEDITE: _("It adds no evidence. The judge still shuts the door if harm is proved."),
    Move.OVERRIDE: _("It does not change the verdict."),
}


def advice(release: ReleaseView, *, reverts: bool) -> tuple[Advice, ...]:
    """What can be done about a release where its doors are now, the most urgent first.

    Args:
        release: The release and its doors.
        reverts: This kind of client goes back when it is served the previous release.
    """
    return tuple(_advice(release, reverts=reverts))


def name(language: Language, each: Advice) -> str:
    """What a move is called."""
    return language.gettext(_NAMES[each.move])


def does(language: Language, each: Advice) -> str:
    """What a move does, in a sentence."""
    return language.gettext(_DOES[each.move], slots=language.number(FRESH_SLOTS))


def does_not(language: Language, each: Advice) -> str:
    """What a move does not do, in a sentence."""
    return language.gettext(_DOES_NOT[each.move])


def who_has_it(language: Language, facts: Facts) -> Iterator[str]:
    """Say how many machines have the release and how they are, a sentence at a time."""
    say, number = language.gettext, language.number
    release = facts.release
    in_flight = sum(door.in_flight for door in release.door.values())
    if not release.exposed:
        yield say(_("No machine has got it."))
        return
    yield language.ngettext(
        "One machine got it; harmed: %(harmed)s; outcome not known yet: %(flight)s.",
        "%(count)s machines got it; harmed: %(harmed)s; outcome not known yet: %(flight)s.",
        release.exposed,
        harmed=number(release.harmed),
        flight=number(in_flight),
    )
    undoing = facts.undoing
    if undoing is None:
        return
    yield say(
        _(
            "Of the %(looked)s looked at: a person has to reach: %(remedy)s; contained, and not "
            "seen going back yet: %(contained)s; seen running the previous release again: "
            "%(reverted)s."
        ),
        looked=number(undoing.looked_at),
        reverted=number(undoing.reverted),
        remedy=number(undoing.needs_remedy),
        contained=number(undoing.contained),
    )


def _advice(release: ReleaseView, *, reverts: bool) -> Iterator[Advice]:
    states = {door.state for door in release.door.values()}
    short = release.id[:_SHORT_ID]
    who = '--by NAME --reason "WHY"'
    shut, held = State.SHUT in states, State.HELD in states
    if shut:
        yield Advice(move=Move.CONTAINED)
        yield Advice(move=Move.REVERT if reverts and release.previous else Move.STAYS)
    if release.harmed:
        yield Advice(move=Move.REMEDY, command=f"firedoor release machines {short} --state harmed")
    if release.exposed and (shut or not release.harmed):
        yield Advice(move=Move.LIST, command=f"firedoor release machines {short}")
    if states & {State.WAITING, State.OPENING}:
        yield Advice(move=Move.HOLD, command=f"firedoor release hold {short} {who}")
    if states & (_UNDECIDED | {State.OPEN}):
        yield Advice(move=Move.CONTAIN, command=f"firedoor release shut {short} {who}")
    if held:
        yield Advice(move=Move.RESUME, command=f"firedoor release resume {short} {who}")
    expedite = f"firedoor release expedite {short} --budget {FRESH_SLOTS} {who}"
    if states & _UNDECIDED:
        yield Advice(move=Move.EXPEDITE, command=expedite)
    elif shut:
        yield Advice(move=Move.OVERRIDE, command=expedite)
