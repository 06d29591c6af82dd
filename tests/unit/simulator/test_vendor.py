"""The sample vendor: how it publishes, and how it answers over real sockets."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firedoor.simulator.content import LIST, digest_of, read_list
from firedoor.simulator.vendor import Vendor, publish


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where a vendor serves one release from."""
    directory = tmp_path / "vendor" / "feed"
    publish(directory, "1", size=1000)
    return directory


@pytest.fixture
def vendor(tree: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a vendor that serves the tree."""
    with Vendor(tree) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        try:
            yield connection
        finally:
            connection.close()
            server.shutdown()
            thread.join()


def _ask(
    connection: http.client.HTTPConnection, path: str, *, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    return answer, answer.read()


def test_everything_on_the_list_is_there_and_as_listed(tree: Path) -> None:
    """A mirror refuses a release of which this is not true."""
    listed = read_list((tree / LIST).read_bytes())

    assert {path: digest_of((tree / path).read_bytes()) for path in listed} == listed


def test_the_published_digests_are_those_on_disk(tree: Path) -> None:
    """The tests' ground truth is joined on them."""
    release = publish(tree, "2", defect="brick", size=1000)

    assert release.list == digest_of((tree / LIST).read_bytes())
    assert dict(release.files) == read_list((tree / LIST).read_bytes())


def test_publishing_leaves_nothing_beside_the_tree(tree: Path) -> None:
    """What is left over would be mirrored or served one day."""
    publish(tree, "2", size=1000)

    names = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert names == {LIST, *read_list((tree / LIST).read_bytes())}
    assert [path.name for path in tree.parent.iterdir()] == [tree.name]


def test_a_reader_never_finds_a_file_older_than_its_list_nor_a_part_of_one(tree: Path) -> None:
    """So a torn view is always old list, newer file: a mismatch that a mirror sees and refuses."""
    done = threading.Event()
    seen: set[tuple[str, str, str]] = set()

    def read() -> None:
        while not done.is_set():
            listing = (tree / LIST).read_bytes()
            found = {path: (tree / path).read_bytes() for path in read_list(listing)}
            seen.update((digest_of(listing), path, digest_of(found[path])) for path in found)

    thread = threading.Thread(target=read)
    thread.start()
    releases = [publish(tree, str(number), size=1000) for number in range(1, 41)]
    done.set()
    thread.join()

    age_of = {str(release.list): age for age, release in enumerate(releases)}
    newest = {
        (path, str(digest)): age
        for age, release in enumerate(releases)
        for path, digest in release.files
    }
    assert len({listing for listing, _, _ in seen}) > 1
    assert all(newest[path, digest] >= age_of[listing] for listing, path, digest in seen)


def test_a_file_that_did_not_change_keeps_its_validator(
    tree: Path, vendor: http.client.HTTPConnection
) -> None:
    """Otherwise every mirror fetches everything at every release."""
    before, _ = _ask(vendor, "/rules/rules-0001.txt")
    publish(tree, "2", size=1000)
    same, _ = _ask(vendor, "/rules/rules-0001.txt", If_None_Match=before.headers["ETag"])
    listing, _ = _ask(vendor, f"/{LIST}", If_None_Match=before.headers["ETag"])

    assert same.status == 304
    assert listing.status == 200


def test_unchanged_is_answered_by_validator_and_by_date(
    vendor: http.client.HTTPConnection,
) -> None:
    """Both are in use, and the date must not count where a validator is given."""
    full, body = _ask(vendor, f"/{LIST}")
    date, tag = full.headers["Last-Modified"], full.headers["ETag"]

    assert full.status == 200
    assert int(full.headers["Content-Length"]) == len(body) > 0
    assert _ask(vendor, f"/{LIST}", If_None_Match=tag)[0].status == 304
    assert _ask(vendor, f"/{LIST}", If_None_Match=f'"x", W/{tag}')[0].status == 304
    assert _ask(vendor, f"/{LIST}", If_Modified_Since=date)[0].status == 304
    assert _ask(vendor, f"/{LIST}", If_None_Match='"x"', If_Modified_Since=date)[0].status == 200
    assert _ask(vendor, f"/{LIST}", If_Modified_Since="yesterday")[0].status == 200


def test_the_listing_names_what_is_there_and_hides_what_begins_with_a_dot(
    tree: Path, vendor: http.client.HTTPConnection
) -> None:
    """Mirrors that know no list read this page."""
    (tree / ".secret").write_text("x")
    (tree / "a b&c.txt").write_text("x")

    _, page = _ask(vendor, "/")
    moved, _ = _ask(vendor, "/rules")
    _, rules = _ask(vendor, "/rules/")

    assert b'<a href="rules/">rules/</a>' in page
    assert b'<a href="a%20b%26c.txt">a b&amp;c.txt</a>' in page
    assert b"secret" not in page
    assert (moved.status, moved.headers["Location"]) == (301, "/rules/")
    assert b'<a href="../">../</a>' in rules
    assert b'<a href="rules-0004.txt">' in rules


@pytest.mark.parametrize(
    "path", ["/nothing", "/../x", "/%2e%2e/x", "/.secret", "/a%00b", "/x" * 900]
)
def test_what_is_not_served_is_not_found_and_the_connection_lives_on(
    tree: Path, vendor: http.client.HTTPConnection, path: str
) -> None:
    """Neither a way out of the tree nor a name too long may end the answer or the server."""
    (tree.parent / "x").write_text("outside")
    (tree / ".secret").write_text("x")

    refused, body = _ask(vendor, path)
    after, _ = _ask(vendor, f"/{LIST}")

    assert (refused.status, body) == (404, b"")
    assert after.status == 200


def test_a_head_has_the_headers_of_a_get_and_no_body(vendor: http.client.HTTPConnection) -> None:
    """Mirrors ask so before they fetch."""
    head, nothing = _ask(vendor, f"/{LIST}", method="HEAD")
    full, body = _ask(vendor, f"/{LIST}")

    assert nothing == b""
    assert head.headers["ETag"] == full.headers["ETag"]
    assert int(head.headers["Content-Length"]) == len(body)
