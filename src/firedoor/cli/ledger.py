"""``firedoor ledger``: every decision, in words, in full, and whether it can be believed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.adapters.keys.file import load_public_key, public_path
from firedoor.adapters.store.judge import JudgeReader
from firedoor.cli import output
from firedoor.cli.context import here
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.core.errors import BadInput
from firedoor.core.ledger.chain import Head, Report, verify_chain
from firedoor.core.ledger.entry import Signed, parse_line, to_line
from firedoor.core.units import Digest
from firedoor.wire.head import read_head

app: Final = typer.Typer(
    no_args_is_help=True, help="Read, check and publish the record of every decision."
)

_PAGE: Final = 1_000
_DEFAULT_SHOWN: Final = 50


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="ledger")


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What ``ledger verify --json`` prints.

    Attributes:
        sound: Whether every entry can be believed.
        head: How far the part that is right reaches: number of entries and last leaf hash.
        fault: The first fault in words, or None.
        clock_steps: Indexes of entries dated earlier than the one before.
    """

    sound: bool
    head: Head
    fault: str | None
    clock_steps: tuple[int, ...]


@app.command("show")
def show(
    *,
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            metavar="N",
            min=-1,
            show_default=False,
            help="Entries behind index N; else the last ones.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")
    ] = _DEFAULT_SHOWN,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was decided, by whom, on what numbers, oldest first.

    Example: firedoor ledger show --limit 10
    """
    views = here(config, data).views()
    behind = max(-1, views.last_index() - limit) if after is None else after
    found = views.decisions(behind, limit)
    if as_json:
        output.document(found)
        return
    output.table(
        ("index", "time", "kind", "channel", "release", "by", "what"),
        [
            (
                entry.index,
                output.when(entry.time_ms),
                entry.kind,
                entry.channel,
                output.short(entry.release),
                entry.by,
                entry.sentence,
            )
            for entry in found
        ],
    )


@app.command("verify")
def verify(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="An exported ledger; else that of this installation. - reads stdin.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="PATH",
            show_default=False,
            help="Public key of the ledger (PEM); else that of this installation.",
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            "--head",
            metavar="SIZE:HASH",
            show_default=False,
            help="A head printed earlier, which this ledger has to contain.",
        ),
    ] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every signature and that nothing is missing, changed or out of order.

    The last line is the head: number of entries and hash of the last one. Keep it somewhere
    else; the chain alone cannot show that its end was cut off. Ends with 1 if the ledger cannot
    be believed. With FILE and --key anyone can check a ledger, without an installation.

    Example: firedoor ledger verify ledger.jsonl --key ledger.pem.pub
    """
    known = _head(head) if head else None
    if file is not None and key is not None:
        report = verify_chain(_exported(file), load_public_key(key), known)
    else:
        place = here(config, data)
        public = load_public_key(key or public_path(place.files.ledger_key))
        if file is not None:
            report = verify_chain(_exported(file), public, known)
        else:
            # Read before the entries: a judge that runs goes on writing both.
            known = known or read_head(place.files.ledger_head)
            with place.judge() as judge:
                report = verify_chain(_stored(judge), public, known)
    _tell(report, as_json=as_json)
    if not report.sound:
        raise typer.Exit(1)


@app.command("export")
def export(
    *,
    after: Annotated[
        int, typer.Option("--after", metavar="N", min=-1, help="Only entries behind index N.")
    ] = -1,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write the ledger as JSON lines: canonical entries with their signatures.

    With the public key (keys/ledger.pem.pub in the data directory) anyone can check it.

    Example: firedoor ledger export > ledger.jsonl
    """
    with here(config, data).judge() as judge:
        for signed in _stored(judge, after):
            sys.stdout.write(to_line(signed).decode())


def _stored(judge: JudgeReader, after: int = -1) -> Iterator[Signed]:
    while page := judge.entries(after, _PAGE):
        yield from page
        after = page[-1].entry.index


def _exported(path: Path) -> Iterator[Signed]:
    if str(path) == "-":
        yield from _parsed(sys.stdin.buffer)
        return
    try:
        with path.open("rb") as file:
            yield from _parsed(file)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def _parsed(lines: Iterator[bytes]) -> Iterator[Signed]:
    for number, text in enumerate(lines, 1):
        try:
            yield parse_line(text)
        except BadInput as error:
            raise BadInput(f"line {number}: {error}", hint=error.hint) from error


def _head(text: str) -> Head:
    size, _, last = text.partition(":")
    try:
        return Head(int(size), Digest(last))
    except ValueError:
        raise BadInput(
            f"{text[:80]!r} is no head", hint="SIZE:HASH, from the last line of ledger verify"
        ) from None


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        fault = None if report.fault is None else report.fault.message
        output.document(
            Verified(
                sound=report.sound, head=report.head, fault=fault, clock_steps=report.clock_steps
            )
        )
        return
    if report.clock_steps:
        shown = ", ".join(str(index) for index in report.clock_steps[:10])
        output.say(f"the clock was set back before entries {shown}; this proves nothing")
    if report.fault is None:
        output.line(f"sound: all {report.head.size} entries")
    else:
        output.line(f"not sound at entry {report.fault.index}: {report.fault.message}")
    output.line(f"head {report.head.size} {report.head.last}")
