"""Reading a vendor over HTTP: manners, broken replies, redirects, and what an address means."""

import datetime as dt
import hashlib
import ipaddress
import random
import ssl
import time as real_time
from email.utils import format_datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.servers import Answer, Asked, ToldVendor, page, raw_vendor, serving, trickle

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.upstream.get import Manners
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.index import Limits
from firedoor.core.errors import BadConfig, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.units import Digest, UnixMs
from firedoor.ports import Instant, Listed

BODY = b"rule one\nrule two\n"


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


FILE = Listed("rules.txt", None, None)
PROMISED = Listed("rules.txt", digest_of(BODY), len(BODY))
HTML = {"Content-Type": "text/html"}


class Time:
    """A clock that goes only as far as somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._at = 1000.0

    def now(self) -> Instant:
        """As the port says."""
        return Instant("boot", int(self._at * 1000), UnixMs(0))

    def monotonic_ms(self) -> int:
        """As the port says."""
        return self.now().mono_ms

    def sleep(self, seconds: float) -> None:
        """Go on, at once."""
        self.slept.append(seconds)
        self._at += seconds


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def vendor():
    with ToldVendor(serving({}), None) as told:
        yield told


@pytest.fixture
def upstream(vendor, time):
    return reading(vendor.url, time)


def reading(url, time, limits=None, ca_file="", **manners):
    return HttpUpstream(
        url,
        random.Random(7),
        time,
        limits=limits,
        manners=Manners(silence_s=2.0, **manners),
        ca_file=ca_file,
        sleep=time.sleep,
    )


def in_turn(*answers):
    """Each request gets the next answer, the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def stored(tmp_path):
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


# How often, and how long apart


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
    """A header gone wrong is overruled after some hours."""
    vendor.answer = in_turn(Answer(b"", 503, {"Retry-After": "9" * 15}), Answer(BODY))
    with pytest.raises(Unavailable, match="asks to come back"):
        upstream.fetch(FILE, None, blobs)

    time.sleep(6 * 3600)

    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


ABSURD = "Fri, 02 Jan 2026 00:00:00 +99999999999999999"


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


# Bodies


@pytest.mark.parametrize(
    "broken",
    [Answer(BODY, announced=len(BODY) + 9), Answer(BODY, chunked=True)],
    ids=["announced", "chunked"],
)
@pytest.mark.parametrize("listed", [FILE, PROMISED], ids=["plain", "promised"])
def test_a_body_that_breaks_off_is_asked_for_again(vendor, upstream, blobs, broken, listed):
    """Half a file with a valid name is the most dangerous thing a network can do."""
    vendor.answer = in_turn(broken, Answer(BODY))

    assert upstream.fetch(listed, None, blobs).entry.size == len(BODY)
    assert len(vendor.asked) == 2


def test_a_body_that_always_breaks_off_leaves_nothing(vendor, upstream, blobs, tmp_path):
    """After the last attempt the store is as it was."""
    vendor.answer = in_turn(Answer(BODY, announced=len(BODY) + 9))

    with pytest.raises(Unavailable, match="IncompleteRead"):
        upstream.fetch(FILE, None, blobs)

    assert stored(tmp_path) == []


def test_a_body_without_length_needs_a_promise(vendor, upstream, blobs):
    """Where the end of the connection is the end of the file, nobody knows that it was whole."""
    vendor.answer = in_turn(Answer(BODY, announced=None))

    with pytest.raises(Unavailable, match="without a length"):
        upstream.fetch(FILE, None, blobs)
    assert upstream.fetch(PROMISED, None, blobs).entry.sha256 == PROMISED.sha256


def test_a_body_that_trickles_ends_too(vendor, blobs, time):
    """A byte now and then would keep the channel busy for ever."""
    vendor.answer = in_turn(Answer(BODY, byte_pause_s=0.5))

    with pytest.raises(Unavailable, match=r"longer than 0\.1 s"):
        reading(vendor.url, time, attempts=1, reply_s=0.1).fetch(FILE, None, blobs)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (HEAD, b"x"),
        (HEAD + b"Content-Length: 18\r\nX-Pad: ", b"x"),
        (CONTINUE, CONTINUE),
        (b"HTTP/1.1 302 Found\r\nLocation: /on\r\n", b"x"),
        (CHUNKED + b"\r\n", b"0"),
        (CHUNKED + b"Connection: close\r\n\r\n", b"0"),
        (CHUNKED + b"\r\n0\r\n", b"x"),
    ],
    ids=["status", "header", "long header", "100", "redirect", "size", "last reply", "trailer"],
)
def test_whatever_trickles_ends_too(time, blobs, tmp_path, head, piece):
    """No part of a reply may keep a channel busy for ever, or be believed when it was cut off."""
    with raw_vendor(trickle(head, piece)) as url:
        upstream = reading(url, time, attempts=1, reply_s=0.3)

        for listed in (FILE, PROMISED):
            with pytest.raises(Unavailable, match=r"longer than 0\.3 s"):
                upstream.fetch(listed, None, blobs)

    assert stored(tmp_path) == []


def test_redirects_share_the_time_of_one_request(vendor, time, blobs):
    """Each hop within the limit, and no end: five slow hops are one slow reply."""

    def answer(asked: Asked) -> Answer:
        real_time.sleep(0.2)
        return Answer(b"", 302, {"Location": asked.path + "x"})

    vendor.answer = answer

    with pytest.raises(Unavailable, match=r"longer than 0\.5 s"):
        reading(vendor.url, time, attempts=1, reply_s=0.5).fetch(FILE, None, blobs)


