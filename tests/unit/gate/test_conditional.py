"""When a client may keep what it has."""

import pytest

from firedoor.gate.conditional import continues, is_current, is_refused

ETAG = b'"' + b"a1" * 32 + b'"'
OTHER = b'"' + b"b2" * 32 + b'"'
DATE = b"Sun, 22 Nov 2026 07:26:30 GMT"


@pytest.mark.parametrize(
    "tags",
    [
        ETAG,
        b"*",
        b" * ",
        b"W/" + ETAG,
        OTHER + b", " + ETAG,
        OTHER + b",W/" + ETAG,
        b'"a,b" , ' + ETAG,
        b"nonsense, " + ETAG,
    ],
)
def test_a_client_that_names_our_digest_in_any_form_keeps_its_copy(tags):
    """If-None-Match is a list, may be ``*``, and compares weakly (RFC 9110, 13.1.2)."""
    assert is_current({b"if-none-match": tags}, ETAG, None)


@pytest.mark.parametrize(
    "tags", [OTHER, b"", b'"', ETAG.strip(b'"'), b'"*"', b"\xff\xfe", ETAG[:-2] + b'"', b"W/*"]
)
def test_a_client_that_does_not_name_our_digest_gets_the_bytes(tags):
    """A false 304 would hold the machine on a release it was moved away from."""
    assert not is_current({b"if-none-match": tags, b"if-modified-since": DATE}, ETAG, DATE)


def test_only_the_very_date_we_sent_means_not_modified():
    """After a revert a machine's date is younger than ours, and it must get the older content."""
    later, earlier = b"Sun, 22 Nov 2026 07:26:31 GMT", b"Sun, 22 Nov 2026 07:26:29 GMT"

    assert is_current({b"if-modified-since": DATE}, ETAG, DATE)
    assert not is_current({b"if-modified-since": later}, ETAG, DATE)
    assert not is_current({b"if-modified-since": earlier}, ETAG, DATE)
    assert not is_current({b"if-modified-since": b"garbage"}, ETAG, DATE)
    assert not is_current({b"if-modified-since": DATE + b", " + DATE}, ETAG, DATE)


def test_a_channel_without_dates_ignores_the_date_of_the_client():
    """Freshclam sends its own install time; to answer 304 to it would lose the update for ever."""
    assert not is_current({b"if-modified-since": DATE}, ETAG, None)


@pytest.mark.parametrize(
    ("tags", "refused"),
    [
        (None, False),
        (b"*", False),
        (ETAG, False),
        (OTHER + b", " + ETAG, False),
        (OTHER, True),
        (b"W/" + ETAG, True),
        (b"", True),
    ],
)
def test_a_client_that_insists_on_other_bytes_is_refused(tags, refused):
    """If-Match compares strongly (13.1.1): a weak tag cannot promise the same bytes."""
    asked = {} if tags is None else {b"if-match": tags}

    assert is_refused(asked, ETAG) is refused


@pytest.mark.parametrize(
    ("held", "last_modified", "agrees"),
    [
        (None, DATE, True),
        (ETAG, None, True),
        (DATE, DATE, True),
        (OTHER, DATE, False),
        (b"W/" + ETAG, DATE, False),
        (DATE, None, False),
        (b"Sun, 22 Nov 2026 07:26:31 GMT", DATE, False),
        (b"*", DATE, False),
    ],
)
def test_a_download_is_resumed_only_on_the_same_bytes(held, last_modified, agrees):
    """The other half of a file must never come from another release."""
    asked = {} if held is None else {b"if-range": held}

    assert continues(asked, ETAG, last_modified) is agrees
