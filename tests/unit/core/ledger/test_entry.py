"""Entries: what is hashed, what is signed, what is refused."""

import hashlib
import json
from dataclasses import replace

import pytest

from firedoor.core.errors import BadInput, TooLarge
from firedoor.core.ledger.entry import (
    GENESIS,
    MAX_LEAF_BYTES,
    SIGNATURE_BYTES,
    Entry,
    Signed,
    leaf_bytes,
    leaf_hash,
    parse_leaf,
    parse_line,
    signed_payload,
    to_line,
)
from firedoor.core.units import Digest, UnixMs

OPENED = Entry(0, UnixMs(1_000), "ledger-opened", {"origin": "example/ledger"}, GENESIS)
SHUT = Entry(
    1,
    UnixMs(2_000),
    "door-shut",
    {"channel": "rules", "streams": [{"signal": "crash", "log_e": "0x1.8p+2"}]},
    leaf_hash(OPENED),
)
SIGNATURE = bytes(range(SIGNATURE_BYTES))
LEAF = (
    b'{"body":{"origin":"example/ledger"},"index":0,"kind":"ledger-opened",'
    b'"previous":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"time_ms":1000,"v":1}'
)


def test_the_leaf_is_spelled_like_this():
    """Pinned: a change of one byte would orphan every ledger that was ever written."""
    assert leaf_bytes(OPENED) == LEAF


def test_the_leaf_hash_is_that_of_rfc_6962():
    """The same leaf in a Merkle tree log must have the hash the chain uses."""
    assert leaf_hash(OPENED) == hashlib.sha256(b"\x00" + LEAF).hexdigest()


def test_a_signature_covers_the_leaf_hash_in_the_ledgers_own_context():
    """A signature of an entry must be of no use for anything else the key may sign."""
    assert signed_payload(OPENED) == (
        b"firedoor ledger entry v1\n" + hashlib.sha256(b"\x00" + LEAF).digest()
    )


@pytest.mark.parametrize("entry", [OPENED, SHUT])
def test_an_entry_comes_back_from_its_leaf_and_its_line(entry):
    """What is exported is the whole truth about an entry."""
    signed = Signed(entry, SIGNATURE)

    assert parse_leaf(leaf_bytes(entry)) == entry
    assert parse_line(to_line(signed)) == signed
    assert leaf_hash(parse_line(to_line(signed)).entry) == leaf_hash(entry)


def test_an_exported_line_is_json_that_any_tool_reads():
    """`jq` on an exported ledger shows entries, not text inside text."""
    line = json.loads(to_line(Signed(SHUT, SIGNATURE)))

    assert line["entry"]["body"]["streams"] == [{"signal": "crash", "log_e": "0x1.8p+2"}]
    assert line["signature"] == SIGNATURE.hex()


def test_a_body_cannot_be_changed_after_it_was_hashed():
    """The caller's dict is copied at every level; an entry is a fact, not a view."""
    streams: list[dict[str, str]] = [{"signal": "crash"}]
    body: dict[str, list[dict[str, str]]] = {"streams": streams}
    entry = Entry(1, UnixMs(0), "door-shut", body, leaf_hash(OPENED))
    before = leaf_hash(entry)

    streams[0]["signal"] = "silence"
    streams.append({})
    body.clear()

    assert leaf_hash(entry) == before
    with pytest.raises(TypeError):
        entry.body["streams"] = []  # type: ignore[index]  # what must not work


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1},
        {"index": 2**53},
        {"time_ms": -1},
        {"time_ms": 2**53},
        {"kind": ""},
        {"kind": "Door-Shut"},
        {"kind": "door shut"},
        {"kind": "door-shut\n"},
        {"kind": "x" * 65},
        {"previous": ""},
        {"previous": "F" * 64},
        {"previous": "0" * 64 + "\n"},
        {"body": {"log_e": 1.5}},
        {"index": 0},
    ],
)
def test_an_entry_that_could_not_be_read_back_is_never_made(change):
    """A signed entry that its own reader refuses would end the ledger."""
    with pytest.raises(ValueError, match=r"."):
        replace(SHUT, **change)


def test_an_entry_is_small():
    """Decisions are short; whoever keeps bulk here would make every reader pay for ever."""
    room = MAX_LEAF_BYTES - len(leaf_bytes(replace(SHUT, body={"note": ""})))

    assert len(leaf_bytes(replace(SHUT, body={"note": "x" * room}))) == MAX_LEAF_BYTES
    with pytest.raises(ValueError, match="at most"):
        replace(SHUT, body={"note": "x" * (room + 1)})
    with pytest.raises(TooLarge):
        parse_leaf(b"x" * (MAX_LEAF_BYTES + 1))
    with pytest.raises(TooLarge):
        parse_line(b"x" * (MAX_LEAF_BYTES + 1000))


def test_the_largest_entry_still_fits_a_line():
    """The two limits must agree, or an entry could be written and not be exported."""
    room = MAX_LEAF_BYTES - len(leaf_bytes(replace(SHUT, body={"note": ""})))
    largest = Signed(replace(SHUT, body={"note": "x" * room}), SIGNATURE)

    assert parse_line(to_line(largest)) == largest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v":true'),
        (b'"v":1', b'"v":"1"'),
        (b',"v":1', b""),
        (b'"v":1', b'"v":1,"w":1'),
        (b'"index":0', b'"index":"0"'),
        (b'"index":0', b'"index":false'),
        (b'"index":0', b'"index":1.0'),
        (b'"index":0', b'"index": 0'),
        (b'"time_ms":1000', b'"time_ms":true'),
        (b'"time_ms":1000', b'"time_ms":1e3'),
        (b'"time_ms":1000', b'"time_ms":-1'),
        (b'"kind":"ledger-opened"', b'"kind":null'),
        (b'"kind":"ledger-opened"', b'"kind":"\\u006cedger-opened"'),
        (b'{"origin":"example/ledger"}', b"[]"),
        (b'{"origin":"example/ledger"}', b"null"),
        (b'{"origin":"example/ledger"}', b'{"origin":0.5}'),
        (LEAF, b"[]"),
        (LEAF, b"null"),
        (LEAF, LEAF[:-1]),
        (LEAF, LEAF + b"\n"),
    ],
)
def test_a_leaf_is_read_strictly(old, new):
    """A reader that guesses is a reader that two writers can make disagree."""
    changed = LEAF.replace(old, new)

    assert changed != LEAF
    with pytest.raises(BadInput):
        parse_leaf(changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"signature":"00', b'"signature":"'),
        (b"3f", b"3F"),
        (b'"signature"', b'"sig"'),
        (b'{"entry"', b'{"a":1,"entry"'),
        (b'"v":1', b'"v":2'),
        (b"}\n", b"}\n\n"),
    ],
)
def test_a_line_is_read_strictly(old, new):
    """An unknown field beside the signature would be covered by nothing."""
    line = to_line(Signed(OPENED, SIGNATURE))
    changed = line.replace(old, new)

    assert changed != line
    with pytest.raises(BadInput):
        parse_line(changed)


def test_a_signature_has_its_length():
    """Bytes that cannot be a signature are a mistake of the caller."""
    with pytest.raises(ValueError, match="64 bytes"):
        Signed(OPENED, b"short")


def test_only_the_first_entry_has_none_before_it():
    """A second beginning inside a ledger would hide what came before."""
    with pytest.raises(ValueError, match="first entry"):
        Entry(0, UnixMs(0), "ledger-opened", {}, Digest("1" * 64))
