"""``firedoor verdict``: what the evidence says, why, and whether it can be computed again."""

import os
import secrets
from typing import Annotated, Final

import msgspec
import typer

from firedoor.cli import output
from firedoor.cli.auditing import FEW, Audited, Question, audit
from firedoor.cli.claims import NO_VERDICT, judgement, unproven, waiting
from firedoor.cli.context import ReleaseArgument, here, release_of
from firedoor.cli.explanation import text
from firedoor.cli.hindsight import would_have
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.console.language import Language, choose_by_environment, named
from firedoor.console.model import Judgement, ReleaseView, VerdictView
from firedoor.core.cell import Test
from firedoor.core.door import ended
from firedoor.core.errors import BadInput, NotFound
from firedoor.wire.replay import Difference, replay

_GROUPS_SHOWN: Final = 20
_SHADOW: Final = "shadow: nothing was held; see firedoor verdict shadow"

app: Final = typer.Typer(
    no_args_is_help=True, help="What the evidence says of a release, why, and a replay of it."
)


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="verdict")


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What ``verdict replay --json`` prints.

    Attributes:
        same: Whether everything came out as the ledger says.
        boardings: Boardings seen.
        decisions: Decisions whose numbers were computed again.
        cells: Cells folded.
        decks: Decks dealt again from their revealed seeds.
        cards: Cards that machines drew, as far as they are on record.
        unaudited: Decks of which cards are not on record any more: ``gate.db`` was lost.
        losses: Ledger entries that tell of it.
        secret: Boardings whose seed is not revealed yet.
        difference: The first difference, or None.
    """

    same: bool
    boardings: int
    decisions: int
    cells: int
    decks: int
    cards: int
    unaudited: int
    losses: list[int]
    secret: int
    difference: Difference | None


@app.command("show")
def show(
    *,
    release: ReleaseArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the verdict on a release: its numbers, and every stream they come from.

    A release that opened before anybody drew a card (adopted, pinned, expedited, or into an empty
    ring) claims no evidence: its verdict is "-", and "randomised" is null in JSON.

    Example: firedoor verdict show 2cb81f3d
    """
    views = here(config, data).views()
    boarded = release_of(views, release)
    view = _verdict(views.verdict(boarded.id), release)
    claimless = unproven(boarded)
    if as_json:
        output.document(view)
        return
    lines = view.thresholds
    output.facts(
        [
            ("release", view.release),
            ("verdict", judgement(boarded)),
            ("in words", claimless or view.sentence),
            ("log e harm", f"{view.log_e_harm:.4f} (warns at {lines.log_e_warn:.4f})"),
            ("shuts at", f"{lines.log_e_shut:.4f}"),
            ("log e history", _compared(view)),
            ("log e clear", f"{view.log_e_clear:.4f}"),
            ("harm upper", f"{output.share(view.harm_upper)}"),
            ("clears at", output.share(lines.delta)),
            *_ratio(view),
            ("decided in", _when(boarded, view)),
            ("randomised", _randomised(view)),
            *([("mode", _SHADOW)] if any(d.shadow for d in boarded.door.values()) else []),
        ]
    )
    for sentence in waiting(boarded):
        output.line(sentence)
    output.heading("streams")
    matured = next(s for s in view.streams if s.test == Test.CLEARANCE.value)
    output.table(
        (
            "test", "signal", "treated", "harmed", "control", "harmed", "installed", "log e",
            "watched",
        ),
        [
            (
                # A signal that nobody sent has closed no pool: all that matured were at risk.
                s.test, s.signal, max(s.treated, matured.treated), s.treated_harmed,
                max(s.control, matured.control), s.control_harmed,
                s.installed, f"{s.log_e:.4f}", "yes" if s.watched else "no",
            )
            for s in view.streams
        ],
    )  # fmt: skip
    groups = [(s.signal, group) for s in view.streams for group in s.groups]
    if groups:
        output.heading("groups")
        output.table(
            ("signal", "group", "treated harmed", "by chance", "control harmed", "log e"),
            [
                (
                    signal, f"{g.attribute}={g.value}", g.treated_harmed, f"{g.expected:.1f}",
                    g.control_harmed, f"{g.log_e:.4f}",
                )
                for signal, g in groups[:_GROUPS_SHOWN]
            ],
        )  # fmt: skip
        if len(groups) > _GROUPS_SHOWN:
            output.line(f"and {len(groups) - _GROUPS_SHOWN} more: see --json")
        for each in view.guilty:
            output.line(f"named as harmed: {each.attribute}={each.value} ({each.signal})")


