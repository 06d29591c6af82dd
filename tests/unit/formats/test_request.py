import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.formats.request import END, read_request

LINE = b"GET /debian/dists/stable/InRelease HTTP/1.1\r\n"
HOST = b"Host: gate\r\n"


def test_what_an_updater_sends_is_read_as_it_means_it():
    """These are the words of apt, as they come over the wire."""
    request = read_request(
        b"GET /debian/pool/main/c/c%2b%2b/c++_1%7e2.deb?x=1 HTTP/1.1\r\n"
        b"Host: gate:8080\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\n"
        b"Range: bytes=10-\r\nIf-Range:  Sun, 22 Nov 2026 07:26:30 GMT \r\n\r\n"
    )
    assert request is not None
    assert request.method == "GET"
    assert request.path == "/debian/pool/main/c/c++/c++_1~2.deb"
    assert request.raw_path == b"/debian/pool/main/c/c%2b%2b/c++_1%7e2.deb"
    assert request.query == b"x=1"
    assert request.headers == [
        (b"host", b"gate:8080"),
        (b"user-agent", b"Debian APT-HTTP/1.3 (2.6.1)"),
        (b"range", b"bytes=10-"),
        (b"if-range", b"Sun, 22 Nov 2026 07:26:30 GMT"),
    ]
    assert (request.keep, request.body) == (True, False)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        LINE + HOST + HOST + b"\r\n",
        LINE + HOST + b" folded\r\n\r\n",
        LINE + HOST + b"Range : bytes=0-1\r\n\r\n",
        LINE + HOST + b": nothing\r\n\r\n",
        LINE + HOST + b"X: a\rb\r\n\r\n",
        LINE + HOST + b"X: a\x00b\r\n\r\n",
        LINE.replace(b"\r\n", b"\n") + HOST + b"\r\n",
        LINE.replace(b"1.1", b"2.0") + HOST + b"\r\n",
        LINE.replace(b"GET /", b"GET  /") + HOST + b"\r\n",
        LINE.replace(b"GET /", b"GET ") + HOST + b"\r\n",
        LINE.replace(b"GET", b"G\tT") + HOST + b"\r\n",
        LINE + HOST + b"X: 1\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
        LINE + HOST + b"X: 1\nY: 2\r\n\r\n",
        LINE + HOST + b"\tfolded: by a tab\r\n\r\n",
        b" " + LINE + HOST + b"\r\n",
        b"\n" + LINE + HOST + b"\r\n",
        LINE + b"Host : gate\r\n\r\n",
        LINE + b"Host: gate, other\r\n\r\n".replace(b", ", b" "),
        LINE + b"Host: gate/other\r\n\r\n",
        LINE + b"Host: user@gate\r\n\r\n",
        LINE.replace(b"/debian", b"http://user:secret@gate/debian") + HOST + b"\r\n",
        LINE.replace(b"/debian", b"http:///debian") + HOST + b"\r\n",
        LINE.replace(b"/debian", b"ftp://gate/debian") + HOST + b"\r\n",
        LINE.replace(b"/debian", b"gate:8080") + HOST + b"\r\n",
        LINE.replace(b"InRelease", b"In#Release") + HOST + b"\r\n",
        LINE.replace(b"InRelease", b"In\x00Release") + HOST + b"\r\n",
        LINE.replace(b"InRelease", b"In\x7fRelease") + HOST + b"\r\n",
        LINE.replace(b" HTTP/1.1", b"") + HOST + b"\r\n",
        LINE.replace(b"HTTP", b"http") + HOST + b"\r\n",
        LINE.replace(b"1.1", b"1.10") + HOST + b"\r\n",
        LINE.replace(b"1.1", b"1.1 ") + HOST + b"\r\n",
        LINE.replace(b"1.1", b"0.9") + HOST + b"\r\n",
        b"CONNECT gate:443 HTTP/1.1\r\nHost: gate:443\r\n\r\n",
    ],
)
def test_what_two_readers_could_take_for_two_things_is_no_request(head):
    """A proxy before us that reads the same bytes in another way would be a way around the door."""
    assert read_request(head) is None


@pytest.mark.parametrize(
    ("fields", "keep", "body"),
    [
        (b"", True, False),
        (b"Connection: Close\r\n", False, False),
        (b"Content-Length: 0\r\n", True, False),
        (b"Content-Length: 5\r\n", False, True),
        (b"Content-Length: 00\r\n", False, True),
        (b"Transfer-Encoding: Chunked\r\n", False, True),
        (b"Expect: 100-continue\r\nContent-Length: 5\r\n", False, True),
    ],
)
def test_nothing_is_read_after_what_may_have_a_body(fields, keep, body):
    """How long a body is, servers and proxies have disagreed about for years; here nobody asks."""
    request = read_request(LINE + HOST + fields + b"\r\n")
    assert request is not None
    assert (request.keep, request.body) == (keep, body)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length:\r\n",
        b"Transfer-Encoding:\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_no_request(fields):
    """Each of these has been a way past some proxy: it saw one request, the server two."""
    assert read_request(LINE + HOST + fields + b"\r\n") is None


@pytest.mark.parametrize("fields", [b"", b"Connection: keep-alive\r\n"])
def test_a_client_of_http_1_0_asks_once(fields):
    """It knows neither Host nor connections that stay, whatever it hopes for."""
    request = read_request(LINE.replace(b"1.1", b"1.0") + fields + b"\r\n")
    assert request is not None
    assert not request.keep
    assert request.version == "1.0"


def test_a_client_of_http_1_0_knows_no_chunks():
    """A proxy of its time would hand on the chunks as another request (RFC 9112, 6.1)."""
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    assert read_request(LINE.replace(b"1.1", b"1.0") + chunked) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://gate:8080/debian/x", "/debian/x"),
        (b"HTTPS://gate", "/"),
        (b"/a%2Fb%zz%ff", "/a/b%zz\N{REPLACEMENT CHARACTER}"),
        (b"/caf\xc3\xa9", "/caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        (b"http://[2001:db8::1]:8080/%2e%2e/x", "/../x"),
        (b"//evil/x", "//evil/x"),
        (b"/a%00b%0d%0ac", "/a\x00b\r\nc"),
        (b"/a%252fb", "/a%2fb"),
    ],
)
def test_the_path_is_the_same_however_it_is_spelt(target, path):
    """RFC 9112 makes servers take the form for proxies too, and old clients escape nothing."""
    request = read_request(b"GET %b HTTP/1.1\r\nHost: gate\r\n\r\n" % target)
    assert request is not None
    assert request.path == path


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_whatever_is_read_was_one_head(noise, value):
    """Any bytes of a stranger are one request exactly, or none."""
    for head in (noise, LINE + HOST + b"X: " + value + END):
        request = read_request(head)
        if request is None:
            continue
        assert head.endswith(END)
        assert head.count(END) == 1
        assert len(request.headers) == head.count(b"\n") - 2
        assert all(b"\r" not in said and b"\n" not in said for _, said in request.headers)


def test_a_head_of_blanks_takes_no_time():
    """A pattern that tries twice what it may skip would be stopped by no limit of ours."""
    blanks = b" " * 60_000
    assert read_request(LINE + HOST + b"X:" + blanks + b"x" + blanks + END) is not None
    assert read_request(LINE + HOST + b"X:" + blanks + b"\x00" + END) is None
