"""Sizes and checksums as lists of files spell them."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.core.release import is_digest
from firedoor.core.units import Digest

SHA256: Final = "sha256"

# MD5 is left out: whoever can choose a file can make two of one digest, in seconds.
_DIGITS: Final = MappingProxyType(
    {"sha1": 40, "sha224": 56, SHA256: 64, "sha384": 96, "sha512": 128}
)
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a list promises of a file's bytes.

    Attributes:
        algorithm: As ``hashlib`` calls it, SHA-1 or one of the SHA-2 family.
        digits: Lower-case hexadecimal digits.
    """

    algorithm: str
    digits: str

    @property
    def sha256(self) -> Digest | None:
        """The digest that files are stored under, or None where it is not the one promised."""
        return Digest(self.digits) if self.algorithm == SHA256 else None

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digits}"


def parse_checksum(algorithm: str, text: str) -> Checksum:
    """A checksum by the name of its algorithm; ``sha`` is SHA-1.

    Raises:
        BadInput: It is none, or one that is easily forged.
    """
    name = "sha1" if algorithm == "sha" else algorithm.lower()
    digits = text.lower()
    if name not in _DIGITS:
        raise BadInput(
            f"{algorithm[:80]!a} is no checksum to believe", hint=f"one of {', '.join(_DIGITS)}"
        )
    if len(digits) != _DIGITS[name] or not _HEX.issuperset(digits):
        raise BadInput(f"{text[:80]!a} is no {name} digest")
    return Checksum(name, digits)


def parse_digest(text: str) -> Digest:
    """A SHA-256 digest in hexadecimal digits.

    Raises:
        BadInput: It is none.
    """
    lower = text.lower()
    if not is_digest(lower):
        raise BadInput(f"{text[:80]!a} is no SHA-256 digest")
    return Digest(lower)


def parse_size(text: str) -> int:
    """A number of bytes, >= 0.

    Raises:
        BadInput: It is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(1 << 63))):
        raise BadInput(f"{text[:80]!a} is no size")
    return int(text)
