"""Machines: what polls the gate, its name, and the tokens that speak for it.

A token is 128 bits of chance behind a prefix that names its purpose (``fdr_`` reads content
at the gate, ``fds_`` posts signals at the intake). Only its SHA-256 is ever stored. The prefix
makes a leaked token easy to find in a log or a repository, for us and for secret scanners.

Source: decisions.md 10 (one token per purpose, 128 bit, stored as SHA-256, redacted).
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import translate
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.core.units import MachineNo

TOKEN_ENTROPY_BYTES: Final = 16
"""128 bits: not to be guessed, so a plain hash of it needs no salt and no stretching."""

_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_SECRETS: Final = (
    (re.compile(r"\bfd[rs]_[0-9A-Za-z]+"), "[token]"),
    (re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), r"\1 [token]"),
    # A mistyped token in a path has no prefix to be known by; its place tells.
    (re.compile(r"/m/[^/\s?#\"']+"), "/m/[token]"),
)


class Purpose(StrEnum):
    """What a token is good for; a token of one purpose is unknown to the other door."""

    READ = "read"
    SIGNAL = "signal"


_PREFIX: Final = {Purpose.READ: "fdr_", Purpose.SIGNAL: "fds_"}


@dataclass(frozen=True, slots=True)
class Machine:
    """Something that polls the gate.

    Attributes:
        no: Number in the register: dense, from 1, never given to another machine.
        name: Unique name, 1 to 128 of letters, digits, ``.``, ``_``, ``-`` and ``:``.
        attributes: What rings select by (``site``, ``model``, ``os``); set at enrolment.
    """

    no: MachineNo
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def checked_name(name: str) -> str:
    """Return ``name`` if a machine or a collector may be called so.

    The rule keeps names safe in a URL path, a Basic user name, a file name and a shell word.

    Raises:
        BadInput: The name is empty, longer than 128 characters or has another character.
    """
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        raise BadInput(
            f"{name[:140]!r} cannot be a machine's name",
            hint="1 to 128 letters, digits and the characters . _ - :",
        )
    return name


def spell_tokens(purpose: Purpose, entropy: bytes) -> Sequence[str]:
    """Spell tokens, one for each 16 bytes of chance.

    Hexadecimal digits survive URLs, shells, and a double click; base64's ``-`` does not.

    Args:
        purpose: Door the tokens open.
        entropy: A multiple of 16 bytes from a cryptographic source, never used twice.

    Raises:
        ValueError: ``entropy`` has another length.
    """
    if len(entropy) % TOKEN_ENTROPY_BYTES:
        raise ValueError(f"a token takes {TOKEN_ENTROPY_BYTES} bytes, got {len(entropy)}")
    prefix, digits, width = _PREFIX[purpose], entropy.hex(), 2 * TOKEN_ENTROPY_BYTES
    return [prefix + digits[at : at + width] for at in range(0, len(digits), width)]


def token_digest(token: str) -> bytes:
    """SHA-256 of a token as presented: 32 bytes, the only form that is stored."""
    # A client may present anything, so also what UTF-8 cannot encode must have a digest.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def redact(text: str) -> str:
    """Return ``text`` with every token in it replaced, fit for a log line or an error.

    Known by their prefix anywhere, after ``Basic`` and ``Bearer``, and by their place in a
    path (``/m/<token>/...``), where also a mistyped one would give most of a real one away.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def name_filter(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Compile a collector's shell-style patterns into one test of a machine's name.

    Args:
        patterns: ``*``, ``?`` and ``[a-z]`` as in a shell, compared with case. None match nothing.
    """
    if not patterns:
        return lambda _name: False
    match = re.compile("|".join(translate(pattern) for pattern in patterns)).match
    return lambda name: match(name) is not None
