"""Canonical JSON: one value, one spelling, one hash."""

import math
from typing import Any

import pytest

from firedoor.core.errors import BadInput
from firedoor.core.ledger.canonical import (
    MAX_DEPTH,
    MAX_INTEGER,
    Json,
    float_to_text,
    from_canonical,
    text_to_float,
    to_canonical,
)


def test_the_spelling_has_sorted_keys_no_spaces_and_plain_utf8():
    """The bytes are what is signed; they must not depend on who wrote them."""
    value: Json = {"b": [1, -2, True, None], "a": '防火门 \u20ac \x0f\n"\\/'}

    assert to_canonical(value) == (
        b'{"a":"\xe9\x98\xb2\xe7\x81\xab\xe9\x97\xa8 \xe2\x82\xac \\u000f\\n\\"\\\\/",'
        b'"b":[1,-2,true,null]}'
    )


def test_keys_are_in_the_order_of_rfc_8785():
    """The sorting example of RFC 8785, 3.2.3: an emoji sorts by its surrogates, not its code."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]

    spelled = to_canonical(dict.fromkeys(names, 0))

    order = ["\\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert spelled.decode() == "{" + ",".join(f'"{name}":0' for name in order) + "}"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        math.nan,
        math.inf,
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        b"bytes",
        {"a": {"b": [0, 0.5]}},
        {1: "a key that is no text"},
        {"half \ud83d": 1},
        "half \ud83d",
        {1, 2},
    ],
)
def test_what_readers_would_disagree_about_is_refused(value):
    """Floats, huge integers and half characters have no single spelling among JSON readers."""
    with pytest.raises(ValueError, match=r"\$|half"):
        to_canonical(value)


def test_the_refusal_says_where():
    """A body has many fields; the writer of the message should not have to search."""
    body: Any = {"streams": [{"log_e": "0x0p+0"}, {"log_e": 0.25}]}

    with pytest.raises(ValueError, match=r"\$\.streams\[1\]\.log_e is a float"):
        to_canonical(body)


def test_nesting_is_bounded_both_ways():
    """A deep body must not exhaust the stack of whoever reads the ledger."""
    deepest: Json = 0
    for _ in range(MAX_DEPTH):
        deepest = [deepest]

    assert from_canonical(to_canonical(deepest)) == deepest
    with pytest.raises(ValueError, match="nested"):
        to_canonical([deepest])
    with pytest.raises(BadInput):
        from_canonical(b"[" * 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b"1.0",
        b"1e3",
        b"-0",
        b"01",
        b"NaN",
        b"-Infinity",
        b'"\\u0041"',
        b'"\\/"',
        b'"\xff"',
        b'"\\ud83d"',
        b"\xef\xbb\xbf1",
        b"9" * 5000,
        b"9007199254740992",
    ],
)
def test_a_second_spelling_is_refused(data):
    """Two spellings of one value would be two hashes of one decision."""
    with pytest.raises(BadInput):
        from_canonical(data)


@pytest.mark.parametrize("number", [0.0, -0.0, 3.0, 0.1, -6.25e-2, 5e-324, 1.7976931348623157e308])
def test_a_float_survives_as_text_to_the_last_bit(number):
    """A verdict is replayed bit for bit from what the ledger holds."""
    back = text_to_float(float_to_text(number))

    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_evidence(number):
    """An infinite e-value in the ledger would be a mistake made durable."""
    with pytest.raises(ValueError, match="no place"):
        float_to_text(number)


@pytest.mark.parametrize(
    "text", ["", "3.0", "0x1.8P+1", "0X1.8p+1", "0x3p+0", " 0x1.8p+1", "inf", "nan", "0x1p99999"]
)
def test_a_float_has_one_spelling_too(text):
    """Otherwise an entry could be changed without changing what it says."""
    with pytest.raises(BadInput):
        text_to_float(text)
