"""How far the evidence is from its lines, what would move it there, and how long that takes."""

import math
from collections.abc import Iterator
from typing import Final

from firedoor.console import phrases
from firedoor.console.facts import Change, Facts
from firedoor.console.language import Language
from firedoor.console.model import Judgement
from firedoor.core.door import State, ended

_TELLS: Final = 1.1
"""Two forecasts that are nearer to each other are one."""


def _(message: str) -> str:
    """Mark a message id for extraction."""
    return message


def amounts(language: Language, facts: Facts) -> Iterator[str]:
    """Say what the evidence amounts to, and how near the best possible that is."""
    say = language.gettext
    verdict, lines = facts.release.verdict, facts.release.thresholds
    yield say(
        _(
            "The evidence that it does harm is a factor of %(factor)s (an e-value; 1 says nothing "
            "either way), at most %(most)s so far."
        ),
        factor=language.factor(verdict.log_e_harm),
        most=language.factor(facts.max_log_e_harm),
    )
    yield say(
        _(
            "From %(warn)s on no door opens, at %(shut)s the door shuts: a harmless release gets "
            "there with a chance of at most %(alpha)s, however often one looks."
        ),
        warn=language.factor(lines.log_e_warn),
        shut=language.factor(lines.log_e_shut),
        alpha=language.percent(facts.alpha_harm),
    )
    confidence = language.percent(1 - facts.alpha_clear)
    if verdict.harm_upper < 1:
        yield say(
            _(
                "With %(confidence)s confidence it harms at most %(upper)s of the machines that "
                "install it, beyond what happens anyway; it is cleared at %(delta)s."
            ),
            confidence=confidence,
            upper=language.percent(verdict.harm_upper),
            delta=language.percent(lines.delta),
        )
    else:
        yield say(
            _("No share of harm is excluded yet with %(confidence)s confidence."),
            confidence=confidence,
        )
    if facts.ratio is not None:
        yield say(
            _(
                "It is cleared, too, once the evidence that its odds of harm are below %(ratio)s "
                "times the control's is a factor of %(line)s; now it is %(factor)s."
            ),
            ratio=language.number(facts.ratio),
            line=language.factor(-math.log(facts.alpha_clear)),
            factor=language.factor(facts.log_e_ratio),
        )
    if facts.cluster > 1:
        yield say(
            _(
                "Up to %(count)s machines are taken to fail together, so as many count as one "
                "where a bound on harm is asked for."
            ),
            count=language.number(facts.cluster),
        )
    if facts.liars:
        yield language.ngettext(
            "The verdict is as if the one harmed machine that says most had not spoken.",
            "The verdict is as if the %(count)s harmed machines that say most had not spoken.",
            facts.liars,
        )
    if facts.budget_growth > 0.0:
        yield say(
            _(
                "The harm budget grows with what fails anyway, by %(share)s of the control "
                "machines that failed."
            ),
            share=language.percent(facts.budget_growth),
        )
    if facts.least_harmed is not None:
        yield language.ngettext(
            "No rule that errs as seldom could have proved this with fewer than about one harmed "
            "machine.",
            "No rule that errs as seldom could have proved this with fewer than about %(count)s "
            "harmed machines.",
            facts.least_harmed,
        )
    if facts.least_installed is not None:
        yield language.ngettext(
            "No rule that errs as seldom could clear it with fewer than about one install; so far "
            "there are %(installed)s.",
            "No rule that errs as seldom could clear it with fewer than about %(count)s installs; "
            "so far there are %(installed)s.",
            facts.least_installed,
            installed=language.number(facts.installed),
        )


def changes(language: Language, facts: Facts) -> Iterator[str]:
    """Say what would change the verdict."""
    say = language.gettext
    if facts.release.verdict.state is Judgement.HARMFUL:
        yield say(
            _(
                "Nothing that happens from here on: a verdict of harm stays. Only a person can "
                "override it, on the record."
            )
        )
        return
    if facts.change is None:
        yield say(_("Nothing: its doors have ended, and no more cards are dealt."))
        return
    yield from _to_shut(language, facts.change)
    yield from _to_clear(language, facts, facts.change)


