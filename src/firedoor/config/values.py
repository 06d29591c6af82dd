"""What a single value may look like, and how it is printed back.

Every reader takes what TOML gave and returns the value in the unit the code works in, or raises
``Unfit`` with what was expected. It does not know which key it reads: file, line and key path
are added where the problem is collected.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from firedoor.core.errors import BadInput
from firedoor.core.release import check_path
from firedoor.core.terms import MOST_LIARS
from firedoor.formats.clamav import is_database

T = TypeVar("T")

DURATION_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
"""Milliseconds of each unit a duration may be written in, the largest first."""

SIZE_UNITS: Final = {
    **{f"{prefix}iB": 1024**power for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K"))},
    **{f"{prefix}B": 1000**power for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K"))},
    "B": 1,
}
"""Bytes of each unit a size may be written in: the ones that printing prefers first."""

_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,3})")
_LONGEST_MS: Final = 3_650 * DURATION_UNITS["d"]
_LARGEST_PORT: Final = 65_535
_LARGEST_RATIO: Final = 1_000_000


class Unfit(ValueError):
    """A value is not what its key takes. The message says what was expected."""

    def __init__(self, expected: str, *, found: str = "", hint: str = "") -> None:
        super().__init__(expected)
        self.found = found
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a role listens.

    Attributes:
        host: IPv4 or IPv6 address, or ``localhost``.
        port: 0 to 65535; 0 takes any free port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in a configuration and in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this host can reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    def clashes(self, other: "Listen") -> bool:
        """Whether the two cannot be open at the same time on one host."""
        everywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        overlap = self.host == other.host or everywhere & {self.host, other.host}
        return self.port == other.port != 0 and bool(overlap)


def duration(value: object) -> int:
    """Milliseconds >= 0 of a text like ``"90s"``."""
    expected = 'a duration with its unit, such as "90s", "10m" or "24h"'
    milliseconds = _amount(value, DURATION_UNITS, expected)
    if milliseconds > _LONGEST_MS:
        raise Unfit("a duration of at most 3650d")
    return milliseconds


def some_duration(value: object) -> int:
    """Milliseconds > 0 of a text like ``"90s"``."""
    milliseconds = duration(value)
    if milliseconds == 0:
        raise Unfit("a duration longer than zero")
    return milliseconds


def size(value: object) -> int:
    """Bytes > 0 of a text like ``"64MiB"``."""
    found = _amount(value, SIZE_UNITS, 'a size with its unit, such as "64MiB" or "10KB"')
    if found == 0:
        raise Unfit("a size larger than zero")
    return found


def show_duration(milliseconds: int) -> str:
    """A duration as it would be written, quotes and all: ``90000`` is ``"90s"``."""
    return _show_amount(milliseconds, DURATION_UNITS, "s")


def show_size(size_bytes: int) -> str:
    """A size as it would be written, quotes and all: ``65536`` is ``"64KiB"``."""
    return _show_amount(size_bytes, SIZE_UNITS, "B")


def machines(value: object) -> int:
    """A whole number of machines >= 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Unfit("a whole number of machines, 1 or more")
    return value


def liars(value: object) -> int:
    """A whole number of machines from 0 to 10."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_LIARS:
        raise Unfit(f"a whole number of machines, 0 to {MOST_LIARS}")
    return value


def releases(value: object) -> int:
    """A whole number of releases >= 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Unfit("a whole number of releases, 1 or more")
    return value


def share(value: object) -> float:
    """A number strictly between 0 and 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
        percent = isinstance(value, (int, float)) and 1 <= value < 100  # noqa: PLR2004 - percent
        hint = f"write {value} percent as {value / 100:g}" if percent else ""  # type: ignore[operator]  # percent implies a number
        raise Unfit("a number between 0 and 1, both excluded", hint=hint)
    return float(value)


def share_or_none(value: object) -> float:
    """A share, or 0 for nobody."""
    none = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
    return 0.0 if none else share(value)


def ratio_or_off(value: object) -> float | None:
    """A number above 1, or the word "off" for None."""
    if value == "off":
        return None
    # True is a number to Python, and no more than 1.
    if isinstance(value, int | float) and 1.0 < value < _LARGEST_RATIO:
        return float(value)
    raise Unfit('"off" or a number above 1, such as 1.5')


def yes_no(value: object) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise Unfit("true or false, without quotes")
    return value


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise Unfit("a text in quotes, not empty")
    return value


def one_of(*choices: str) -> Callable[[object], str]:
    """A reader that takes one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Unfit(" or ".join(f'"{choice}"' for choice in choices))
        return value

    return read


