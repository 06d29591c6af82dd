"""Where a vendor may send its reader, and which certificates are believed."""

import datetime as dt
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.servers import Answer, Asked, ToldVendor, raw_vendor, serving, trickle
from tests.unit.adapters.upstream.reading import BODY, FILE, HEAD, in_turn, reading

from firedoor.core.errors import Unavailable, Untrusted


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


# Certificates


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