def when(language: Language, facts: Facts) -> str:
    """Say when a decision is to be expected, or why nobody can say."""
    say, verdict = language.gettext, facts.release.verdict
    states = [door.state for door in facts.release.door.values()]
    if verdict.state is Judgement.HARMFUL:
        return say(_("It is decided."))
    if all(ended(state) for state in states):
        if verdict.state is Judgement.CLEARED:
            return say(_("It is decided."))
        return say(_("Never: its doors have ended, so no door waits for the evidence."))
    if verdict.state is Judgement.CLEARED:
        if State.OPENING in states:
            return say(
                _(
                    "The evidence is in. The door opens when the machines in flight have come to "
                    "their deadline and the time of watching is over."
                )
            )
        return say(_("The evidence is in; the door waits for a person."))
    if verdict.forecast_s is not None:
        return say(
            _("At present traffic in about %(duration)s, if it goes on as it does."),
            duration=language.duration(verdict.forecast_s),
        )
    if State.OPENING not in states:
        if State.HELD in states:
            return say(_("Nobody can say: the door is held and waits for a person."))
        return say(_("Nobody can say: the door waits for the ring before it."))
    if facts.warn:
        return say(_("Nobody can say: the warning has to fade first."))
    if facts.change is not None and facts.change.likely_to_clear is None:
        return say(
            _("Nobody can say: machines fail by chance too often to see the harm asked about.")
        )
    if any(door.unknown and not door.machines for door in facts.release.door.values()):
        return say(_("Nobody can say: nobody who could try it is enrolled."))
    return say(_("Nobody can say yet: no machine has come to its deadline lately."))


def _to_shut(language: Language, change: Change) -> Iterator[str]:
    say, number = language.gettext, language.number
    if not change.in_flight:
        yield say(_("Nobody is in flight now, so nothing can prove harm at this moment."))
        return
    for each in change.shut_by:
        harm = phrases.harm(language, each.signal)
        if each.machines is None:
            yield say(
                _(
                    "Towards harmful (%(harm)s): not even all %(flight)s machines in flight would "
                    "prove it; the harm budget then holds the door."
                ),
                harm=harm,
                flight=number(change.in_flight),
            )
        else:
            yield say(
                _(
                    "Towards harmful (%(harm)s): %(machines)s of the %(flight)s machines in flight "
                    "and none of the %(control)s control machines would shut it."
                ),
                harm=harm,
                machines=number(each.machines),
                flight=number(change.in_flight),
                control=number(change.control),
            )


def _to_clear(language: Language, facts: Facts, change: Change) -> Iterator[str]:
    say, number = language.gettext, language.number
    if facts.release.verdict.state is Judgement.CLEARED:
        yield say(_("Towards cleared: nothing is missing."))
        return
    if facts.warn:
        yield say(
            _(
                "Towards cleared: nothing can while the warning stands; its e-value has to fall "
                "again first."
            )
        )
        return
    left = change.in_flight + change.untried
    if change.clean_to_clear is None:
        yield say(
            _(
                "Towards cleared: the %(left)s machines that are left are too few, even if all "
                "stay well. The door can only be walked open, machine by machine."
            ),
            left=number(left),
        )
        return
    yield language.ngettext(
        "Towards cleared: one more install, if no machine of either side comes to harm.",
        "Towards cleared: %(count)s more installs, if no machine of either side comes to harm.",
        change.clean_to_clear,
    )
    if change.likely_to_clear is None:
        yield say(
            _(
                "But machines fail by chance too often for that: at their present rate the harm "
                "asked about cannot be told from chance."
            )
        )
    elif change.likely_to_clear > _TELLS * change.clean_to_clear:
        yield language.ngettext(
            "If machines go on failing by chance as they do, about one.",
            "If machines go on failing by chance as they do, about %(count)s.",
            change.likely_to_clear,
        )
