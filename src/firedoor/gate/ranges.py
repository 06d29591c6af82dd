"""Byte ranges: which part of a file a client asks for (RFC 9110, section 14).

One part or all of it. 14.2 allows a server to ignore Range, and so several parts in one reply,
which no updater asks for, are not worth the code or the overlapping-ranges attacks.
"""

import re
from typing import Final

# Eighteen digits fit 64 bits and no file is longer; int() refuses what is absurdly long.
_SINGLE: Final = re.compile(rb"bytes=[ \t]*([0-9]{0,4096})-([0-9]{0,4096})[ \t]*", re.IGNORECASE)
_BEYOND: Final = 10**18


def asked_part(header: bytes, size: int) -> range | None:
    """The part of a file that a Range header asks for.

    Args:
        header: Value of the only Range header, from outside: anything.
        size: Length of the file in bytes, >= 0.

    Returns:
        The byte positions, never empty if they can be satisfied; empty if they cannot (416);
        None if the header is to be ignored and the whole file sent.
    """
    found = _SINGLE.fullmatch(header)
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        return _suffix(last, size)
    start = _number(first)
    stop = size if not last else min(_number(last) + 1, size)
    if last and _number(last) < start:
        return None  # 14.1.1: "invalid if the last-pos value is present and less than first-pos"
    return range(start, stop) if start < size else range(0)


def _suffix(length: bytes, size: int) -> range | None:
    if not length:
        return None
    wanted = _number(length)
    if size == 0 and wanted:
        return None  # satisfiable by 14.1.2, but Content-Range has no form for no bytes
    return range(max(size - wanted, 0), size)


def _number(digits: bytes) -> int:
    """A number that cannot be too long for ``int``; what is beyond all files is one number."""
    plain = digits.lstrip(b"0")
    return int(plain or b"0") if len(plain) < len(str(_BEYOND)) else _BEYOND
