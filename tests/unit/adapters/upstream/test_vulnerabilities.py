"""What a release names that the one before it did not, kind by kind."""

import gzip
import hashlib

import pytest
from tests.clamav import hashes, signed
from tests.suricata import FEED, packed
from tests.unit.formats.test_vulnerabilities import RULES, UPDATEINFO

from firedoor.adapters.upstream.vulnerabilities import NAMING, named_by
from firedoor.core.channel import Kind
from firedoor.core.errors import Unavailable, Untrusted
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest

INFO = "repodata/" + "a" * 64 + "-updateinfo.xml.gz"
XZ = "Packages/x/xz-5.6.1-3.x86_64.rpm"


class Store:
    """Files by their digests."""

    def __init__(self, folder):
        self.folder = folder

    def of(self, files):
        """A release of these files, by path."""
        found = {}
        for path, data in files.items():
            digest = Digest(hashlib.sha256(data).hexdigest())
            (self.folder / digest).write_bytes(data)
            found[path] = FileEntry(digest, len(data), "application/octet-stream")
        return found

    def named(self, kind, old, new):
        """What is new."""
        return dict(named_by(kind, old, new, lambda digest: self.folder / digest))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def feed(*lines):
    """A feed of rules, as it is published."""
    return packed({"rules/a.rules": b"\n".join(lines)})


def test_rules_name_what_they_refer_to_and_only_news_counts(store):
    """A feed of fifty thousand rules names a thousand holes; the release is about the new ones."""
    before = feed(*RULES.splitlines()[:2])
    old = store.of({FEED: before, f"{FEED}.md5": b"1"})
    new = store.of({FEED: feed(*RULES.splitlines()), f"{FEED}.md5": b"2"})

    assert store.named(Kind.SURICATA, old, new) == {"CVE-2024-3094": FEED, "CVE-2023-34362": FEED}


def test_a_rule_that_moves_to_another_feed_is_no_news(store):
    """Vendors sort their rules anew now and then."""
    line = RULES.splitlines()[1]
    old = store.of({"a.tar.gz": feed(line), "b.rules": b""})
    new = store.of({"a.tar.gz": feed(b""), "b.rules": line})

    assert store.named(Kind.SURICATA, old, new) == {}


def test_signatures_name_what_they_recognise(store):
    """In custom databases, and inside of a signed one."""
    old = store.of({"daily.cvd": signed(1), "own.hdb": hashes(("Old.CVE_2020_0601-1", b"x"))})
    new = store.of({
        "daily.cvd": signed(2),
        "own.hdb": hashes(("Old.CVE_2020_0601-1", b"x"), ("New.Exploit.CVE_2024_3094-2", b"y")),
    })  # fmt: skip

    assert store.named(Kind.CLAMAV, old, new) == {"CVE-2024-3094": "own.hdb"}


def test_an_advisory_counts_where_the_release_brings_its_package(store):
    """The list of advisories tells of every package the vendor ever mended."""
    info = gzip.compress(UPDATEINFO)
    old = store.of({INFO: info, "Packages/a/other-1.rpm": b"1"})

    brings = store.of({INFO: info, "Packages/a/other-1.rpm": b"1", XZ: b"xz"})
    others = store.of({INFO: info, "Packages/a/other-2.rpm": b"2"})

    assert store.named(Kind.RPM, old, brings) == {"CVE-2024-3094": INFO}
    assert store.named(Kind.RPM, old, others) == {}
    assert store.named(Kind.RPM, brings, brings) == {}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in NAMING])
def test_other_kinds_name_nothing(store, kind):
    """What looks like an identifier in a file of another kind is anybody's."""
    new = store.of({"CVE-2024-3094.txt": RULES})

    assert store.named(kind, {}, new) == {}


@pytest.mark.parametrize(
    ("kind", "path", "data"),
    [
        (Kind.SURICATA, FEED, b"\x1f\x8bnothing"),
        (Kind.CLAMAV, "daily.cvd", b"C" * 600),
        (Kind.RPM, INFO, b"\x1f\x8bnothing"),
        (Kind.RPM, "repodata/updateinfo.xml", b"<html>"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(store, kind, path, data):
    """A release that was not searched must not look like one that names nothing."""
    new = store.of({path: data, XZ: b"xz"} if kind is Kind.RPM else {path: data})

    with pytest.raises((Untrusted, Unavailable)):
        store.named(kind, {}, new)


def test_bytes_that_are_gone_are_told(store):
    """They rotted, or were swept while they were looked for."""
    new = store.of({FEED: feed(*RULES.splitlines())})
    for file in store.folder.iterdir():
        file.unlink()

    with pytest.raises(Unavailable):
        store.named(Kind.SURICATA, {}, new)
