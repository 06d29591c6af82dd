"""Conditional requests: may this client keep what it has? (RFC 9110, section 13).

Dates are compared for equality, byte by byte with the one we would send, where 13.1.3 would
compare their order. A 304 is only a SHOULD there, and order would freeze machines on the wrong
content: freshclam sends the time of its own installation, and after a revert a machine holds
something *younger* than what it is meant to get (clients.md, facts 1 and 3). A date that does not
match costs a transfer, never a wrong answer.
"""

import re
from collections.abc import Mapping
from typing import Final

# RFC 9110, 8.8.3: entity-tag = [ weak ] opaque-tag; etagc = %x21 / %x23-7E / obs-text.
_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')

NAMES: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-range", b"range"}
)
"""The request headers that decide which part of a file is sent, or none."""


def is_current(asked: Mapping[bytes, bytes], etag: bytes, last_modified: bytes | None) -> bool:
    """Whether the client already has these very bytes, so that 304 is the answer.

    Args:
        asked: Header name in lower case -> value; repeated ones joined by ``", "``.
        etag: Our strong entity-tag, with its quotes.
        last_modified: Our Last-Modified as sent, or None if this channel sends none; then
            If-Modified-Since is ignored (13.1.3: "if the resource does not have a modification
            date available").
    """
    tags = asked.get(b"if-none-match")
    if tags is not None:
        # 13.1.3: If-Modified-Since is ignored if the request contains If-None-Match.
        return tags == etag or tags.strip() == b"*" or _names(tags, etag, weak=True)
    return last_modified is not None and asked.get(b"if-modified-since") == last_modified


def holds(asked: Mapping[bytes, bytes], etag: bytes) -> bool:
    """Whether the client says by our entity-tag that it has these very bytes."""
    tags = asked.get(b"if-none-match")
    return tags is not None and _names(tags, etag, weak=True)


def is_refused(asked: Mapping[bytes, bytes], etag: bytes) -> bool:
    """Whether the client wants other bytes than ours or none, so that 412 is the answer."""
    tags = asked.get(b"if-match")
    if tags is None or tags.strip() == b"*":
        return False
    return not _names(tags, etag, weak=False)


def continues(asked: Mapping[bytes, bytes], etag: bytes, last_modified: bytes | None) -> bool:
    """Whether a part may be sent: what the client holds is of the same bytes, or it did not ask.

    13.1.5: If-Range compares strongly, and a date only by an exact match.
    """
    held = asked.get(b"if-range")
    return held is None or held == etag or (last_modified is not None and held == last_modified)


def _names(tags: bytes, etag: bytes, *, weak: bool) -> bool:
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(tags))