@app.command("explain")
def explain(
    *,
    release: ReleaseArgument,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="LANGUAGE",
            show_default=False,
            help="Language: en or zh; else as LC_ALL or LANG say.",
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain the verdict in plain sentences: what you can do now, and what it rests on.

    The same as the console's page /releases/RELEASE/explain.

    Example: firedoor verdict explain 2cb81f3d
    """
    if lang is not None and named(lang) is None:
        raise BadInput(f"there is no language {lang[:80]!r}", hint="--lang en | zh")
    views = here(config, data).views()
    view = release_of(views, release)
    facts = views.explain(view.id)
    if facts is None:
        raise NotFound(f"release {output.short(view.id)} has not boarded")
    if as_json:
        output.document(facts)
        return
    language = Language(choose_by_environment(lang, os.environ))
    for line, is_heading in text(language, facts):
        (output.title if is_heading else output.line)(line)


@app.command("shadow")
def shadow(
    *,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what an enforcing door would have done with the releases judged in shadow mode.

    Times are those that the shadow took: it shows a release to all machines at once, so it knows
    sooner than a door that holds. A release that was shut would have reached fewer machines.

    Example: firedoor verdict shadow tools
    """
    place = here(config, data)
    place.config.channel(channel)
    with place.judge() as judge:
        rows = list(would_have(judge, channel))
    if as_json:
        output.document(rows)
        return
    output.table(
        ("release", "ring", "boarded", "would have", "after", "exposed", "in words"),
        [
            (
                output.short(row.release), row.ring, output.when(row.boarded_ms), row.would,
                "-" if row.after_ms is None else output.span(row.after_ms / 1000),
                row.exposed, row.note,
            )
            for row in rows
        ],
    )  # fmt: skip


@app.command("audit")
def audit_(
    *,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL", show_default=False, help="Only this channel; else every one."
        ),
    ] = "",
    deals: Annotated[
        int,
        typer.Option(
            "--deals",
            metavar="N",
            min=0,
            max=10_000,
            help="Fresh deals of each release's cards; fewer than 19 cannot be unusual.",
        ),
    ] = 20,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="S",
            min=0,
            show_default=False,
            help="Of the deals, to repeat an audit; else drawn, and told.",
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask of past good releases whether the judge accuses as seldom as it promises.

    The newest 50 releases that evidence opened are judged again as they were, and with their cards
    dealt anew: who was harmed stays, who was treated is drawn. Each count is held against what
    chance gives with a probability of one in a hundred. Ends with 1 where there are more.

    Example: firedoor verdict audit tools
    """
    place = here(config, data)
    names = (
        [place.config.channel(channel).name]
        if channel
        else [each.name for each in place.config.channels]
    )
    drawn = secrets.randbits(32) if seed is None else seed
    with place.judge() as judge:
        found = [audit(judge, name, deals=deals, seed=drawn) for name in names]
    if as_json:
        output.document({"seed": drawn, "deals": deals, "channels": found})
    else:
        output.table(
            (
                "channel",
                "good releases",
                "warned",
                "dealt again",
                "of them warned",
                "unusual",
                "passed",
            ),
            [
                (
                    each.channel, each.releases, _of(each.observed), each.dealt.asked,
                    _of(each.dealt), _of(each.unusual), "yes" if each.passed else "no",
                )
                for each in found
            ],
        )  # fmt: skip
        output.line(f"seed {drawn}; (n) is the most that chance gives")
        for each in found:
            for sentence in _remarks(each):
                output.line(f"{each.channel}: {sentence}")
    if not all(each.passed for each in found):
        raise typer.Exit(1)


@app.command("replay")
def replay_(
    *,
    release: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE",
            show_default=False,
            help="Only this release; else every one there ever was.",
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every release; the same as naming none.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            metavar="X",
            min=0.0,
            help="How far numbers may be off; 0 compares bit for bit. On another kind of "
            "processor than the one that decided, 1e-9.",
        ),
    ] = 0.0,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute every decision again from the ledger and the cells, and compare.

    Also deals the decks again whose seeds are revealed, and compares who drew which card: so
    nobody was chosen by anything but chance. Ends with 1 and names the first difference. Of decks
    whose records went with a lost gate.db, what is left is compared; they are counted apart. The
    signatures are the business of firedoor ledger verify.

    Example: firedoor verdict replay --all
    """
    if release and everything:
        raise BadInput("replay either one RELEASE or --all")
    place = here(config, data)
    wanted = release_of(place.views(), release).id if release else ""
    with place.judge() as judge, place.gate() as gate:
        found = replay(judge, gate, release=wanted, tolerance=tolerance)
    if as_json:
        output.document(
            Replayed(
                same=found.difference is None,
                **{name: getattr(found, name) for name in Replayed.__struct_fields__[1:]},
            )
        )
    else:
        output.facts(
            [
                ("boardings", found.boardings),
                ("decisions computed again", found.decisions),
                ("cells folded", found.cells),
                ("decks dealt again", found.decks),
                ("cards compared", found.cards),
                ("seeds still secret", found.secret),
            ]
        )
        if found.unaudited:
            what = "1 deck" if found.unaudited == 1 else f"{found.unaudited} decks"
            where = "entry" if len(found.losses) == 1 else "entries"
            told = ", ".join(map(str, found.losses))
            output.line(f"{what} cannot be audited: gate.db was lost at {where} {told}")
        if found.difference is None:
            output.line("same: everything came out as the ledger says")
        else:
            output.line(
                f"different: ledger entry {found.difference.index}: {found.difference.what}"
            )
    if found.difference is not None:
        raise typer.Exit(1)


