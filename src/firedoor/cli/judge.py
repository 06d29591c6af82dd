"""``firedoor judge``: the judge alone, on anybody's counts."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.cli import output
from firedoor.cli.counts import Row, by_release, cells, fleet, read_rows
from firedoor.cli.explanation import e_value
from firedoor.cli.options import JsonOption
from firedoor.console.model import Judgement, StreamView
from firedoor.core.cell import Test
from firedoor.core.errors import BadInput
from firedoor.core.signal import ANY
from firedoor.core.terms import Policy, resolve
from firedoor.core.verdict import Merging, Rules, Verdict, fold, verdict

_ALPHA_WARN: Final = 0.05
_PARQUET: Final = b"PAR1"
_CAVEAT: Final = (
    "the judge cannot know whether chance chose who was treated and who control; "
    "if it did not, no verdict here is guaranteed"
)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one release, as ``judge --json`` prints it.

    Attributes:
        release: As named in the file.
        state: What the evidence says.
        randomised: Always None: a file of counts cannot tell.
        log_e_harm: ln E against "no worse than control", now.
        max_log_e_harm: The largest it has been; harmful goes by this one.
        log_e_clear: ln E against "worse by at least delta".
        harm_upper: Upper bound of the excess harm per installed machine and interval.
        alpha_harm: Chance that a harmless release is ever called harmful.
        alpha_warn: The same for the warning that keeps a release from being cleared.
        alpha_clear: Chance that ``harm_upper`` is ever below the truth.
        delta: At or below it ``harm_upper`` clears.
        machines: Machines of the largest interval.
        streams: Every signal with its counts, then the clearance's.
    """

    release: str
    state: Judgement
    randomised: None = None
    log_e_harm: float
    max_log_e_harm: float
    log_e_clear: float
    harm_upper: float
    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    delta: float
    machines: int
    streams: tuple[StreamView, ...]


def register(root: typer.Typer) -> None:
    """Add the command to the app."""
    root.command("judge")(judge)


def judge(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with counts; - reads stdin.")],
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
            help="Excess harm per machine and interval that clearance has to exclude; else by "
            "the size of the fleet, 0.001 to 0.5.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge releases by counts of your own: no gate, no configuration, nothing stored.

    A row of the CSV is one interval of one signal: machines at risk in both arms, and first
    harms among them. Its columns: time, release, signal, stratum, treated, control,
    treated_harmed, control_harmed and, if known, installed. Times are RFC 3339 or Unix
    milliseconds; the stratum may be empty.

    Ends with 1 if a release is harmful, with 0 if none is. The guarantees hold if chance chose
    who was treated, which a file cannot tell.

    Example: firedoor judge counts.csv --alpha-harm 0.001
    """
    for name, share in (("alpha-harm", alpha_harm), ("alpha-clear", alpha_clear), ("delta", delta)):
        if share is not None and not 0.0 < share < 1.0:
            raise BadInput(f"--{name} is a share between 0 and 1, not {share:g}")
    policy = Policy(alpha_harm=alpha_harm, alpha_clear=alpha_clear, delta=delta)
    found = [judged(release, rows, policy) for release, rows in by_release(_read(file)).items()]
    if as_json:
        output.document(found)
    else:
        for number, each in enumerate(found):
            if number:
                output.line()
            _tell(each)
    output.say(_CAVEAT)
    if any(each.state is Judgement.HARMFUL for each in found):
        raise typer.Exit(1)


def judged(release: str, rows: Sequence[Row], policy: Policy) -> Judged:
    """Judge one release; every signal gets the same share of the wealth.

    Args:
        release: Its name.
        rows: Its rows in the order of time, at least one.
        policy: ``alpha_harm`` and ``delta`` may be left to the size of the fleet.
    """
    terms = resolve(policy, fleet(rows))
    signals = dict.fromkeys(row.signal for row in rows)
    rules = Rules(
        alpha_harm=terms.alpha_harm,
        alpha_warn=max(_ALPHA_WARN, terms.alpha_harm),
        alpha_clear=terms.alpha_clear,
        delta=terms.delta,
        shares=tuple((signal, 1.0 / len(signals)) for signal in signals),
        # Nobody knows whether one machine is counted in two signals.
        merging=Merging.MEAN,
    )
    now = verdict(fold(rules, cells(rows)))
    return Judged(
        release=release,
        state=Judgement(now.state.value),
        log_e_harm=now.log_e_harm,
        max_log_e_harm=now.max_log_e_harm,
        log_e_clear=now.log_e_clear,
        harm_upper=now.harm_upper,
        alpha_harm=rules.alpha_harm,
        alpha_warn=rules.alpha_warn,
        alpha_clear=rules.alpha_clear,
        delta=rules.delta,
        machines=terms.active_machines,
        streams=_streams(now),
    )


def _streams(now: Verdict) -> tuple[StreamView, ...]:
    harm = tuple(
        StreamView(
            test=Test.HARM.value,
            signal=stream.signal,
            treated=stream.treated,
            control=stream.control,
            treated_harmed=stream.treated_harmed,
            control_harmed=stream.control_harmed,
            log_e=stream.log_e,
        )
        for stream in now.streams
    )
    matured = now.matured
    clear = StreamView(
        test=Test.CLEARANCE.value,
        signal=ANY,
        treated=matured.treated,
        control=matured.control,
        treated_harmed=matured.treated_harmed,
        control_harmed=matured.control_harmed,
        installed=matured.installed,
        log_e=now.log_e_clear,
    )
    return (*harm, clear)


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
        upper = f"at most {output.share(found.harm_upper)} per machine and interval"
    delta = output.share(found.delta)
    output.facts(
        [
            ("release", found.release),
            ("verdict", found.state.value),
            ("meaning", meaning[found.state]),
            ("e-value of harm", f"{e_value(found.log_e_harm)}, at most {most}; harmful at {line}"),
            ("excess harm", f"{upper}; cleared at {delta}"),
            ("confidence", confidence),
            ("machines", found.machines),
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


def _read(path: Path) -> list[Row]:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    if data.startswith(_PARQUET):
        raise BadInput(
            f"{path} is a Parquet file (it begins with PAR1), and Parquet is not read yet",
            hint="write the counts as CSV",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8", hint="save the file as UTF-8") from error
    return read_rows(io.StringIO(text, newline=""))
