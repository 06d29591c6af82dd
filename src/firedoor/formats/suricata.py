"""Rule feeds as suricata-update reads them: how many rules there are, and the digest beside.

Source: suricata-update (main.py, rule.py): what is not in a ``.rules`` file, or begins with no
action, is no rule; the ``.md5`` is the digest alone.
"""

import re
from collections.abc import Iterable
from typing import Final

from firedoor.core.errors import BadInput

MAX_LINE_BYTES: Final = 1 << 20
"""A line longer than this is an attack or a broken file."""

_RULE: Final = re.compile(
    rb"^[ \t]*(?:alert|config|drop|log|pass|reject(?:src|dst|both)?|sdrop)[ \t]", re.MULTILINE
)
_MD5: Final = re.compile(r"[0-9a-f]{32}")


def count_rules(chunks: Iterable[bytes]) -> int:
    """How many rules of a ``.rules`` file are enabled.

    Args:
        chunks: The file, cut anywhere.

    Raises:
        BadInput: A line is too long.
    """
    found, rest = 0, b""
    for chunk in chunks:
        lines, end, rest = (rest + chunk).rpartition(b"\n")
        found += len(_RULE.findall(lines + end))
        if len(rest) > MAX_LINE_BYTES:
            raise BadInput(f"a line is longer than {MAX_LINE_BYTES} bytes")
    return found + len(_RULE.findall(rest))


def parse_md5(data: bytes) -> str:
    """The digest in a ``.md5`` file, alone or before a name: 32 lower-case hexadecimal digits.

    Raises:
        BadInput: There is none.
    """
    words = data.decode("ascii", "replace").lower().split(maxsplit=1)
    if not words or _MD5.fullmatch(words[0]) is None:
        raise BadInput("there is no MD5 digest in it")
    return words[0]
