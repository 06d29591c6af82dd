"""What is asked of counts over HTTP: the query of a run, and Kayenta's ``judgeConfigurations``.

Both have the same settings, under the names that their callers are used to.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from firedoor.core.errors import BadInput
from firedoor.core.terms import Policy
from firedoor.services.alone import DECLARED, MACHINES, MOST_INTERVALS, SITES, Asked

SETTINGS: Final = (
    *("randomised", "together", "units", "alpha_harm", "alpha_clear", "delta", "follow_up"),
    *("ratio", "cluster"),
)
"""As a query spells them."""

_MOST_MACHINES: Final = 10**12
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_WORDS: Final[dict[str, bool]] = {"true": True, "false": False}
_CAMELS: Final = {re.sub("_(.)", lambda found: found[1].upper(), name): name for name in SETTINGS}


PARTS: Final = ("parts", "part")
"""Further ones of a run: who its collectors are, and whose counts come."""


def of_query(query: Mapping[str, str]) -> Asked:
    """Read the query of a request.

    Raises:
        BadInput: A parameter is unknown or makes no sense.
    """
    unknown = sorted(set(query) - set(SETTINGS))
    if unknown:
        raise BadInput(
            f"unknown parameter {unknown[0][:40]!r}",
            hint=f"there are {', '.join((*SETTINGS, *PARTS))}",
        )
    return _asked({name: _typed(name, text) for name, text in query.items()}, SETTINGS)


def of_kayenta(configured: Mapping[str, Any]) -> Asked:
    """Read what a canary configuration says to the judge; raises as :func:`of_query`."""
    unknown = sorted(set(configured) - set(_CAMELS))
    if unknown:
        raise BadInput(
            f"judgeConfigurations.{unknown[0][:40]} is unknown",
            hint=f"it may have {', '.join(sorted(_CAMELS))}",
        )
    given = {_CAMELS[name]: value for name, value in configured.items()}
    return _asked(given, [f"judgeConfigurations.{name}" for name in _CAMELS])


def _typed(name: str, text: str) -> object:
    """A value of a query as JSON would have it; what is none stays a text, and is refused."""
    if name in ("randomised", "units"):
        return text
    if name == "together":
        return _WORDS.get(text, text)
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _asked(given: Mapping[str, object], names: Sequence[str]) -> Asked:
    said = dict(zip(SETTINGS, names, strict=True))
    if given.get("randomised") not in (None, DECLARED):
        raise BadInput(f"{said['randomised']} is {DECLARED!r} or left out")
    together = given.get("together", False)
    if not isinstance(together, bool):
        raise BadInput(f"{said['together']} is true or false")
    if given.get("units") not in (None, MACHINES, SITES):
        raise BadInput(f"{said['units']} is {MACHINES!r} or {SITES!r}")
    clear = _share(given, said, "alpha_clear")
    return Asked(
        alpha_harm=_share(given, said, "alpha_harm"),
        alpha_clear=Policy().alpha_clear if clear is None else clear,
        delta=_share(given, said, "delta"),
        randomised=given.get("randomised") is not None,
        together=together,
        sites=given.get("units") == SITES,
        ratio=_ratio(given, said),
        cluster=_whole(given, said, "cluster", "machines", _MOST_MACHINES) or 1,
        follow_up=_whole(given, said, "follow_up", "intervals", MOST_INTERVALS),
    )


def _share(given: Mapping[str, object], said: Mapping[str, str], name: str) -> float | None:
    match given.get(name):
        case None:
            return None
        case float() as share if 0.0 < share < 1.0:
            return share
        case other:
            raise BadInput(f"{said[name]} is a share between 0 and 1, not {_shown(other)}")


def _ratio(given: Mapping[str, object], said: Mapping[str, str]) -> float | None:
    match given.get("ratio"):
        case None:
            return None
        case bool():
            pass
        # JSON has whole numbers that no float holds.
        case int() | float() as ratio if 1 < ratio < _MOST_MACHINES and math.isfinite(ratio):
            return float(ratio)
        case _:
            pass
    raise BadInput(
        f"{said['ratio']} is a number above 1, not {_shown(given['ratio'])}",
        hint="1.5 clears once odds of harm of one and a half times the control's are excluded",
    )


def _whole(
    given: Mapping[str, object], said: Mapping[str, str], name: str, of: str, most: int
) -> int | None:
    match given.get(name):
        case None:
            return None
        case bool():
            pass
        case int() as number if 1 <= number <= most:
            return number
        case _:
            pass
    raise BadInput(f"{said[name]} is a number of {of}, 1 to {most:,}, not {_shown(given[name])}")


def _shown(value: object) -> str:
    try:
        return repr(value)[:40]
    except ValueError:  # a whole number too long to be written
        return "that"
