"""``firedoor judge``: the judge alone, on anybody's counts."""

import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from firedoor.adapters import parquet
from firedoor.cli import output
from firedoor.cli.explanation import e_value
from firedoor.cli.options import JsonOption
from firedoor.console.judged import Judged, judged
from firedoor.console.model import Judgement
from firedoor.core.errors import BadInput
from firedoor.core.terms import Policy
from firedoor.formats.counts import Row, by_release, read_records, read_rows, united
from firedoor.services.alone import DECLARED, MACHINES, SITES, machines_of, question
from firedoor.services.alone import judge as find

_ENCODING: Final = "utf-8-sig"  # spreadsheets write a mark before the headings


def register(root: typer.Typer) -> None:
    """Add the command to the app."""
    root.command("judge")(judge)


def judge(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="CSV or Parquet with counts; - reads stdin, and pipes are read, too. Exports of "
            "several collectors may overlap.",
        ),
    ],
    alpha_harm: Annotated[
        float | None,
        typer.Option(
            "--alpha-harm",
            metavar="A",
            show_default=False,
            help="Chance that a harmless release is ever called harmful; else 0.01 below 300 "
            "machines and 0.001 from there on.",
        ),
    ] = None,
    alpha_clear: Annotated[
        float,
        typer.Option("--alpha-clear", metavar="A", help="Chance that the bound is ever too low."),
    ] = 0.05,
    delta: Annotated[
        float | None,
        typer.Option(
            "--delta",
            metavar="D",
            show_default=False,
            help="Excess harm per machine that clearance has to exclude, over --follow-up "
            "intervals (1 if that is left out); else by the machines of the first interval, "
            "0.001 to 0.5.",
        ),
    ] = None,
    follow_up: Annotated[
        int | None,
        typer.Option(
            "--follow-up",
            metavar="N",
            show_default=False,
            help="Intervals for which a machine is followed. Without it and without --delta no "
            "delta clears.",
        ),
    ] = None,
    randomised: Annotated[
        str | None,
        typer.Option(
            "--randomised",
            metavar="WORD",
            show_default=False,
            help="'declared' if chance chose who was treated, machine by machine; no count tells.",
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Machines may fail together: a row is one observation, and nothing is cleared.",
        ),
    ] = False,
    units: Annotated[
        str,
        typer.Option(
            "--units",
            metavar="UNITS",
            help="'sites' if whole sites were chosen: the stratum names the site, a site counts "
            "once, and nothing is cleared.",
        ),
    ] = MACHINES,
    ratio: Annotated[
        float | None,
        typer.Option(
            "--ratio",
            metavar="R",
            show_default=False,
            help="Clears, too, once odds of harm of R times the control's are excluded.",
        ),
    ] = None,
    cluster: Annotated[
        int,
        typer.Option(
            "--cluster",
            metavar="C",
            help="Most machines that one accident harms together: what clears is divided by it, "
            "and harm as well unless --randomised.",
        ),
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Judge releases by counts of your own: no gate, no configuration, nothing stored.

    A row is one interval of one signal: machines at risk in both arms, and first harms among
    them. Its columns: time, release, signal, stratum, treated, control, treated_harmed,
    control_harmed and, if known, installed. Times are RFC 3339 or Unix milliseconds; the stratum
    may be empty. Parquet takes the extra: pip install 'firedoor[parquet]'.

    Several files are judged as one: a row that stands in two counts once, and neither their order
    nor who exported what changes a number. Collectors that count different machines name
    different strata.

    Ends with 1 if a release is harmful, with 0 if none is. The guarantees hold if chance chose
    who was treated, which a file cannot tell; where whole sites were chosen, count sites
    (--units sites).

    Example: firedoor judge counts.csv --alpha-harm 0.001
    """
    for name, share in (("alpha-harm", alpha_harm), ("alpha-clear", alpha_clear), ("delta", delta)):
        if share is not None and not 0.0 < share < 1.0:
            raise BadInput(f"--{name} is a share between 0 and 1, not {share:g}")
    if randomised not in (None, DECLARED):
        raise BadInput(f"--randomised is {DECLARED!r} or left out, not {randomised!r}")
    if units not in (MACHINES, SITES):
        raise BadInput(f"--units is {MACHINES!r} or {SITES!r}, not {units!r}")
    if ratio is not None and not 1.0 < ratio < math.inf:
        raise BadInput(f"--ratio is a number above 1, not {ratio:g}")
    if cluster < 1:
        raise BadInput(f"--cluster is a number of machines, 1 or more, not {cluster}")
    policy = Policy(
        alpha_harm=alpha_harm, alpha_clear=alpha_clear, delta=delta, ratio=ratio, cluster=cluster
    )
    found = []
    for release, rows in by_release(_read_all(files)).items():
        sites = units == SITES
        asked = question(
            policy,
            machines_of(rows, sites=sites),
            randomised=randomised is not None,
            together=together,
            sites=sites,
            follow_up=follow_up,
        )
        found.append(judged(release, find(rows, asked)))
    if as_json:
        output.document(found)
    else:
        for number, each in enumerate(found):
            if number:
                output.line()
            _tell(each)
    output.say(found[0].assumes)
    if any(each.state is Judgement.HARMFUL for each in found):
        raise typer.Exit(1)


def _tell(found: Judged) -> None:
    meaning = {
        Judgement.HARMFUL: "it does harm: take it back",
        Judgement.CLEARED: "no more harm than was asked about: go on",
        Judgement.UNDECIDED: "the counts do not decide it: go on with care, and go on counting",
    }
    most, line = e_value(found.max_log_e_harm), f"{1 / found.alpha_harm:,.0f}"
    confidence = output.share(1 - found.alpha_clear)
    upper = "nothing can be excluded yet"
    if found.harm_upper < 1.0:
        span = f"in {found.follow_up} intervals" if found.follow_up > 1 else "and interval"
        upper = f"at most {output.share(found.harm_upper)} per machine {span}"
    line_of_delta = f"cleared at {output.share(found.delta)}"
    if not found.follow_up:
        line_of_delta = "not cleared by it: no --follow-up and no --delta"
    output.facts(
        [
            ("release", found.release),
            ("verdict", found.state.value),
            ("meaning", meaning[found.state]),
            ("e-value of harm", f"{e_value(found.log_e_harm)}, at most {most}; harmful at {line}"),
            ("excess harm", f"{upper}; {line_of_delta}"),
            ("confidence", confidence),
            *_ratio(found),
            (found.units, found.machines),
        ]
    )
    output.table(
        ("test", "signal", "treated", "harmed", "control", "harmed", "log e"),
        [
            (
                *(s.test, s.signal, s.treated, s.treated_harmed, s.control, s.control_harmed),
                f"{s.log_e:.4f}",
            )
            for s in found.streams
        ],
    )


def _read_all(paths: Sequence[Path]) -> list[Row]:
    if len(paths) == 1:
        return _read(paths[0])
    if sum(str(path) == "-" for path in paths) > 1:
        raise BadInput("- is given twice: there is one stdin")
    return united(_read_named(path) for path in paths)


def _read_named(path: Path) -> list[Row]:
    """Read one of several files: whatever is wrong with a row is told with the file's name."""
    try:
        return [replace(row, place=f"{path}: {row.place}") for row in _read(path)]
    except BadInput as error:
        raise BadInput(f"in {path}:\n{error}", hint=error.hint) from error


def _ratio(found: Judged) -> list[tuple[str, str]]:
    if found.ratio is None:
        return []
    line = e_value(-math.log(found.alpha_clear))
    said = f"{e_value(found.log_e_ratio)} against {found.ratio:g} times the odds; cleared at {line}"
    return [("e-value of safety", said)]


def _read(path: Path) -> list[Row]:
    try:
        if str(path) == "-":
            return _read_stream(sys.stdin.buffer)
        with path.open("rb") as file:
            if not path.is_file():
                # What comes out of a pipe comes once: <(cmd), /dev/stdin.
                return _read_stream(file)
            table = file.read(len(parquet.MAGIC)) == parquet.MAGIC
        return parquet.read(path, read_records) if table else _read_text(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def _read_stream(stream: Any) -> list[Row]:
    # A table's footer stands at its end, so it has to be all there; and a text may be long.
    with tempfile.NamedTemporaryFile(prefix="firedoor-", suffix=".counts") as copy:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        return _read(Path(copy.name))


def _read_text(path: Path) -> list[Row]:
    try:
        with path.open(encoding=_ENCODING, newline="") as file:
            return read_rows(file)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8", hint="save the file as UTF-8") from error
