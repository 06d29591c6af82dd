"""What a tool is given to look at, and what all tools have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firedoor.adapters.preflight.sandbox import Ran, Sandbox
from firedoor.services.preflight import Check, Result

NEW: Final = "/release"
"""The release, in the sandbox."""

OLD: Final = "/previous"
"""The one that is served now, in the sandbox; empty where there is none."""

_TENTHS: Final = 9
_FEW: Final = 100
_NAMED: Final = 3
_REASON: Final = 240


@dataclass(frozen=True, slots=True)
class Look:
    """A release before a tool.

    Attributes:
        sandbox: Where the tool runs; sees ``NEW`` and ``OLD``.
        changed: Paths of the release that are new or changed, and held, sorted.
        first: There is no release before it.
        clean: Files and directories of the host that are known to be good, as far as they exist.
    """

    sandbox: Sandbox
    changed: Sequence[str]
    first: bool
    clean: Sequence[str] = ()


def passed(sentence: str) -> Check:
    """The tool finds nothing."""
    return Check(Result.PASSED, sentence)


def failed(reason: str) -> Check:
    """The tool finds what no machine should get."""
    cut = reason if len(reason) <= _REASON else f"{reason[: _REASON - 4]} ..."
    return Check(Result.FAILED, cut)


def unchecked(reason: str) -> Check:
    """Nobody looked."""
    return Check(Result.UNCHECKED, reason)


def stopped(tool: str, ran: Ran) -> Check | None:
    """What to say of a program that met a limit, None for one that did not."""
    return failed(f"{tool} was ended at {ran.stopped}") if ran.stopped else None


def fewer(tool: str, what: str, before: int, now: int) -> Check | None:
    """What to say where much of what protects is gone, None where it is not."""
    if before and not now:
        return failed(f"{tool} loads no {what}; of the release before it was {before:,}")
    if before >= _FEW and now * 10 < before * _TENTHS:
        return failed(f"{tool} loads {now:,} {what}; of the release before it was {before:,}")
    return None


def number(count: int, what: str) -> str:
    """Such as ``1 rule`` or ``1,200 rules``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def some(items: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def as_before(*, fails: bool) -> str:
    """What to add to a reason where the release before fails as well."""
    return "; the release before fails too: look at the tool here first" if fails else ""
