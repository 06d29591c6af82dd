"""ClamAV's databases as bytes: what they say of themselves, and which signatures they hold."""

import pytest
from tests.clamav import signed

from firedoor.core.errors import BadInput
from firedoor.formats.clamav import (
    HEADER_BYTES,
    is_database,
    is_signed,
    parse_header,
    signature_names,
)

HEADER = b"ClamAV-VDB:22 Jun 2021 21-34 -0400:6:14:81:" + b"0a" * 16 + b":c2ln:who:1624412045"


def test_a_signed_database_says_its_version_and_what_its_bytes_are() -> None:
    """The vendor's own test database, byte for byte."""
    header = parse_header(signed(6))

    assert (header.version, header.signatures, header.level) == (6, 14, 81)
    assert header.built == "22 Jun 2021 21-34 -0400"
    assert header.md5 == "3e249e00076b0b15bb54ced37be880c7"
    assert header.builder == "micasnyd"


def test_an_old_header_has_no_build_time_in_seconds() -> None:
    """The last field came later; the vendor's clients read both."""
    old = HEADER.rpartition(b":")[0].ljust(HEADER_BYTES)

    assert parse_header(old).version == 6


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"", "does not begin like"),
        (HEADER, "does not begin like"),
        (b"<html>".ljust(HEADER_BYTES), "does not begin like"),
        (b"ClamAV-VDB:now:6".ljust(HEADER_BYTES), "2 fields"),
        (HEADER.replace(b"0a", b"zz").ljust(HEADER_BYTES), "no MD5"),
        (HEADER.replace(b":6:", b":-6:").ljust(HEADER_BYTES), "the version"),
        (HEADER.replace(b":14:", b":%s:" % (b"9" * 11)).ljust(HEADER_BYTES), "number of sig"),
        (HEADER.replace(b":81:", b": :").ljust(HEADER_BYTES), "functionality level"),
        (HEADER.replace(b"who", b"\xff").ljust(HEADER_BYTES), "not ASCII"),
    ],
)
def test_what_is_no_header_is_refused_with_its_reason(header: bytes, why: str) -> None:
    """An error page, a file that was cut off, a forged number."""
    with pytest.raises(BadInput, match=why):
        parse_header(header)


def test_only_what_clients_load_is_a_database() -> None:
    """A directory has checksums, notes and half-written files beside them."""
    assert all(is_database(p) for p in ("daily.cvd", "x/lab.HDB", "a.yara", "gate.ign2"))
    assert is_database("daily-27123.cdiff")
    assert not any(is_database(p) for p in ("README", "daily.cvd.sign", ".hdb", "SHA256SUMS", "x."))
    assert is_signed("main.cvd")
    assert not is_signed("own.cud")


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("a.hdb", "44d88612fea8a8f36de82e1278abb02f:68:Lab.A\n#x:1:B\nbroken\n", ["Lab.A"]),
        ("a.hsb", "00:*:Lab.S:73\n", ["Lab.S"]),
        ("a.mdb", "512:00112233445566778899aabbccddeeff:Lab.M\n", ["Lab.M"]),
        ("a.ndb", "Lab.N:0:*:616263\nLab.N2:1:*:00\n", ["Lab.N", "Lab.N2"]),
        ("a.ldb", "Lab.L-1;Engine:81-255,Target:0;0;6162\n", ["Lab.L-1"]),
        ("a.db", "Lab.Old (Clam)=6162\nLab.Old=6162\nnothing\n", ["Lab.Old"]),
        ("a.yara", "rule one { }\n private rule two : tag { }\n// rule three\n",
         ["one", "two"]),
        ("a.fp", "44d88612fea8a8f36de82e1278abb02f:68:Lab.A\n", []),
    ],
)  # fmt: skip
def test_names_stand_where_the_type_of_a_database_puts_them(
    path: str, text: str, names: list[str]
) -> None:
    """A name that was read wrongly would ignore another signature, or none."""
    assert list(signature_names(path, text.encode().splitlines())) == names