def test_a_look_that_takes_too_long_ends_in_the_middle_of_a_reply(vendor, time, blobs):
    """And nothing is asked after it, however many attempts are left."""
    vendor.answer = in_turn(Answer(BODY, byte_pause_s=0.5))
    until_ms = time.now().mono_ms + 200
    upstream = HttpUpstream(vendor.url, random.Random(7), time, sleep=time.sleep, until_ms=until_ms)

    with pytest.raises(Unavailable, match="took too long"):
        upstream.fetch(FILE, None, blobs)
    with pytest.raises(Unavailable, match="took too long"):
        upstream.index()

    assert len(vendor.asked) == 1


def test_a_file_announced_too_large_is_refused_before_it_travels(vendor, time, blobs):
    """Only the header had to be read."""
    vendor.answer = in_turn(Answer(b"", announced=10**12))

    with pytest.raises(Untrusted, match="larger than 100 bytes"):
        reading(vendor.url, time, Limits(max_file_bytes=100)).fetch(FILE, None, blobs)


def test_a_length_that_is_no_number_is_no_length(vendor, upstream, blobs):
    """Garbage in a header is the vendor's fault, and must not be ours."""
    vendor.answer = in_turn(Answer(BODY, announced=None, headers={"Content-Length": "9" * 5000}))

    with pytest.raises(Unavailable, match="without a length"):
        upstream.fetch(FILE, None, blobs)


def test_a_file_that_lies_about_its_size_is_cut_at_the_limit(vendor, time, blobs, tmp_path):
    """Without a length the limit has to hold while the bytes come."""
    vendor.answer = in_turn(Answer(b"x" * 200, chunked=True))

    with pytest.raises(Untrusted, match="larger than 100 bytes"):
        reading(vendor.url, time, Limits(max_file_bytes=100)).fetch(FILE, None, blobs)

    assert stored(tmp_path) == []


def test_a_packed_body_is_refused_unless_the_file_is_packed_itself(vendor, upstream, blobs):
    """What is hashed and served is the vendor's file, not what a proxy made of it."""
    vendor.answer = in_turn(Answer(BODY, headers={"Content-Encoding": "gzip"}))

    with pytest.raises(Untrusted, match="gzip"):
        upstream.fetch(FILE, None, blobs)
    assert upstream.fetch(Listed("rules.tar.gz", None, None), None, blobs).entry.size == len(BODY)


# Validators


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


# Redirects and certificates


def test_a_redirect_within_the_vendor_is_followed(vendor, upstream, blobs):
    """Vendors move files about on their own servers."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/rules.txt":
            return Answer(b"", 302, {"Location": "/v2/rules.txt"})
        return Answer(BODY)

    vendor.answer = answer

    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost:{port}/rules.txt",
        "//localhost:{port}/rules.txt",
        "file:///etc/passwd",
        "ftp://127.0.0.1/rules.txt",
        "http://user:word@127.0.0.1:{port}/rules.txt",
        "http://[::1/",
    ],
)
def test_a_redirect_that_leaves_the_vendor_is_refused(vendor, upstream, blobs, target):
    """Otherwise whoever can answer once can make the gate read inside the operator's network."""
    location = target.format(port=vendor.url.split(":")[2].rstrip("/"))
    vendor.answer = in_turn(Answer(b"", 302, {"Location": location}), Answer(BODY))

    with pytest.raises(Untrusted, match=r"not allowed|no address"):
        upstream.fetch(FILE, None, blobs)

    assert len(vendor.asked) == 1


def test_a_redirect_to_a_host_that_was_named_is_followed(vendor, time, blobs):
    """Some vendors serve from a second host; the operator may say so."""
    target = vendor.url.replace("127.0.0.1", "localhost") + "rules.txt"
    vendor.answer = in_turn(Answer(b"", 302, {"Location": target}), Answer(BODY))

    upstream = reading(vendor.url, time, redirect_hosts=frozenset({"localhost"}))

    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


def test_redirects_in_a_circle_end(vendor, upstream, blobs):
    """A server that points at itself is no reason to ask for ever."""
    vendor.answer = in_turn(Answer(b"", 302, {"Location": "/rules.txt"}))

    with pytest.raises(Untrusted, match="more than 5 times"):
        upstream.fetch(FILE, None, blobs)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Path of a self-signed certificate with its key, for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendor")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "vendor.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(encoding)
    )
    return path


@pytest.fixture
def secure_vendor(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ToldVendor(serving({"rules.txt": BODY}), context) as told:
        yield told


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(secure_vendor, time, blobs):
    """A certificate does not become valid by being asked for again."""
    with pytest.raises(Untrusted, match="certificate"):
        reading(secure_vendor.url, time).fetch(FILE, None, blobs)

    assert time.slept == []


def test_an_operator_may_vouch_for_a_certificate(secure_vendor, time, blobs, certificate):
    """In-house vendors have in-house authorities."""
    upstream = reading(secure_vendor.url, time, ca_file=str(certificate))

    assert upstream.fetch(FILE, None, blobs).entry.size == len(BODY)


def test_what_trickles_under_tls_ends_too(certificate, time, blobs):
    """The connection that is shut down is the one below."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with raw_vendor(trickle(HEAD, b"x"), context) as url:
        upstream = reading(url, time, ca_file=str(certificate), attempts=1, reply_s=0.5)

        with pytest.raises(Unavailable, match=r"longer than 0\.5 s"):
            upstream.fetch(FILE, None, blobs)


def test_a_redirect_from_safe_to_plain_is_refused(secure_vendor, time, blobs, certificate):
    """The network between would decide what machines install."""
    plain = {"Location": "http://127.0.0.1:9/rules.txt"}
    secure_vendor.answer = in_turn(Answer(b"", 302, plain))

    with pytest.raises(Untrusted, match="not allowed"):
        reading(secure_vendor.url, time, ca_file=str(certificate)).fetch(FILE, None, blobs)


# Addresses and indexes


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
