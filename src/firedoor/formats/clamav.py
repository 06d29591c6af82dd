"""ClamAV's databases: which files are some, what a signed one says of itself, what signatures.

A ``.cvd`` begins with 512 bytes that a person can read, padded with spaces::

    ClamAV-VDB:22 Jun 2021 21-34 -0400:6:14:81:<md5>:<signature>:builder:1624412075

build time, version, signatures, the engine that is needed, MD5 of all bytes that follow, the
vendor's signature of that MD5, who built it, and the build time again in Unix seconds, which old
ones lack. The signature is checked by the vendor's own tool, not here.

Source: libclamav/cvd.c (``cl_cvdparse``) and libclamav/readdb.h (``CLI_DBEXT``) of ClamAV 1.4;
names of signatures: docs.clamav.net, "Writing signatures".
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from firedoor.core.errors import BadInput

HEADER_BYTES: Final = 512
"""Length of what a signed database says of itself."""

SUFFIXES: Final = frozenset({
    ".cat", ".cbc", ".cdb", ".cfg", ".crb", ".cud", ".cvd", ".db", ".fp", ".ftm", ".gdb",
    ".hdb", ".hdu", ".hsb", ".hsu", ".idb", ".ign", ".ign2", ".imp", ".ioc", ".ldb", ".ldu",
    ".mdb", ".mdu", ".msb", ".msu", ".ndb", ".ndu", ".pdb", ".pwdb", ".rmd", ".sdb", ".sfp",
    ".wdb", ".yar", ".yara", ".zmd",
})  # fmt: skip
"""Suffixes of files that clients load. ``.cld`` is made by clients themselves."""

_SIGNED: Final = ".cvd"
_PATCH: Final = ".cdiff"
_MAGIC: Final = b"ClamAV-VDB:"
_FIELDS: Final = 8
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_MOST_DIGITS: Final = 10
_RULE: Final = re.compile(
    rb"^[ \t]*(?:(?:private|global)[ \t]+)*rule[ \t]+([A-Za-z_]\w{0,127})", re.MULTILINE
)

_FIRST: Final = frozenset({".ndb", ".ndu", ".ldb", ".ldu", ".cdb", ".sdb", ".zmd", ".rmd", ".idb"})
"""Types whose lines begin with the name."""

_THIRD: Final = frozenset({".hdb", ".hdu", ".hsb", ".hsu", ".mdb", ".mdu", ".msb", ".msu", ".imp"})
"""Types whose lines have it after a hash and a size."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a signed database says of itself.

    Attributes:
        built: Build time as it stands there: day, month, year, hours-minutes, zone.
        version: Version, >= 0; rises from release to release.
        signatures: Signatures in it, count >= 0.
        level: The engine's functionality level that it wants.
        md5: MD5 of what follows the header, 32 hexadecimal digits.
        signature: The vendor's signature of that.
        builder: Who built it.
    """

    built: str
    version: int
    signatures: int
    level: int
    md5: str
    signature: str
    builder: str


def is_database(path: str) -> bool:
    """Whether a file is one that ClamAV's updater fetches: a database, or a patch to one."""
    suffix = suffix_of(path)
    return suffix in SUFFIXES or suffix == _PATCH


def is_signed(path: str) -> bool:
    """Whether the vendor has to have signed a file of this name."""
    return suffix_of(path) == _SIGNED


def suffix_of(path: str) -> str:
    """The suffix of a name with its dot, in lower case; "" for none."""
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def parse_header(data: bytes) -> Header:
    """Read the first ``HEADER_BYTES`` of a signed database.

    Raises:
        BadInput: It is no such header.
    """
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC):
        raise BadInput("it does not begin like a ClamAV database")
    try:
        fields = data[len(_MAGIC) : HEADER_BYTES].decode("ascii").split(":")
    except UnicodeDecodeError as error:
        raise BadInput("the header of the database is not ASCII") from error
    if len(fields) < _FIELDS - 1:
        raise BadInput(f"the header of the database has {len(fields)} fields, not {_FIELDS}")
    built, version, signatures, level, md5, signature, builder, *_ = (f.strip() for f in fields)
    if _MD5.fullmatch(md5) is None:
        raise BadInput("the header of the database has no MD5")
    return Header(
        built=built,
        version=_number(version, "version"),
        signatures=_number(signatures, "number of signatures"),
        level=_number(level, "functionality level"),
        md5=md5,
        signature=signature,
        builder=builder,
    )


def signature_names(path: str, lines: Iterable[bytes]) -> Iterator[str]:
    """Names of the signatures of one unpacked database, as an ``.ign2`` file wants them.

    Args:
        path: Name of the file: its suffix says what it holds; other types have none.
        lines: What it holds. A line that makes no sense is skipped: the file need not be a good
            one.
    """
    suffix = suffix_of(path)
    if suffix in {".yar", ".yara"}:
        yield from (rule.decode() for line in lines for rule in _RULE.findall(line))
        return
    if suffix not in _FIRST and suffix not in _THIRD and suffix != ".db":
        return
    for line in lines:
        name = _name(line.decode("utf-8", "replace").strip(), suffix)
        if name and name.isprintable() and " " not in name:
            yield name


def _name(line: str, suffix: str) -> str:
    if not line or line.startswith("#"):
        return ""
    if suffix == ".db":
        return line.partition("=")[0] if "=" in line else ""
    first, *rest = line.split(";" if suffix in {".ldb", ".ldu"} else ":")
    if suffix in _FIRST:
        return first if rest else ""
    return rest[1] if len(rest) > 1 else ""


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise BadInput(f"the {what} in the header of the database is {text[:40]!a}")
    return int(text)
