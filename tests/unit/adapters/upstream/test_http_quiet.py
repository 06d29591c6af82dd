"""A vendor that asks to be left alone, from one look at it to the next."""

import random

import pytest
from tests.servers import Answer
from tests.unit.adapters.upstream.reading import BODY, FILE, in_turn

from firedoor.adapters.upstream.get import Manners, Quiet
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.core.errors import Unavailable


def looking(vendor, time, quiet, attempts=4):
    """One look: each has an adapter of its own."""
    manners = Manners(silence_s=2.0, attempts=attempts)
    return HttpUpstream(
        vendor.url, random.Random(7), time, manners=manners, sleep=time.sleep, quiet=quiet
    )


def test_a_vendor_that_wants_to_be_left_alone_is_left_alone_by_the_next_look(vendor, time, blobs):
    """Each look has an adapter of its own; what the vendor said must outlive it."""
    vendor.answer = in_turn(Answer(b"", 429, {"Retry-After": "3600"}), Answer(BODY))
    quiet = Quiet()
    with pytest.raises(Unavailable, match="3600 seconds"):
        looking(vendor, time, quiet).fetch(FILE, None, blobs)

    with pytest.raises(Unavailable, match="left alone"):
        looking(vendor, time, quiet).fetch(FILE, None, blobs)
    assert len(vendor.asked) == 1

    time.sleep(3600)
    assert looking(vendor, time, quiet).fetch(FILE, None, blobs).entry.size == len(BODY)


def test_what_a_vendor_says_to_the_last_attempt_counts_too(vendor, time, blobs):
    """Short enough to wait for, but nobody is left to wait: the next look has to."""
    vendor.answer = in_turn(Answer(b"", 503, {"Retry-After": "20"}), Answer(BODY))
    quiet = Quiet()
    with pytest.raises(Unavailable, match="failed 1 times"):
        looking(vendor, time, quiet, attempts=1).fetch(FILE, None, blobs)

    with pytest.raises(Unavailable, match="left alone for 20 more seconds"):
        looking(vendor, time, quiet).fetch(FILE, None, blobs)
    assert len(vendor.asked) == 1
