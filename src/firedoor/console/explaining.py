"""A verdict for somebody who was woken by it: the parts of an explanation, in sentences.

One explanation for page and command line: both show the parts below in this order, and neither
says anything about a verdict that is not said here. The most urgent comes first: what the
verdict is, what Firedoor has done about it, and what a person can do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from firedoor.console import advising, phrases, prospecting
from firedoor.console.facts import Facts, GroupFacts, Limit, Whose
from firedoor.console.language import Language
from firedoor.console.model import Judgement
from firedoor.core.door import State, ended
from firedoor.core.terms import TakesEffect

MOST_GROUPS: Final = 10
"""Groups a person is shown; the facts have more."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; every column but the first holds numbers."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that can be done.

    Attributes:
        name: What it is called.
        command: What to type, ``""`` for nothing.
        does: What comes of it.
        does_not: What does not.
    """

    name: str
    command: str
    does: str
    does_not: str


@dataclass(frozen=True, slots=True)
class Part:
    """One answer.

    Attributes:
        key: ``verdict``, ``do``, ``compared``, ``happened``, ``evidence``, ``machines``,
            ``change``, ``when`` or ``limits``.
        title: Its heading.
        sentences: What is said, a sentence each.
        table: Numbers behind it.
        steps: What can be done.
        is_list: The sentences are items of a list, not a text.
    """

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    steps: tuple[Step, ...] = ()
    is_list: bool = False


def _(message: str) -> str:
    """Mark a message id for extraction."""
    return message


_TITLES: Final[Mapping[Judgement, str]] = {
    Judgement.UNDECIDED: _("Release %(number)s of %(channel)s is undecided"),
    Judgement.CLEARED: _("Release %(number)s of %(channel)s is cleared"),
    Judgement.HARMFUL: _("Release %(number)s of %(channel)s is harmful"),
}

_DONE: Final[Mapping[State, str]] = {
    State.WAITING: _("Firedoor lets nobody through until the ring before it is open."),
    State.OPENING: _(
        "Firedoor lets machines through a few at a time: at most %(window)s may be at risk at "
        "once now."
    ),
    State.OPEN: _("Firedoor holds nobody back any more."),
    State.SHUT: _(
        "Firedoor lets nobody new through, and refuses the files that only this release has."
    ),
    State.HELD: _(
        "Firedoor lets nobody new through. Machines that got it keep it, and those in flight are "
        "still followed."
    ),
    State.SUPERSEDED: _("Firedoor offers it to nobody new."),
}

_WHOSE: Final[Mapping[Whose, str]] = {
    Whose.THIS: _("It is this one: the other one adds nothing to it."),
    Whose.OTHER: _("It is the other one: this one adds nothing to it."),
    Whose.EACH: _("Each of them does harm by itself."),
    Whose.TOGETHER: _("It shows where both are installed, and not where only one is."),
    Whose.UNKNOWN: _("Nothing tells yet which of them it is."),
}

_LIMITS: Final[Mapping[Limit, str]] = {
    Limit.NOTHING_COMPARED: _(
        "Whether it does harm: no machine that got it was compared with one that did not."
    ),
    Limit.NOT_RANDOMISED: _(
        "Whether the machines that got it were like the others to begin with: chance did not "
        "choose them, so the error rates above do not hold."
    ),
    Limit.LATE: _(
        "Harm that shows later: after a machine's deadline, or at its next restart if it did not "
        "restart until then."
    ),
    Limit.SHARED: _(
        "Harm to something that all machines share, such as a server or a licence: then the "
        "control machines fail as well, and the comparison sees no difference."
    ),
    Limit.UNWATCHED: _(
        "Harm of a kind that too few machines report, so that it decides nothing: %(unwatched)s."
    ),
    Limit.POOLED: _(
        "Harm to a few machines of one model or site among many that fail by chance: the evidence "
        "looks at all machines together. Attributes named in policy.strata are looked at closer."
    ),
    Limit.UNTRIED: _("How it does in these groups, where nobody got it yet: %(groups)s."),
    Limit.BELOW: _(
        "Harm to fewer than %(upper)s of the machines that install it: only more than that is "
        "excluded."
    ),
    Limit.TOGETHER: _(
        "Harm to many machines in one accident: the bound on harm takes machines to be harmed "
        "independently of each other, or no more of them together than policy.cluster says."
    ),
    Limit.SMALL: _(
        "Whether it harms as few as %(delta)s of the machines: this fleet is too small to exclude "
        "that, even if every machine stays well."
    ),
}


def title(language: Language, facts: Facts) -> str:
    """The explanation in a line."""
    release = facts.release
    message = _TITLES[release.verdict.state]
    if facts.randomised is None:
        message = _("Release %(number)s of %(channel)s has no verdict")
    number = language.number(release.number)
    return language.gettext(message, number=number, channel=release.channel)


def parts(language: Language, facts: Facts) -> tuple[Part, ...]:
    """Explain a verdict, the most urgent first."""
    say = language.gettext
    every = (
        Part(
            "verdict",
            say(_("The verdict, and what Firedoor has done")),
            (judged(language, facts), *_suspected(language, facts), *_done(language, facts)),
        ),
        Part(
            "do",
            say(_("What you can do now")),
            tuple(advising.who_has_it(language, facts)),
            steps=tuple(
                Step(
                    advising.name(language, each),
                    each.command,
                    advising.does(language, each),
                    advising.does_not(language, each),
                )
                for each in facts.advice
            ),
        ),
        Part("compared", say(_("What was compared with what")), tuple(_compared(language, facts))),
        Part(
            "happened",
            say(_("What happened")),
            tuple(_happened(language, facts)),
            _by_signal(language, facts),
        ),
        Part(
            "evidence",
            say(_("How strong the evidence is")),
            tuple(prospecting.amounts(language, facts)),
        ),
        Part(
            "machines",
            say(_("Which machines are hit")),
            tuple(_hit(language, facts)),
            _by_group(language, facts),
        ),
        Part(
            "change",
            say(_("What would change the verdict")),
            tuple(prospecting.changes(language, facts)),
        ),
        Part("when", say(_("When it will be decided")), (prospecting.when(language, facts),)),
        Part(
            "limits",
            say(_("What this cannot tell")),
            tuple(_limits(language, facts)),
            is_list=True,
        ),
    )
    # Nothing was compared: between "why" and "what this cannot tell" there is nothing to say.
    told = ("verdict", "do", "limits") if facts.randomised is None else None
    return tuple(part for part in every if told is None or part.key in told)


def judged(language: Language, facts: Facts) -> str:
    """The verdict in one sentence."""
    say, verdict = language.gettext, facts.release.verdict
    if facts.randomised is None:
        return say(_("No evidence is claimed: its machines got it without drawing a card."))
    match verdict.state:
        case Judgement.HARMFUL:
            return _harmful(language, facts)
        case Judgement.CLEARED:
            return say(
                _("It is safe enough: more than %(upper)s excess harm is excluded."),
                upper=language.percent(verdict.harm_upper),
            )
        case _ if facts.warn:
            return say(
                _(
                    "Nothing is decided, but a warning stands: the evidence of harm is strong, and "
                    "no proof yet."
                )
            )
        case _ if not facts.treated:
            return say(_("Nothing is known yet: no machine that got it has come to its deadline."))
        case _ if all(ended(door.state) for door in facts.release.door.values()):
            return say(_("It stayed undecided: neither harm nor safety was proved."))
        case _:
            return say(_("Nothing is decided: neither harm nor safety is proved so far."))


def _harmful(language: Language, facts: Facts) -> str:
    number = language.number
    worst = max((s for s in facts.signals if s.watched), key=lambda s: s.log_e, default=None)
    if worst is None:
        return language.gettext(_("It does harm."))
    return language.gettext(
        _(
            "It does harm: of the %(treated)s machines that got it %(harmed)s came to harm "
            "(%(harm)s), of the %(control)s compared with them %(control_harmed)s."
        ),
        treated=number(worst.treated),
        harmed=number(worst.treated_harmed),
        harm=phrases.harm(language, worst.signal),
        control=number(worst.control),
        control_harmed=number(worst.control_harmed),
    )


def _suspected(language: Language, facts: Facts) -> Iterator[str]:
    other, number = facts.suspect, language.number
    if other is None:
        return
    say = language.gettext
    yield say(
        _("Release %(number)s of %(channel)s is accused of the same harm, too. %(whose)s"),
        number=number(other.number),
        channel=other.channel,
        whose=say(_WHOSE[other.whose]),
    )
    yield say(
        _(
            "Of the harmed machines %(both)s had both, %(this)s only this one, %(other)s only the "
            "other one, %(neither)s neither."
        ),
        both=number(other.both),
        this=number(other.only_this),
        other=number(other.only_other),
        neither=number(other.neither),
    )
    if other.sealed:
        yield say(
            _("Harmed machines of which it is not known yet which they had: %(sealed)s."),
            sealed=number(other.sealed),
        )


def _done(language: Language, facts: Facts) -> Iterator[str]:
    release, say = facts.release, language.gettext
    for ring, door in release.door.items():
        told = phrases.headline(language, release.number, door)
        deed = say(_DONE[door.state], window=language.number(door.window))
        if len(release.door) > 1:
            # With several doors each deed belongs to its own.
            both = language.space.join((told, deed))
            yield say(_("Ring %(ring)s: %(told)s"), ring=ring, told=both)
        else:
            yield from (told, deed)


def _compared(language: Language, facts: Facts) -> Iterator[str]:
    say, number = language.gettext, language.number
    if facts.treated:
        yield say(
            _(
                "Machines that got the release and were followed to their deadline: %(treated)s, "
                "of which %(installed)s are known to have installed it."
            ),
            treated=number(facts.treated),
            installed=number(facts.installed),
        )
        yield say(
            _(
                "Machines that stayed on the release before it and were followed in the same way: "
                "%(control)s (a machine counts each time it was compared)."
            ),
            control=number(facts.control),
        )
    else:
        yield say(_("No machine has been followed to its deadline yet."))
    doors = facts.release.door.values()
    waiting, dormant = sum(d.waiting for d in doors), sum(d.dormant for d in doors)
    if (waiting or dormant) and facts.release.takes_effect is not TakesEffect.INSTALL:
        yield say(
            _(
                "It takes effect by a restart. Machines that had told of none since their install "
                "when they were looked at, and are waited for: %(waiting)s; that have told of none "
                "for so long that nobody waits for them: %(dormant)s."
            ),
            waiting=number(waiting),
            dormant=number(dormant),
        )
    elif waiting or dormant:
        yield say(
            _(
                "Machines that had not installed it when they were looked at, and are waited for: "
                "%(waiting)s; that have not installed it for so long that nobody waits for them: "
                "%(dormant)s."
            ),
            waiting=number(waiting),
            dormant=number(dormant),
        )
    if facts.randomised:
        yield say(
            _(
                "Chance chose who got it: each machine drew a card from a shuffled deck, before "
                "anybody knew how it would fare. So only the release and chance can make the two "
                "differ."
            )
        )
        yield say(
            _("Once all its doors have ended, firedoor verdict replay %(id)s audits the cards."),
            id=facts.release.id[:12],
        )


def _happened(language: Language, facts: Facts) -> Iterator[str]:
    say = language.gettext
    if any(each.treated_harmed + each.control_harmed for each in facts.signals):
        yield say(
            _(
                "If the release made no difference, chance would put about as many of the harmed "
                "among the machines that got it as the column By chance says."
            )
        )
    else:
        yield say(_("No machine of either side came to harm so far."))
    unwatched = _unwatched(language, facts)
    if unwatched:
        yield say(
            _("Counted, but too few machines report it to decide anything: %(signals)s."),
            signals=_list(language, unwatched),
        )


def _by_signal(language: Language, facts: Facts) -> Table | None:
    say, number = language.gettext, language.number
    return Table(
        (
            say(_("Harm")),
            say(_("Got it: harmed")),
            say(_("Control: harmed")),
            say(_("By chance")),
            say(_("E-value")),
        ),
        tuple(
            (
                phrases.harm(language, each.signal),
                _of(language, each.treated_harmed, each.treated),
                _of(language, each.control_harmed, each.control),
                number(round(each.expected, 1)),
                language.factor(each.log_e) if each.watched else "–",
            )
            for each in facts.signals
        ),
    )


def _hit(language: Language, facts: Facts) -> Iterator[str]:
    say = language.gettext
    hit = [group for group in facts.groups if group.treated_harmed]
    if not sum(each.treated_harmed for each in facts.signals):
        yield say(_("No machine that got it came to harm."))
    elif not facts.groups:
        yield say(
            _(
                "No attribute tells the machines apart: all have the same ones, or none were given "
                "(firedoor machine enroll --set model=X)."
            )
        )
    elif hit:
        worst = hit[0]
        yield say(
            _("Hit worst: %(group)s, %(harmed)s of %(treated)s that got it."),
            group=_group(worst),
            harmed=language.number(worst.treated_harmed),
            treated=language.number(worst.treated),
        )
    named = [_group(group) for group in facts.groups if group.named]
    if named:
        yield say(
            _("Named as harmed, with few innocents among them: %(groups)s."),
            groups=_list(language, named),
        )


def _by_group(language: Language, facts: Facts) -> Table | None:
    if not any(group.treated_harmed for group in facts.groups):
        return None
    say = language.gettext
    watched = any(group.log_e is not None for group in facts.groups)
    headings = (say(_("Group")), say(_("Got it: harmed")), say(_("Control: harmed")))
    rows = [
        (
            _group(group),
            _of(language, group.treated_harmed, group.treated),
            _of(language, group.control_harmed, group.control),
            *([_evidence(language, group)] if watched else []),
        )
        for group in facts.groups[:MOST_GROUPS]
    ]
    return Table((*headings, *([say(_("E-value"))] if watched else [])), tuple(rows))


def _limits(language: Language, facts: Facts) -> Iterator[str]:
    untried = [_group(group) for group in facts.groups if not group.treated]
    for limit in facts.limits:
        yield language.gettext(
            _LIMITS[limit],
            groups=_list(language, untried[:MOST_GROUPS]),
            unwatched=_list(language, _unwatched(language, facts)),
            upper=language.percent(facts.release.verdict.harm_upper),
            delta=language.percent(facts.release.thresholds.delta),
        )


def _unwatched(language: Language, facts: Facts) -> list[str]:
    return [phrases.harm(language, s.signal) for s in facts.signals if not s.watched]


def _group(group: GroupFacts) -> str:
    return f"{group.attribute}={group.value}"


def _evidence(language: Language, group: GroupFacts) -> str:
    return "–" if group.log_e is None else language.factor(group.log_e)


def _of(language: Language, harmed: int, machines: int) -> str:
    return language.gettext(
        _("%(harmed)s of %(machines)s"),
        harmed=language.number(harmed),
        machines=language.number(machines),
    )


def _list(language: Language, words: list[str]) -> str:
    return language.comma.join(words)