def auto_or(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """A reader that also takes the word "auto", as None."""

    def read_or_auto(value: object) -> T | None:
        if value == "auto":
            return None
        try:
            return read(value)
        except Unfit as unfit:
            raise Unfit(f'"auto" or {unfit}', found=unfit.found, hint=unfit.hint) from None

    return read_or_auto


def words(value: object) -> tuple[str, ...]:
    """A list of texts, neither it nor any of them empty, none twice."""
    if not isinstance(value, list) or not value or not all(_is_text(word) for word in value):
        hint = f"write [{_quoted(value)}]" if _is_text(value) else ""
        raise Unfit('a list of texts, such as ["one", "two"]', hint=hint)
    if len(set(value)) < len(value):
        raise Unfit("a list in which nothing stands twice")
    return tuple(value)


def absolute(value: object) -> str:
    """An absolute path."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise Unfit("an absolute path", found=describe(value))
    return value


def files(value: object) -> tuple[str, ...]:
    """A list of absolute paths, neither it nor any of them empty, none twice."""
    named = words(value)
    for name in named:
        if not name.startswith("/") or "\0" in name:
            raise Unfit("a list of absolute paths", found=describe(name))
    return named


def files_or_none(value: object) -> tuple[str, ...]:
    """A list of absolute paths, which may be empty."""
    return () if value == [] else files(value)


def databases(value: object) -> tuple[str, ...]:
    """A list of names of ClamAV databases, relative to their upstream, each file name once."""
    named = words(value)
    for name in named:
        try:
            if not is_database(check_path(name)):
                raise Unfit(
                    "a list of ClamAV databases", found=describe(name), hint='such as "daily.cvd"'
                )
        except BadInput as error:
            raise Unfit("a list of relative paths", found=describe(name)) from error
    if len({name.rpartition("/")[2] for name in named}) < len(named):
        raise Unfit("a list of different file names: clients keep them all in one directory")
    return named


def command(value: object) -> tuple[str, ...]:
    """A program and its arguments as a list; there is no shell to split a text."""
    if not isinstance(value, list) or not value or not all(isinstance(w, str) for w in value):
        raise Unfit('a list of program and arguments, such as ["/usr/bin/notify", "--now"]')
    if not value[0]:
        raise Unfit("a list whose first text names a program")
    return tuple(value)


def listen(value: object) -> Listen:
    """Address and port, such as ``"0.0.0.0:8080"`` or ``"[::]:8080"``."""
    wrong = Unfit('an address and a port, such as "0.0.0.0:8080" or "[::1]:8080"')
    if not isinstance(value, str):
        raise wrong
    host, colon, port = value.rpartition(":")
    if not colon or re.fullmatch("[0-9]{1,5}", port) is None or int(port) > _LARGEST_PORT:
        raise wrong
    if not host:
        wrong.hint = f'write "0.0.0.0:{port}" for all addresses of this host'
        raise wrong
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if bare != "localhost":
        try:
            address = ip_address(bare)
        except ValueError:
            raise wrong from None
        if (address.version == 6) is not bracketed:  # noqa: PLR2004 - IPv6
            raise wrong
    return Listen(bare, int(port))


def networks(value: object) -> tuple[str, ...]:
    """A list of IP addresses and networks, such as ``["10.0.0.5", "10.1.0.0/16"]``."""
    found = words(value)
    for each in found:
        try:
            ip_network(each)
        except ValueError as error:
            hint = "write the first address of the network" if "host bits" in str(error) else ""
            raise Unfit(
                'a list of addresses and networks, such as ["10.0.0.5", "10.1.0.0/16"]',
                found=describe(each),
                hint=hint,
            ) from None
    return found


def web_address(value: object) -> str:
    """An http or https URL without credentials."""
    expected = 'an http or https URL, such as "https://vendor.example/updates/"'
    if not isinstance(value, str):
        raise Unfit(expected)
    if "@" in value.partition("://")[2].partition("/")[0] or re.match(r"[^/]*:[^/]*@", value):
        # The value is a secret by now: it must not be printed back.
        raise Unfit(
            "a URL without user and password: a configuration holds no secrets",
            found="a URL with credentials",
        )
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        raise Unfit(expected)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Unfit(expected) from None
    if not usable or parts.fragment:
        raise Unfit(expected)
    return value


def hook_address(value: object) -> str:
    """An http or https URL that no message prints: the path of a webhook is often its secret."""
    try:
        return web_address(value)
    except Unfit as unfit:
        found = unfit.found or ("another text" if isinstance(value, str) else "")
        raise Unfit(str(unfit), found=found, hint=unfit.hint) from None


def source(value: object) -> str:
    """An http or https URL as it is, or the absolute path of a local directory."""
    expected = "an http or https URL, or the absolute path of a directory"
    if not isinstance(value, str) or "\0" in value:
        raise Unfit(expected)
    if value.startswith("/"):
        return value
    if value.startswith("file:"):
        parts = urlsplit(value)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise Unfit('a file URL of this host, such as "file:///srv/updates"')
        return unquote(parts.path)
    try:
        return web_address(value)
    except Unfit as unfit:
        hint = 'write a directory as "/srv/updates"' if "://" not in value else ""
        raise Unfit(
            expected if not unfit.found else str(unfit), found=unfit.found, hint=hint
        ) from None


def feed(value: object) -> str:
    """An http or https URL of a file, or the absolute path of one."""
    found = source(value)
    if found.endswith("/") or "?" in found:
        raise Unfit("the address of one file", hint="it ends in a name, such as kev.json")
    return found


def attributes(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A table of attribute to list of values, in the order written."""
    expected = 'a table of lists, such as { site = ["prague", "brno"] }'
    if not isinstance(value, dict) or not value:
        raise Unfit(expected)
    pairs = []
    for attribute, values in value.items():
        try:
            pairs.append((str(attribute), words(values)))
        except Unfit as unfit:
            raise Unfit(
                f"for {show_key(attribute)} {unfit}", found=describe(values), hint=unfit.hint
            ) from None
    return tuple(pairs)


def show(value: object) -> str:
    """A value as TOML would write it."""
    match value:
        case None:
            return '"auto"'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(show(one) for one in value)}]"
        case _:
            return _quoted(str(value))


