"""The placebo audit of channels, as it is told."""

from typing import Final

import msgspec
import numpy as np

from firedoor.adapters.store.judge import JudgeReader
from firedoor.services import past, placebo
from firedoor.services.lines import Line

FEW: Final = 20
"""Below so many good releases the bounds are wide: little can be said."""

_OBSERVED: Final = (
    "more good releases than chance explains had evidence of harm on the day: either they were "
    "not as good as they seem, or machines of the two arms differ. Look at firedoor verdict show "
    "of the releases named, and whether machines share an identity (firedoor machine list)"
)
_DEALT: Final = (
    "the judge accuses too often although chance alone deals: that is a mistake of Firedoor. "
    "Judge the counts with the linear factor alone (firedoor judge --together), set "
    'policy.mode = "shadow" for the channel, and report it'
)
_UNUSUAL: Final = (
    "who was treated and who was harmed go together more often than chance allows: something "
    "beside the cards decides who gets a release, such as a cache or a second updater before the "
    "gate. Take it away, or judge the counts as machines that may fail together (firedoor judge "
    "--together)"
)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question of an audit.

    Attributes:
        asked: Of how many releases, or deals.
        alarms: How many reached the level.
        most: More than these are no chance.
        passed: Whether it is what was promised.
    """

    asked: int
    alarms: int
    most: int
    passed: bool


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit of one channel found.

    Attributes:
        channel: Name of the channel.
        releases: Past good releases.
        undealt: Those whose cells cannot be dealt again: a deck is open, or records were lost.
        observed: How many had a warning on the day.
        dealt: How many deals of their cards give one.
        unusual: In how many the real deal is among the loudest twentieth.
        loudest: Boarding numbers of those that had a warning, or are unusual.
        passed: Whether all three are what was promised.
        advice: What to do about what was not.
    """

    channel: str
    releases: int
    undealt: int
    observed: Question
    dealt: Question
    unusual: Question
    loudest: list[int]
    passed: bool
    advice: list[str]


def audit(judge: JudgeReader, channel: str, *, deals: int, seed: int) -> Audited:
    """Audit one channel.

    Args:
        judge: The judge's store.
        channel: Name of the channel.
        deals: How often the cards of each release are dealt again.
        seed: Of the deals; the same seed and cells give the same answer.

    Raises:
        Unavailable: The store cannot be read.
    """
    chance = np.random.default_rng(seed)
    lines = [
        Line(each, {door.ring: door for door in judge.doors(channel, each.number)})
        for each in judge.boardings(channel)
    ]
    trials = [
        placebo.tried(
            line.boarding.number,
            line.boarding.rules,
            judge.cells(channel, line.boarding.number),
            deals=deals,
            chance=chance,
        )
        for line in past.good(lines, judge)
    ]
    found = placebo.asked(trials)
    parts = ((found.observed, _OBSERVED), (found.dealt, _DEALT), (found.unusual, _UNUSUAL))
    return Audited(
        channel=channel,
        releases=len(trials),
        undealt=sum(not trial.dealt for trial in trials) if deals else len(trials),
        observed=_told(found.observed),
        dealt=_told(found.dealt),
        unusual=_told(found.unusual),
        loudest=[trial.number for trial in trials if trial.warned or trial.is_unusual],
        passed=found.passed,
        advice=[advice for answer, advice in parts if not answer.passed],
    )


def _told(answer: placebo.Answer) -> Question:
    return Question(
        asked=answer.asked, alarms=answer.alarms, most=answer.most, passed=answer.passed
    )
