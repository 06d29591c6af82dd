"""Manners towards a vendor: how often it is asked, how long apart, and who asks."""

import datetime as dt
from email.utils import format_datetime

import pytest
from tests.servers import Answer, Asked, ToldVendor, serving
from tests.unit.adapters.upstream.reading import (
    ABSURD,
    BODY,
    FILE,
    in_turn,
    reading,
)

from firedoor.core.errors import Unavailable, UpstreamMoved
from firedoor.ports import Listed


def test_a_passing_fault_costs_a_pause_and_nothing_else(vendor, upstream, time, blobs):
    """503 is how servers say "in a moment"."""
    vendor.answer = in_turn(Answer(b"", 503), Answer(b"", 500), Answer(BODY))

    fetched = upstream.fetch(FILE, None, blobs)

    assert fetched.entry.size == len(BODY)
    assert len(time.slept) == 2


def test_a_fault_that_stays_is_given_up_with_growing_pauses(vendor, upstream, time, blobs):
    """A vendor in trouble is not helped by being asked faster."""
    vendor.answer = in_turn(Answer(b"", 502))

    with pytest.raises(Unavailable, match="failed 4 times, last: answered 502") as caught:
        upstream.fetch(FILE, None, blobs)

    assert not isinstance(caught.value, UpstreamMoved)
    assert len(vendor.asked) == 4
    assert [0.25 <= time.slept[0] <= 0.75, 0.5 <= time.slept[1] <= 1.5] == [True, True]
    assert 1.0 <= time.slept[2] <= 3.0


def test_a_vendor_says_how_long_to_wait(vendor, upstream, time, blobs):
    """429 with Retry-After is a request, and it is granted."""
    vendor.answer = in_turn(Answer(b"", 429, {"Retry-After": "7"}), Answer(BODY))

    upstream.fetch(FILE, None, blobs)

    assert time.slept == [7.0]


def test_a_vendor_may_say_it_with_a_date(vendor, upstream, time, blobs):
    """Measured on the vendor's clock: ours may be wrong, and must not matter."""

    def answer(_: Asked) -> Answer:
        if len(vendor.asked) > 1:
            return Answer(BODY)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
        return Answer(b"", 503, {"Retry-After": format_datetime(soon, usegmt=True)})

    vendor.answer = answer
    upstream.fetch(FILE, None, blobs)

    assert 18 <= time.slept[0] <= 21


def test_a_vendor_that_wants_to_be_left_alone_is_left_alone(vendor, upstream, time, blobs):
    """Too long to wait inside a poll: nothing is asked until the time is over."""
    vendor.answer = in_turn(Answer(b"", 429, {"Retry-After": "3600"}), Answer(BODY))
    with pytest.raises(Unavailable, match="3600 seconds"):
        upstream.fetch(FILE, None, blobs)

    with pytest.raises(Unavailable, match="left alone"):
        upstream.fetch(FILE, None, blobs)
    assert len(vendor.asked) == 1

    time.sleep(3600)
    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


def test_a_vendor_cannot_silence_a_channel_for_good(vendor, upstream, time, blobs):
    """A header gone wrong is overruled after a day."""
    vendor.answer = in_turn(Answer(b"", 503, {"Retry-After": "9" * 15}), Answer(BODY))
    with pytest.raises(Unavailable, match="asks to come back"):
        upstream.fetch(FILE, None, blobs)

    time.sleep(24 * 3600)

    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


@pytest.mark.parametrize("text", ["soon", "-5", "\u0665", "", "9" * 5000, ABSURD])
def test_a_retry_after_without_sense_is_not_obeyed(vendor, upstream, time, blobs, text):
    """Garbage in a header must not stop a channel."""
    headers = {"Retry-After": text.encode().decode("latin-1")}
    vendor.answer = in_turn(Answer(b"", 503, headers), Answer(BODY))

    upstream.fetch(FILE, None, blobs)

    assert time.slept[0] < 1


def test_nobody_listening_is_unavailable(time, blobs):
    """A vendor that is down is a reason to wait, never a reason to fall over."""
    with ToldVendor(serving({}), None) as gone:
        url = gone.url

    with pytest.raises(Unavailable, match="failed 4 times"):
        reading(url, time).fetch(FILE, None, blobs)


@pytest.mark.parametrize("dated", [False, True], ids=["ETag", "date"])
def test_many_files_travel_over_one_connection(vendor, upstream, blobs, dated):
    """A new connection for each file would cost a vendor more than the files."""
    files = {f"f{number}": b"%d" % number for number in range(5)}
    dates = {"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"}
    vendor.answer = (lambda _: Answer(BODY, headers=dates)) if dated else serving(files)

    known = {name: upstream.fetch(Listed(name, None, None), None, blobs) for name in files}
    for name in files:
        upstream.fetch(Listed(name, None, None), known[name], blobs)

    assert len(vendor.asked) == 10
    assert len({asked.connection for asked in vendor.asked}) == 1


def test_a_vendor_can_see_who_asks_and_caches_are_passed_by(vendor, upstream, blobs):
    """The vendor's log should name us; a stale cache on the way would tear a release."""
    vendor.answer = serving({"rules.txt": BODY})

    upstream.fetch(FILE, None, blobs)

    headers = vendor.asked[0].headers
    assert headers["User-Agent"].startswith("firedoor/")
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Cache-Control"] == "no-cache"
