"""Printing: tables on a terminal, plain and stable text elsewhere; data to stdout, talk to stderr.

Away from a terminal a table is lines of tab-separated cells under one line of headings, whatever
the width of the window was. Text of others (names, notes, paths) may hold what a terminal would
obey, so everything goes through ``plain``.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

SHORT_ID: Final = 12
"""Digits of a release id that a table shows."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(value: object) -> str:
    """Text that a terminal prints and does not obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", "" if value is None else str(value))


def line(text: str = "") -> None:
    """Print one line of data."""
    print(plain(text))


def say(text: str) -> None:
    """Tell the person something; it is no data."""
    print(plain(text), file=sys.stderr)


def complain(message: str, hint: str) -> None:
    """Print an error and what to do about it. A message of several lines stays one."""
    first, *rest = message.split("\n")
    say(f"error: {first}")
    for row in rest:
        say(row)
    if hint:
        say(f"hint: {hint}")


def phrase(sentence: str) -> str:
    """A message of somebody else's in the house's form: no capital at its begin, no full stop."""
    sentence = sentence.strip()
    if sentence.endswith(".") and not sentence.endswith(".."):
        sentence = sentence[:-1]
    return sentence[:1].lower() + sentence[1:]


def document(value: object) -> None:
    """Print one JSON document, on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings. Numbers stand right on a terminal."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(cells, headings)
        return
    for row in [list(headings), *cells]:
        print("\t".join(row))


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    known = [[name, plain(value)] for name, value in pairs]
    if sys.stdout.isatty():
        _draw(known)
        return
    for row in known:
        print("\t".join(row))


def heading(text: str) -> None:
    """Print a heading between parts of one answer."""
    print()
    title(text)


def title(text: str) -> None:
    """Print a heading without a line before it."""
    print(f"\x1b[1m{plain(text)}\x1b[0m" if sys.stdout.isatty() else plain(text))


def when(ms: int | None) -> str:
    """A wall-clock time as RFC 3339 in UTC, to the second."""
    return "never" if not ms else f"{moment(ms, 'seconds')}"


def moment(ms: int, precision: str = "milliseconds") -> str:
    """A wall-clock time as RFC 3339 in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec=precision)[:-6] + "Z"


def short(release: str | None) -> str:
    """A release id as tables show it."""
    return "-" if not release else release[:SHORT_ID]


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.3g} %"


def count(machines: int) -> str:
    """A number of machines."""
    return "1 machine" if machines == 1 else f"{machines} machines"


def span(seconds: float) -> str:
    """A length of time for people."""
    for worth, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * worth:
            return f"{seconds / worth:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _draw(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Print aligned columns; without headings the first column is bold."""
    # A fifth of a second, which only somebody who looks at a table has to wait for.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(headings))
    for column in range(len(headings) or 2):
        numeric = bool(headings and rows) and all(_is_number(row[column]) for row in rows)
        drawn.add_column(
            Text(headings[column], style="bold") if headings else "",
            style="" if headings or column else "bold",
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or not (headings or column),
        )
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9][0-9.,e+-]*( %| B| [KMG]iB)?|-", cell) is not None
