"""Preflight: what the vendor's own tool says of a release before the first machine gets it.

A cheap first ring, and never a proof: a database has passed its client's own test and crashed the
daemon. What fails is held until a person has looked; what could not be looked at goes on to the
machines as if there were no preflight, and says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from firedoor.config import ChannelConfig
from firedoor.core.release import Manifest

SENTENCE_LIMIT = 400
"""Most characters of what is said of one release; a note of the ledger holds it."""


class Result(StrEnum):
    """What came of looking at a release."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "not checked"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Check:
    """What one tool found.

    Attributes:
        result: Passed, failed, or why not: the tool is missing, or no sandbox can be made.
        sentence: What it found, for people; names the tool and, where it failed, the reason.
    """

    result: Result
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one release.

    Attributes:
        release: Its id.
        result: Failed where any tool failed, passed where any passed.
        sentence: What the tools found.
        took_ms: How long they took, >= 0.
        at_ms: When they had ended, wall clock.
    """

    release: str
    result: Result
    sentence: str = ""
    took_ms: int = 0
    at_ms: int = 0

    @classmethod
    def of(cls, release: str, checks: Sequence[Check], took_ms: int, at_ms: int) -> "Report":
        """Sum up what all tools found; at least one was asked."""
        found = {check.result for check in checks}
        result = next(each for each in (Result.FAILED, Result.PASSED, *found) if each in found)
        # What decides comes first: the rest may be cut off.
        told = sorted(checks, key=lambda check: check.result is not result)
        said = "; ".join(check.sentence for check in told)
        # A vendor's words, which a terminal must not obey.
        sentence = "".join(each if each.isprintable() else " " for each in said)[:SENTENCE_LIMIT]
        return cls(release, result, sentence, took_ms, at_ms)


@dataclass(frozen=True, slots=True)
class Job:
    """A release to look at.

    Attributes:
        channel: Its channel.
        release: Its id.
        new: Its files.
        old: Those of the release that is served now; empty for none.
    """

    channel: ChannelConfig
    release: str
    new: Manifest
    old: Manifest


class Looks(Protocol):
    """Looks at releases beside the judge's steps."""

    def want(self, channel: str, job: Callable[[], Job]) -> None:
        """Look at a release soon, unless its channel has one under way. Never waits.

        Args:
            channel: Its name.
            job: Says what to look at; asked at once, or not at all.
        """
        ...
