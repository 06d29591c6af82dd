"""What a vendor answers instead of a body: validators, refusals, servers that know less."""

import pytest
from tests.servers import Answer, serving
from tests.unit.adapters.upstream.reading import ABSURD, BODY, FILE, in_turn

from firedoor.core.errors import Unavailable


def test_a_strong_etag_spares_the_body(vendor, upstream, blobs):
    """304 is the whole cost of a quiet day."""
    vendor.answer = serving({"rules.txt": BODY})
    known = upstream.fetch(FILE, None, blobs)

    assert upstream.fetch(FILE, known, blobs) is known
    assert vendor.asked[1].headers["If-None-Match"] == known.validator


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"1"'},
        {"ETag": "bare"},
        {"Last-Modified": "yesterday"},
        {"Last-Modified": ABSURD},
    ],
    ids=["none", "weak", "unquoted", "no date", "absurd"],
)
def test_what_does_not_prove_the_same_bytes_is_no_validator(vendor, upstream, blobs, headers):
    """A weak ETag means "as good as": not good enough for an update."""
    vendor.answer = in_turn(Answer(BODY, headers=headers))

    known = upstream.fetch(FILE, None, blobs)
    upstream.fetch(FILE, known, blobs)

    assert known.validator == ""
    assert [asked.method for asked in vendor.asked] == ["GET", "GET"]
    assert "If-None-Match" not in vendor.asked[1].headers


def test_a_date_is_compared_and_not_handed_over(vendor, upstream, blobs):
    """A server that answers 304 to "not newer" would hide a vendor's retreat to an older file."""
    first = {"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"}
    older = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    vendor.answer = in_turn(Answer(BODY, headers=first))
    known = upstream.fetch(FILE, None, blobs)
    assert upstream.fetch(FILE, known, blobs) is known

    vendor.answer = in_turn(Answer(BODY[::-1], headers=older))
    again = upstream.fetch(FILE, known, blobs)

    assert again.entry != known.entry
    assert [asked.method for asked in vendor.asked] == ["GET", "HEAD", "HEAD", "GET"]


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_that_knows_no_head_is_read_with_get(vendor, upstream, time, blobs, status):
    """Small servers answer GET only: that costs bodies, and must not cost the channel."""
    dated = {"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"}
    vendor.answer = lambda asked: (
        Answer(b"", status) if asked.method == "HEAD" else Answer(BODY, headers=dated)
    )
    known = upstream.fetch(FILE, None, blobs)

    assert upstream.fetch(FILE, known, blobs) == known
    assert time.slept == []


def test_not_modified_without_being_asked_is_no_file(vendor, upstream, blobs):
    """A broken cache must not make an empty update."""
    vendor.answer = in_turn(Answer(b"", 304))

    with pytest.raises(Unavailable, match="304"):
        upstream.fetch(FILE, None, blobs)


@pytest.mark.parametrize(
    ("status", "says"), [(401, "credentials"), (403, "credentials"), (418, "address")]
)
def test_a_refusal_is_not_asked_again_and_says_what_to_do(vendor, upstream, blobs, status, says):
    """Asking four times does not make a client welcome."""
    vendor.answer = in_turn(Answer(b"", status))

    with pytest.raises(Unavailable, match=str(status)) as caught:
        upstream.fetch(FILE, None, blobs)

    assert says in caught.value.hint
    assert len(vendor.asked) == 1