def show_attributes(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """Attributes as an inline table."""
    inner = ", ".join(f"{show_key(attribute)} = {show(values)}" for attribute, values in pairs)
    return f"{{ {inner} }}"


def show_hook_address(url: str) -> str:
    """A URL without its path, which may be a secret."""
    parts = urlsplit(url)
    return _quoted(f"{parts.scheme}://{parts.netloc}/...")


def show_key(name: str) -> str:
    """A key as TOML would write it: bare where that is allowed."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def describe(value: object) -> str:
    """What a value is, for the end of an error message."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            longest = 60
            cut = value if len(value) <= longest else f"{value[: longest - 3]}..."
            return _quoted(cut)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return f"the date or time {value}"


def _amount(value: object, units: dict[str, int], expected: str) -> int:
    if not isinstance(value, str):
        a_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        units_named = ", ".join(units)
        raise Unfit(
            expected, hint=f"add a unit and quotes; the units are {units_named}" if a_number else ""
        )
    found = _AMOUNT.fullmatch(value)
    if found is None or found[2] not in units:
        unit = found[2] if found else ""
        near = next((known for known in units if unit and known.lower() == unit.lower()), "")
        hint = f'did you mean "{found[1]}{near}"?' if found and near else ""
        raise Unfit(expected, hint=hint or f"the units are {', '.join(units)}")
    amount = Fraction(found[1]) * units[found[2]]
    if amount.denominator != 1:
        smallest = list(units)[-1]
        raise Unfit(f"a whole number of {smallest}")
    return amount.numerator


def _show_amount(amount: int, units: dict[str, int], zero_unit: str) -> str:
    if amount == 0:
        return f'"0{zero_unit}"'
    unit = next(unit for unit, worth in units.items() if amount % worth == 0)
    return f'"{amount // units[unit]}{unit}"'


def _quoted(value: object) -> str:
    # JSON's escapes are TOML's, except that TOML also wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
