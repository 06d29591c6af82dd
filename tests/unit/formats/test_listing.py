"""Lists of vendors: checksum files, JSON, and the pages servers print for directories."""

import pytest

from firedoor.core.errors import BadInput
from firedoor.core.units import Digest
from firedoor.formats.listing import Page, Promise, parse_json, parse_page, parse_sums

A, B = Digest("a" * 64), Digest("b" * 64)

# The shapes of pages as the servers print them, with names made up here.
NGINX = b"""<html>\r
<head><title>Index of /feed/</title></head>\r
<body>\r
<h1>Index of /feed/</h1><hr><pre><a href="../">../</a>\r
<a href="sub/">sub/</a>                    01-Jan-2026 00:00       -\r
<a href="a%20b%3Fc.txt">a b?c.txt</a>      01-Jan-2026 00:00      12\r
<a href="a-name-that-is-longer-than-the-column.bin">a-name-that-is-lon..&gt;</a> 01-Jan-2026\r
</pre><hr></body>\r
</html>\r
"""
APACHE = b"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /feed</title></head><body><h1>Index of /feed</h1>
<table><tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>
<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/"><img src="/icons/back.gif" alt="[PARENTDIR]"></a></td>
<td><a href="/">Parent Directory</a></td><td>&nbsp;</td></tr>
<tr><td><a href="sub/"><img src="/icons/folder.gif"></a></td><td><a href="sub/">sub/</a></td></tr>
<tr><td><a href="a&amp;b.txt"><img src="/icons/text.gif" alt="[TXT]"></a></td>
<td><a href="a&amp;b.txt">a&amp;b.txt</a></td><td align="right">12</td></tr>
<tr><td><a href="./odd:name">odd:name</a></td></tr>
</table><address>Apache Server at vendor.test Port 80</address></body></html>
"""
PYTHON = b"""<!DOCTYPE HTML>
<html lang="en"><head><meta charset="utf-8"><title>Directory listing for /feed/</title></head>
<body><h1>Directory listing for /feed/</h1><hr><ul>
<li><a href="sub/">sub/</a></li>
<li><a href="%E7%81%AB.txt">\xe7\x81\xab.txt</a></li>
<li><a href="link">link@</a></li>
</ul><hr></body></html>
"""
LIGHTTPD = b"""<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml"><head><style type="text/css">
a, a:active {text-decoration: none} /* <a href="style.css"> */</style></head><body>
<table summary="Directory Listing"><tbody>
<tr class="d"><td class="n"><a href="../">..</a>/</td><td class="t">Directory</td></tr>
<tr class="d"><td class="n"><a href="sub/">sub</a>/</td><td class="t">Directory</td></tr>
<tr><td class="n"><a href="a.tar.gz">a.tar.gz</a></td><td class="t">application/gzip</td></tr>
</tbody></table><div class="foot">lighttpd/1.4</div>
<script type="text/javascript">document.write('<a href="script">');</script></body></html>
"""
CADDY = b"""<!DOCTYPE html><html><body><header>
<h1><a href="/">/</a><a href="..">feed</a></h1></header>
<a href="./?sort=name&order=desc">Name</a><a href="?layout=grid">Grid</a><a href="#top">Up</a>
<tr class="file"><td><a href="./sub/"><span class="name">sub</span></a></td></tr>
<tr class=file><td><A HREF='./a.bin' class="x>y"><span>a.bin</span></A></td></tr>
<tr><td><a class=name title="1 > 0" href=./plain.txt>plain.txt</a></td></tr>
<!-- <a href="commented.out"> --><a href="https://caddyserver.test/">Caddy</a>
<a href="//cdn.test/x">x</a><a href="mailto:a@b.test">b</a><a href="sub/deeper.txt">d</a>
<a name="here">no link</a><a href="">empty</a><a href>bare</a><abbr href="abbr">no</abbr>
</body></html>
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            NGINX,
            Page(("a b?c.txt", "a-name-that-is-longer-than-the-column.bin"), ("sub",)),
            id="nginx",
        ),
        pytest.param(APACHE, Page(("a&b.txt", "odd:name"), ("sub",)), id="apache"),
        pytest.param(PYTHON, Page(("link", "\u706b.txt"), ("sub",)), id="python"),
        pytest.param(LIGHTTPD, Page(("a.tar.gz",), ("sub",)), id="lighttpd"),
        pytest.param(CADDY, Page(("a.bin", "plain.txt"), ("sub",)), id="caddy"),
    ],
)
def test_the_files_of_a_directory_page_are_found_and_nothing_else(text, expected):
    """Parents, sort links, footers and hidden text are no content."""
    assert parse_page(text) == expected


@pytest.mark.parametrize(
    "href", ["a%2Fb", "..%2F..%2Fetc", "a%00", "a%0d%0aX", "a%5Cb", "%FF", "a" * 300, "\\\\host"]
)
def test_a_child_whose_name_may_not_be_a_path_is_an_error(href):
    """Skipping it would make a release that silently lacks a file."""
    with pytest.raises(BadInput):
        parse_page(f'<a href="good">g</a><a href="{href}">x</a>'.encode())


@pytest.mark.parametrize(
    "href", ["%2e%2e/", "%2e", ".", "./", "..", "../", "../../x", "/etc/passwd"]
)
def test_a_link_upwards_is_no_child(href):
    """However it is spelled."""
    assert parse_page(f'<a href="{href}">x</a>'.encode()) == Page((), ())


