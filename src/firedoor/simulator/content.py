"""What the sample vendor ships and what a machine does with it: the only place where harm lives.

A rule is one line, ``alert <id> field <n> value <hex>``: raise an alarm when input field ``n`` has
this value. The engine on the machine supplies `FIELDS` input fields and trusts its rules:

* a rule on a field beyond the last one is read outside the array, by a driver, at every boot:
  the machine never comes up again;
* a rule with an empty value trips an assertion: the service ends, is restarted, loads the same
  rule and ends again.

Neither is marked in any other way. A machine finds out by loading, as the real ones did.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Literal

from firedoor.core.errors import BadInput
from firedoor.core.units import Digest

Defect = Literal["none", "brick", "crash"]
"""What is wrong with a release that a vendor is about to publish."""

LIST = "SHA256SUMS"
"""The file a machine asks for first: which files make up the release."""

VERSION = "version.json"
RULES = "rules/"

FIELDS = 20
"""Input fields that the engine on a machine supplies, numbered from 1."""

_RULE_FILES = 4
_RULES_PER_FILE = 40
_DIGEST_DIGITS = 64


class Outcome(Enum):
    """What came of loading a release."""

    RUNS = auto()
    CRASHES = auto()
    BRICKS = auto()


def compose(version: str, *, defect: Defect, size: int, seed: int) -> dict[str, bytes]:
    """Make the files of a release, the same ones for the same arguments.

    The engine, the newest rule file and the version file differ between any two versions; the
    older rule files stay as they are, so that a machine has something it need not fetch again.

    Args:
        version: Name of the release.
        defect: What loading it does to a machine.
        size: Bytes of the engine, >= 0.
        seed: Two vendors with different seeds share no file.

    Returns:
        Path to bytes, without the list.
    """
    files = {"engine/detector.bin": _chance(seed, version, "engine").randbytes(size)}
    for number in range(1, _RULE_FILES):
        files[_rule_path(number)] = _text(_rules(_chance(seed, "rules", number), number))
    newest = _rules(_chance(seed, version, "rules"), _RULE_FILES)
    # In the middle, as in life: a check of the first or the last line does not find it.
    middle = len(newest) // 2
    match defect:
        case "brick":
            newest.insert(middle, f"alert {_RULE_FILES}999 field {FIELDS + 1} value 2a")
        case "crash":
            newest.insert(middle, f"alert {_RULE_FILES}999 field {FIELDS} value")
        case "none":
            pass
    files[_rule_path(_RULE_FILES)] = _text(newest)
    files[VERSION] = json.dumps({"version": version}).encode() + b"\n"
    return files


def load(rules: Iterable[bytes]) -> Outcome:
    """Do what the engine does when it starts: read every rule and trust it.

    Args:
        rules: The rule files in the order in which they are read.

    Returns:
        What becomes of the machine. Lines that are no rules are passed over.
    """
    outcome = Outcome.RUNS
    for line in (line for text in rules for line in text.splitlines()):
        match line.split():
            case [b"alert", _, b"field", number, b"value", *_] if (
                number.isdigit() and int(number) > FIELDS
            ):
                return Outcome.BRICKS
            case [b"alert", _, b"field", _, b"value"]:
                # A driver that reads outside its array is not saved by a service that ended.
                outcome = Outcome.CRASHES
            case _:
                pass
    return outcome


def write_list(files: Mapping[str, bytes]) -> bytes:
    """List a release as ``sha256sum`` does: digest, two spaces, path; sorted by path."""
    return _text([f"{digest_of(files[path])}  {path}" for path in sorted(files)])


def read_list(text: bytes) -> dict[str, Digest]:
    """Read what `write_list` wrote.

    The machines' own reader, on purpose not the mirror's: a fault in one must not hide in the
    other.

    Returns:
        Path to digest, in the order of the list.

    Raises:
        BadInput: A line that is not digest, two characters, path; or a list of nothing.
    """
    files: dict[str, Digest] = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), start=1):
        digest, path = line[:_DIGEST_DIGITS], line[_DIGEST_DIGITS + 2 :]
        if len(digest) != _DIGEST_DIGITS or set(digest) - set("0123456789abcdef") or not path:
            raise BadInput(f"line {number} of {LIST} is not a digest and a path")
        files[path] = Digest(digest)
    if not files:
        raise BadInput(f"{LIST} lists nothing")
    return files


def digest_of(data: bytes) -> Digest:
    """SHA-256 of some bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def _rules(chance: random.Random, number: int) -> list[str]:
    return [
        f"alert {number}{row:03} field {chance.randint(1, FIELDS)}"
        f" value {chance.randbytes(8).hex()}"
        for row in range(_RULES_PER_FILE)
    ]


def _rule_path(number: int) -> str:
    return f"{RULES}rules-{number:04}.txt"


def _chance(*parts: object) -> random.Random:
    return random.Random("/".join(map(str, parts)))


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
