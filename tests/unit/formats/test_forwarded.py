"""Whom a proxy asks for."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.formats.forwarded import client_of

NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
STANDARD, USUAL = b"forwarded", b"x-forwarded-for"
FAR = "203.0.113.9"


def trusted(address):
    return any(address in network for network in NETWORKS)


def asked(peer, *headers):
    return client_of(peer, headers, trusted)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ((USUAL, b"192.0.2.1"), "192.0.2.1"),
        ((USUAL, b"192.0.2.1:4711"), "192.0.2.1"),
        ((USUAL, b"192.0.2.1, 10.0.0.7"), "192.0.2.1"),
        ((USUAL, b"2001:db8::1"), "2001:db8::1"),
        ((STANDARD, b"for=192.0.2.1"), "192.0.2.1"),
        ((STANDARD, b'For="[2001:db8::1]:4711";proto=https;by=10.0.0.1'), "2001:db8::1"),
        ((STANDARD, b"proto=http; for=192.0.2.1 , for=10.0.0.7"), "192.0.2.1"),
        ((STANDARD, b'for="192.0.2.1, 6.6.6.6"'), "10.0.0.1"),
        ((STANDARD, b"for=unknown"), "10.0.0.1"),
        ((STANDARD, b"for=_hidden"), "10.0.0.1"),
        ((STANDARD, b"for=192.0.2.1 for=6.6.6.6"), "10.0.0.1"),
        ((USUAL, b"nonsense"), "10.0.0.1"),
        ((USUAL, b""), "10.0.0.1"),
        ((USUAL, b"192.0.2.1," * 1000), "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_whom_it_asks_for(header, client):
    """RFC 7239's own spellings; what cannot be read leaves the proxy's address."""
    assert asked("10.0.0.1", header) == client


@pytest.mark.parametrize("name", [STANDARD, USUAL])
def test_what_a_client_wrote_itself_does_not_count(name):
    """Each proxy adds at the end; what stands left of the first stranger is his own."""
    value = b"for=6.6.6.6, for=192.0.2.1" if name == STANDARD else b"6.6.6.6, 192.0.2.1"

    assert asked("10.0.0.1", (name, value)) == "192.0.2.1"


def test_nobody_can_tell_which_of_two_headers_is_the_proxys():
    """A client could send the one that its proxy does not touch."""
    assert asked("10.0.0.1", (STANDARD, b"for=6.6.6.6"), (USUAL, b"192.0.2.1")) == "10.0.0.1"


def test_an_ipv4_client_of_a_socket_for_both_is_known_by_its_own_address():
    """Otherwise no proxy of the list would ever match."""
    assert asked("::ffff:10.0.0.1", (USUAL, b"192.0.2.1")) == "192.0.2.1"


@given(st.sampled_from([STANDARD, USUAL]), st.binary(max_size=200))
def test_a_stranger_is_never_believed_and_nothing_is_an_error(name, value):
    """Whoever is in no list of proxies keeps the address that he has."""
    assert asked(FAR, (name, value)) == FAR
    assert asked("10.0.0.1", (name, value))


@given(st.binary(max_size=60).filter(lambda text: b'"' not in text))
def test_what_stands_before_the_proxys_own_entry_changes_nothing(forged):
    """The last entry is the trusted proxy's; a client may write before it whatever it likes."""
    assert asked("10.0.0.1", (USUAL, forged + b", 192.0.2.1")) == "192.0.2.1"