@pytest.mark.parametrize("href", ["a:b.txt", "rules:2026/", "C:", "ftp:x"])
def test_a_link_that_may_be_a_name_with_a_colon_is_an_error(href):
    """A browser takes it for an address; who wrote the page may have meant a file."""
    with pytest.raises(BadInput, match="colon") as caught:
        parse_page(f'<a href="good">g</a><a href="{href}">x</a>'.encode())

    assert "'./'" in caught.value.hint


@pytest.mark.parametrize("href", ["./a:b.txt", "a%3Ab.txt", "./a%3Ab.txt"])
def test_a_name_with_a_colon_counts_where_it_cannot_be_an_address(href):
    """These are the forms that servers print and browsers follow."""
    assert parse_page(f'<a href="{href}">x</a>'.encode()).files == ("a:b.txt",)


@pytest.mark.parametrize(
    "href",
    ["mailto:a@b.test", "JavaScript:history.back()", "tel:+420", "HTTPS://x.test", "irc://x/y"],
)
def test_an_address_is_no_child(href):
    """Footers and buttons are no content."""
    assert parse_page(f'<a href="{href}">x</a>'.encode()) == Page((), ())


def test_bytes_that_are_no_utf8_around_the_links_do_no_harm():
    """An old server's banner may be in any code page; a name may not."""
    assert parse_page(b'caf\xe9 <a href="x">caf\xe9</a>').files == ("x",)
    with pytest.raises(BadInput):
        parse_page(b'<a href="caf\xe9">x</a>')


def test_a_page_of_half_tags_is_read_in_linear_time():
    """A hostile page must cost no more than its size (this one would take hours otherwise)."""
    size = 300_000
    for piece in (b"<a ", b"<!--", b"<script", b"<a href=", b'<a href="', b"<a x='", b"a "):
        assert parse_page(piece * (size // len(piece))) == Page((), ())
    assert parse_page(b"<a " + b"x " * (size // 2)) == Page((), ())
    assert parse_page(b"<a " + b" " * size) == Page((), ())


def test_all_forms_of_a_checksum_list_are_read():
    """Vendors use whatever their system's tool prints."""
    text = (
        f"{A}  text.txt\n"
        f"{B} *binary.bin\r\n"
        f"\n# a comment\n"
        f"SHA256 (bsd (1).txt) = {A.upper()}\n"
        f"\\{A}  plain-in-an-escaped-line\n"
        f"{A}  ./from/find.txt\n"
        f"{A}    two leading spaces\n"
        f"{B}  text.txt.asc"
    )

    assert parse_sums(b"\xef\xbb\xbf" + text.encode()) == {
        "text.txt": Promise(A),
        "binary.bin": Promise(B),
        "bsd (1).txt": Promise(A),
        "plain-in-an-escaped-line": Promise(A),
        "from/find.txt": Promise(A),
        "  two leading spaces": Promise(A),
        "text.txt.asc": Promise(B),
    }


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        f"{A} name",
        f"{A}",
        f"{A}  ",
        f"{A[:-1]}  short",
        f"MD5 (x) = {A[:32]}",
        f"SHA256 () = {A}",
        f"{A}  ../up",
        f"{A}  /etc/passwd",
        f"\\{A}  back\\\\slash",
        f"\\{A}  new\\nline",
        f"\\{A}  wrong\\escape",
        f"\\{A}  ends\\",
        f"{A}  x\n{B}  x",
        "-----BEGIN PGP SIGNED MESSAGE-----",
    ],
)
def test_a_checksum_list_with_a_line_that_makes_no_sense_is_refused(line):
    """Half a list would be a smaller release, and machines would lose files."""
    with pytest.raises(BadInput):
        parse_sums(f"{A}  good\n{line}\n".encode())


def test_a_checksum_list_in_another_code_page_is_refused():
    """Its names could not be asked for."""
    with pytest.raises(BadInput, match="UTF-8"):
        parse_sums(f"{A}  caf".encode() + b"\xe9\n")


def test_a_name_that_is_listed_twice_with_one_digest_is_listed_once():
    """Lists are often made with two globs."""
    assert parse_sums(f"{A}  x\n{A}  ./x\n".encode()) == {"x": Promise(A)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", "b/c"]', {"a": Promise(), "b/c": Promise()}),
        ("[]", {}),
        ('{"files": ["a"], "version": 3}', {"a": Promise()}),
        (f'[{{"path": "a", "sha256": "{A.upper()}", "size": 0}}]', {"a": Promise(A, 0)}),
        (f'{{"files": [{{"path": "a", "sha256": "{A}", "mode": "x"}}]}}', {"a": Promise(A)}),
        ('[{"path": "a", "size": 7}, "b"]', {"a": Promise(size=7), "b": Promise()}),
        ('[{"path": "a", "sha256": null}]', {"a": Promise()}),
    ],
)
def test_a_json_list_is_read_in_all_its_forms(text, expected):
    """The smallest list anyone would write, and the fullest."""
    assert parse_json(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "3",
        "{}",
        '{"files": {}}',
        "[1]",
        '[{"name": "a"}]',
        '[{"path": 1}]',
        '["../a"]',
        '[{"path": "a", "sha256": "abc"}]',
        '[{"path": "a", "sha256": 1}]',
        '[{"path": "a", "size": -1}]',
        '[{"path": "a", "size": 1.5}]',
        '[{"path": "a", "size": true}]',
        f'[{{"path": "a", "sha256": "{A}"}}, {{"path": "a", "sha256": "{B}"}}]',
        '["a\\ud800"]',
        "[" * 100_000,
        '[{"path": "a", "size": ' + "9" * 5000 + "}]",
    ],
)
def test_a_json_list_that_makes_no_sense_is_refused(text):
    """An error page in JSON is no empty channel."""
    with pytest.raises(BadInput):
        parse_json(text.encode())
