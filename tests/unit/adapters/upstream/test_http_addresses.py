"""What an upstream's address means, and the lists and directories that it leads to."""

import pytest
from tests.servers import Answer, Asked, page, serving
from tests.unit.adapters.upstream.reading import HTML, digest_of, reading

from firedoor.adapters.upstream.index import Limits
from firedoor.core.errors import BadConfig, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.units import Digest
from firedoor.ports import Listed


def test_a_json_list_names_files_relative_to_it(vendor, time):
    """The list is part of the content: clients that read it must find the one that fits."""
    text = b'{"files": [{"path": "b/two.txt", "size": 3}, "one.txt"]}'
    vendor.answer = serving({"feed/my%20list.json": text})

    index = reading(vendor.url + "feed/my%20list.json", time).index()

    assert index == (
        Listed("b/two.txt", None, 3),
        Listed("my list.json", digest_of(text), len(text)),
        Listed("one.txt", None, None),
    )


def test_a_checksum_list_may_be_named_itself(vendor, time):
    """And what it says about itself is out of date by nature."""
    digest = Digest("ab" * 32)
    text = f"{digest}  one.txt\n{digest}  v1-SHA256SUMS\n".encode()
    vendor.answer = serving({"feed/v1-SHA256SUMS": text})

    index = reading(vendor.url + "feed/v1-SHA256SUMS", time).index()

    assert index == (
        Listed("one.txt", digest, None),
        Listed("v1-SHA256SUMS", digest_of(text), len(text)),
    )


def test_a_list_that_is_not_there_is_not_guessed(vendor, time):
    """Whoever names a list means this list."""
    with pytest.raises(Unavailable, match="SHA256SUMS is not there"):
        reading(vendor.url + "SHA256SUMS", time).index()


def test_a_directory_that_is_not_there_says_so(upstream):
    """The commonest mistake in a configuration."""
    with pytest.raises(Unavailable, match="is not there") as caught:
        upstream.index()

    assert "address" in caught.value.hint


def test_a_fault_of_the_list_is_not_taken_for_its_absence(vendor, time):
    """Otherwise a busy server would turn a verified channel into an unverified one."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/SHA256SUMS":
            return Answer(b"", 503)
        return Answer(page("one.txt"), headers=HTML)

    vendor.answer = answer

    with pytest.raises(Unavailable, match="SHA256SUMS"):
        reading(vendor.url, time).index()


def test_a_directory_that_vanishes_while_it_is_read_means_upstream_moved(vendor, upstream):
    """Not a smaller release: try again."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/":
            return Answer(page("../", "sub/"), headers=HTML)
        return Answer(b"", 404)

    vendor.answer = answer

    with pytest.raises(UpstreamMoved, match="sub/"):
        upstream.index()


def test_a_page_that_is_no_page_is_refused(vendor, upstream):
    """A file behind the address has no links, and must not become an empty channel."""
    vendor.answer = serving({"": b"\x7fELF"})

    with pytest.raises(Untrusted, match="no directory page"):
        upstream.index()


def test_directories_that_lead_into_themselves_end(vendor, time):
    """Links to the parent exist on real servers."""
    vendor.answer = lambda asked: (
        Answer(page("sub/"), headers=HTML) if asked.path.endswith("/") else Answer(b"", 404)
    )

    with pytest.raises(Untrusted, match="deeper than 4"):
        reading(vendor.url, time, Limits(max_depth=4)).index()

    assert len(vendor.asked) == 5


def test_an_endless_list_is_refused(vendor, time):
    """It has to fit into memory."""
    vendor.answer = serving({}, sums=b"#" * 2000)

    with pytest.raises(Untrusted, match="larger than 1000"):
        reading(vendor.url, time, Limits(max_index_bytes=1000)).index()


def test_a_promise_over_the_limit_is_refused_before_anything_is_fetched(vendor, time):
    """The list says so itself."""
    vendor.answer = serving({"list.json": b'[{"path": "huge", "size": 1001}]'})

    with pytest.raises(Untrusted, match="huge"):
        reading(vendor.url + "list.json", time, Limits(max_file_bytes=1000)).index()


def test_a_path_that_leads_out_of_the_channel_is_refused(vendor, time):
    """The list is foreign, and the path becomes a name in our releases."""
    vendor.answer = serving({"list.json": b'["../../etc/passwd"]'})

    with pytest.raises(Untrusted, match="passwd"):
        reading(vendor.url + "list.json", time).index()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "vendor/feed/",
        "ftp://vendor/feed/",
        "http:///feed/",
        "http://vendor",
        "http://vendor/feed",
        "http://vendor:99999/",
        "http://[::1/",
        "http://vendor/feed/?token=x",
        "http://vendor/feed/#top",
        "https://user:word@vendor/feed/",
    ],
)
def test_an_address_that_says_too_little_or_too_much_is_refused(url, time):
    """At the configuration, where a person is looking, and without repeating a password."""
    with pytest.raises(BadConfig) as caught:
        reading(url, time)

    assert caught.value.hint
    assert "word" not in str(caught.value)
