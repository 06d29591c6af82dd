"""Strata: the attributes of a machine by which its harm is told apart, in one text.

A stratum is written ``model=R650,site=Prague``: names in alphabetical order, ``%``, ``,`` and
``=`` inside a name or a value as ``%25``, ``%2C``, ``%3D``; ``""`` where nothing is known. It is
fixed before a card is drawn (invariant I5 of cohorts.md).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

_ESCAPES = (("%", "%25"), (",", "%2C"), ("=", "%3D"))


def stratum_of(attributes: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Write the stratum of a machine.

    Args:
        attributes: What is known of the machine.
        names: The attributes that make a stratum; those the machine has not are left out.
    """
    return ",".join(
        f"{_escape(name)}={_escape(attributes[name])}"
        for name in sorted(names)
        if name in attributes
    )


@lru_cache(maxsize=4096)
def values_of(stratum: str) -> Mapping[str, str]:
    """Read a stratum.

    Raises:
        ValueError: It is not written as above.
    """
    values: dict[str, str] = {}
    for part in stratum.split(",") if stratum else ():
        name, equals, value = part.partition("=")
        if not equals or "=" in value or not name or _unescape(name) in values:
            raise ValueError(f"no stratum: {stratum!r}")
        values[_unescape(name)] = _unescape(value)
    return MappingProxyType(values)


def _escape(text: str) -> str:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _unescape(text: str) -> str:
    for plain, escaped in reversed(_ESCAPES):
        text = text.replace(escaped, plain)
    return text