def _compared(view: VerdictView) -> str:
    """Against past good releases."""
    if not view.past:
        return NO_VERDICT
    held = f"{view.log_e_history:.4f} (holds at {view.thresholds.log_e_warn:.4f})"
    return f"{held}, frozen: the controls are harmed too" if view.frozen else held


def _of(question: Question) -> str:
    return f"{question.alarms} ({question.most})"


def _remarks(found: Audited) -> list[str]:
    """What the numbers of one channel do not say by themselves."""
    remarks = list(found.advice)
    if found.advice:
        remarks.append(f"releases to look at: {', '.join(map(str, found.loudest)) or 'none'}")
    if found.undealt:
        remarks.append(f"{found.undealt} cannot be dealt again: open decks, or records lost")
    if found.releases < FEW:
        remarks.append(
            f"{found.releases} good release{'' if found.releases == 1 else 's'} cannot say much; "
            f"from {FEW} on the answer is worth something"
        )
    return remarks


def _ratio(view: VerdictView) -> list[tuple[str, str]]:
    line = view.thresholds.log_e_ratio
    if view.ratio is None or line is None:
        return []
    against = f"against {view.ratio:g} times the control's odds"
    return [("log e ratio", f"{view.log_e_ratio:.4f} {against} (clears at {line:.4f})")]


def _when(release: ReleaseView, view: VerdictView) -> str:
    """When the evidence is expected to decide."""
    if unproven(release):
        return NO_VERDICT
    if view.state is not Judgement.UNDECIDED:
        return "decided"
    if all(ended(door.state) for door in release.door.values()):
        return "never: its doors have ended"
    return "nobody can say" if view.forecast_s is None else output.span(view.forecast_s)


def _randomised(view: VerdictView) -> str:
    if view.randomised is None:
        return NO_VERDICT
    return "yes" if view.randomised else "no: the guarantee is void"


def _verdict(found: VerdictView | None, release: str) -> VerdictView:
    if found is None:
        raise NotFound(f"there is no verdict on release {release} yet")
    return found
