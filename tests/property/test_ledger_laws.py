"""Laws of the ledger: what no input may break."""

import math
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from firedoor.core.errors import FiredoorError
from firedoor.core.ledger.canonical import (
    MAX_INTEGER,
    Json,
    float_to_text,
    from_canonical,
    text_to_float,
    to_canonical,
)
from firedoor.core.ledger.chain import Head, verify_chain
from firedoor.core.ledger.entry import (
    GENESIS,
    Entry,
    Signed,
    leaf_hash,
    parse_leaf,
    parse_line,
    signed_payload,
    to_line,
)
from firedoor.core.units import UnixMs

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()

text = st.text(st.characters(codec="utf-8"), max_size=12)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(text, json_values, max_size=4)


def lines_of(chain: list[dict[str, Json]]) -> Iterator[bytes]:
    previous = GENESIS
    for index, body in enumerate(chain):
        entry = Entry(index, UnixMs(index), "note", body, previous)
        yield to_line(Signed(entry, KEY.sign(signed_payload(entry))))
        previous = leaf_hash(entry)


@given(json_values)
def test_every_value_has_one_spelling_and_comes_back(value):
    """Equal values have equal bytes, whatever the order they were made in."""
    spelled = to_canonical(value)

    assert from_canonical(spelled) == value
    assert to_canonical(from_canonical(spelled)) == spelled


@given(st.dictionaries(text, json_values, min_size=2, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_show(value, chance):
    """Two writers that fill a body in another order sign the same bytes."""
    items = list(value.items())
    chance.shuffle(items)

    assert to_canonical(dict(items)) == to_canonical(value)


@given(st.binary(max_size=200) | text.map(str.encode))
def test_reading_refuses_or_gives_back_exactly_these_bytes(data):
    """No bytes crash the reader, and no bytes are read as something else."""
    try:
        value = from_canonical(data)
    except FiredoorError:
        return
    assert to_canonical(value) == data


@given(st.binary(max_size=300))
def test_foreign_bytes_never_crash_the_readers_of_entries(data):
    """An exported ledger comes from anywhere."""
    for read in (parse_leaf, parse_line):
        with pytest.raises(FiredoorError):
            read(data)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_to_the_last_bit(number):
    """Minus zero and subnormal numbers too: a replay compares bits."""
    back = text_to_float(float_to_text(number))

    assert (back, math.copysign(1, back)) == (number, math.copysign(1, number))


@given(st.lists(bodies, min_size=1, max_size=3), st.data())
def test_any_single_flipped_bit_of_an_exported_ledger_is_detected(chain, data):
    """Whoever holds the file, the public key and the head notices every change."""
    lines = list(lines_of(chain))
    head = Head(len(lines), leaf_hash(parse_line(lines[-1]).entry))
    which = data.draw(st.integers(0, len(lines) - 1), label="line")
    at = data.draw(st.integers(0, len(lines[which]) - 2), label="byte")  # not the line feed
    bit = data.draw(st.integers(0, 7), label="bit")
    changed = bytearray(lines[which])
    changed[at] ^= 1 << bit
    lines[which] = bytes(changed)

    try:
        report = verify_chain(map(parse_line, lines), PUBLIC, head)
    except FiredoorError:
        return  # no longer the spelling of an entry
    assert report.fault is not None
    assert report.fault.index == which


@given(st.lists(bodies, min_size=2, max_size=6), st.data())
def test_no_rearrangement_of_the_entries_is_sound(chain, data):
    """Dropped, doubled, swapped: only the one order verifies against the head."""
    signed = [parse_line(line) for line in lines_of(chain)]
    head = Head(len(signed), leaf_hash(signed[-1].entry))
    order = data.draw(st.lists(st.integers(0, len(signed) - 1), max_size=8), label="order")
    assume(order[: len(signed)] != list(range(len(signed))) or len(order) != len(signed))

    assert not verify_chain([signed[index] for index in order], PUBLIC, head).sound
