"""``firedoor release``: look at releases, and decide about them where a person has to.

What is shown is read from the stores, also while nothing runs. What acts goes to the console,
so that the running judge decides and the ledger has it before it takes effect.
"""

from typing import Annotated, Final

import typer

from firedoor.cli import output, patients, remedies
from firedoor.cli.claims import late, looked_at, stalled, unproven, urgent, waiting
from firedoor.cli.client import (
    ApprovedOption,
    ByOption,
    ConsoleOption,
    ReasonOption,
    RingOption,
    act,
)
from firedoor.cli.context import ReleaseArgument, here, release_of
from firedoor.cli.differing import difference, show_difference
from firedoor.cli.named import vulnerabilities
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.cli.releases import channel_names, list_, reply
from firedoor.config.values import Unfit, some_duration
from firedoor.console.model import Condition
from firedoor.core.errors import BadInput, NotFound
from firedoor.services.orders import SHORTEST_LANE_MS
from firedoor.services.room import spelled

app: Final = typer.Typer(
    no_args_is_help=True, help="Look at releases, and decide about them where a person has to."
)


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("remedy")(remedies.remedy)
    root.add_typer(app, name="release")


app.command("list")(list_)


@app.command("show")
def show(
    *,
    release: ReleaseArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one release: its doors, its numbers, and the lines they are held against.

    Of a release that was shut or left behind by a pin, also how far its undoing has got, and
    which machines need a remedy.

    Example: firedoor release show 2cb81f3d
    """
    place = here(config, data)
    views = place.views()
    view = release_of(views, release)
    if as_json:
        output.document(reply(view))
        return
    changes = view.artefacts
    output.facts(
        [
            ("release", view.id),
            ("channel", view.channel),
            ("boarding", view.number),
            ("boarded", output.when(view.created_ms)),
            ("previous", output.short(view.previous)),
            (
                "artefacts",
                f"{changes.added} added, {changes.changed} changed, {changes.removed} removed",
            ),
            ("size", spelled(view.size_bytes)),
            ("preflight", looked_at(view.preflight)),
            ("exposed", view.exposed),
            ("harmed", view.harmed),
            ("verdict", unproven(view) or view.verdict.state.value),
            ("harm upper", f"{output.share(view.verdict.harm_upper)}"),
            ("delta", output.share(view.thresholds.delta)),
            ("at risk at most", sum(door.budget for door in view.door.values())),
            ("vulnerabilities", vulnerabilities(place, view)),
        ]
    )
    output.heading("doors")
    output.table(
        (
            "ring", "state", "reason", "since", "machines", "admitted", "in flight", "matured",
            "harmed", "control", "window", "by", "note",
        ),
        [
            (
                ring, door.state.value, door.reason.value, output.when(door.since_ms),
                door.machines, door.admitted, door.in_flight, door.matured, door.harmed,
                door.control, f"{door.window} (budget {door.budget})", door.by, door.note,
            )
            for ring, door in view.door.items()
        ],
    )  # fmt: skip
    for sentence in (*urgent(view), *late(view), *waiting(view), *stalled(view)):
        output.line(sentence)
    patients.tell(views, view)


@app.command("machines")
def machines(
    *,
    release: ReleaseArgument,
    state: Annotated[
        patients.Looked | None,
        typer.Option(
            "--state",
            metavar="STATE",
            show_default=False,
            help='Only machines that are "harmed", "healthy" or "in flight".',
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the machines of a release: which have it, how they are, how far its undoing has got.

    Control machines come last: they were followed on the release before it and do not have it.

    Example: firedoor release machines 2cb81f3d --state harmed
    """
    views = here(config, data).views()
    view = release_of(views, release)
    found = patients.enrolled(views, view.id, None if state is None else Condition(state.value))
    if as_json:
        output.document(found)
        return
    output.table(patients.HEADINGS, [patients.row(each) for each in found])


@app.command("diff")
def diff_(
    *,
    release: ReleaseArgument,
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            show_default=False,
            help="Compare RELEASE with this one; else the one before RELEASE with RELEASE.",
        ),
    ] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a release changes, file by file, with package URL and digest.

    Example: firedoor release diff 2cb81f3d
    """
    place = here(config, data)
    views = place.views()
    view = release_of(views, release)
    old, new = (view.id, release_of(views, other).id) if other else (view.previous, view.id)
    found = difference(place, view.channel, old, new)
    if as_json:
        output.document(found)
    else:
        show_difference(found)


@app.command("hold")
def hold(
    *,
    release: ReleaseArgument,
    reason: ReasonOption,
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Admit nobody new until a person resumes. What is in flight goes on, and so does the judge.

    Example: firedoor release hold 2cb81f3d --reason "two sites report slow logons"
    """
    place = here(config, data)
    path = f"releases/{release_of(place.views(), release).id}/hold"
    act(place, console, path, by=by, as_json=as_json, reason=reason, ring=ring)


@app.command("resume")
def resume(
    *,
    target: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE|CHANNEL",
            help="A held release; or a channel that boards nothing before a person has looked.",
        ),
    ],
    reason: ReasonOption,
    approved_by: ApprovedOption = "",
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a held door go on, or let the next release of a channel board.

    After "budget spent" the door gets fresh slots: as many machines more may be put at risk. After
    "worse than history" it deals on, after "late harm" it is open again; history holds it no more.
    After "preflight failed" it goes to a few machines first, as if the preflight had passed.
    For each of these the policy may want a second person.

    Example: firedoor release resume 2cb81f3d --reason "the sites had a power cut"
    """
    place = here(config, data)
    if target in channel_names(place):
        if ring:
            raise BadInput("a channel is resumed as a whole", hint="leave out --ring")
        if approved_by:
            raise BadInput(
                "a channel is resumed by one person: it puts nobody at risk by itself",
                hint="leave out --approved-by",
            )
        act(place, console, f"channels/{target}/resume", by=by, as_json=as_json, reason=reason)
        return
    path = f"releases/{release_of(place.views(), target).id}/resume"
    act(
        place,
        console,
        path,
        by=by,
        as_json=as_json,
        reason=reason,
        ring=ring,
        approved_by=approved_by,
    )


@app.command("shut")
def shut(
    *,
    release: ReleaseArgument,
    reason: ReasonOption,
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Contain a release by hand: nobody new gets it, and files that only it has are refused.

    Machines that have it may need more: firedoor release show says what is known of them.

    Example: firedoor release shut 2cb81f3d --reason "vendor confirms data loss"
    """
    place = here(config, data)
    view = release_of(place.views(), release)
    act(
        place, console, f"releases/{view.id}/shut", by=by, as_json=as_json, reason=reason, ring=ring
    )
    if not as_json:
        remedies.advise(place, view)


@app.command("expedite")
def expedite(
    *,
    release: ReleaseArgument,
    reason: ReasonOption,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="N",
            min=1,
            show_default=False,
            help="Put N more machines at risk, then let the evidence go on deciding.",
        ),
    ] = None,
    lasts: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="DURATION",
            show_default=False,
            help="After this time, such as 4h, the budget is the usual one again; else never.",
        ),
    ] = "",
    everybody: Annotated[
        bool, typer.Option("--all", help="Let every machine through now, evidence or not.")
    ] = False,
    approved_by: ApprovedOption = "",
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take more risk, because waiting is the greater one: a fix for a hole under attack.

    With --for the wider budget ends by itself, and the door goes on under the usual one. Where the
    policy wants two people and --approved-by is left out, the order waits an hour for a second
    one: firedoor release approve.

    Example: firedoor release expedite 2cb81f3d --budget 50 --for 4h --reason "under attack"
    """
    if everybody == (budget is not None):
        raise BadInput("expedite wants either a budget or everybody", hint="--budget N or --all")
    place = here(config, data)
    act(
        place,
        console,
        f"releases/{release_of(place.views(), release).id}/expedite",
        by=by,
        as_json=as_json,
        reason=reason,
        ring=ring,
        budget=budget,
        lasts_s=_seconds(lasts) if lasts else None,
        all=everybody,
        approved_by=approved_by,
    )


@app.command("approve")
def approve(
    *,
    release: ReleaseArgument,
    order: Annotated[
        int,
        typer.Argument(metavar="ORDER", min=1, help="Number of the order that waits."),
    ],
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="TEXT", show_default=False, help="Why; it goes on the record."
        ),
    ] = "",
    by: ByOption = None,
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve an order that waits for a second person, and let it be carried out.

    firedoor release show lists the orders that wait. Nobody approves their own; an order lapses
    after an hour, and when the release's doors have moved since it was asked for.

    Example: firedoor release approve 2cb81f3d 3 --by bela
    """
    place = here(config, data)
    path = f"releases/{release_of(place.views(), release).id}/approve"
    act(place, console, path, by=by, as_json=as_json, order=order, reason=reason)


@app.command("note")
def note(
    *,
    release: ReleaseArgument,
    cve: Annotated[
        list[str],
        typer.Option(
            "--cve",
            metavar="CVE",
            show_default=False,
            help="A vulnerability it has to do with; may be repeated.",
        ),
    ],
    reason: ReasonOption,
    by: ByOption = None,
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which vulnerabilities a release has to do with, where its content does not.

    Debian's indices name none: whoever has read the vendor's advisory can. If one of them is known
    to be exploited (exploited.feed), people are told. No door moves by it.

    Example: firedoor release note 2cb81f3d --cve CVE-2024-3094 --reason "DSA-5649"
    """
    place = here(config, data)
    path = f"releases/{release_of(place.views(), release).id}/note"
    act(place, console, path, by=by, as_json=as_json, reason=reason, cves=tuple(cve))


@app.command("pin")
def pin(
    *,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")],
    release: ReleaseArgument,
    reason: ReasonOption,
    approved_by: ApprovedOption = "",
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a ring exactly this release now, evidence or not. An older one is a revert.

    Nothing boards the channel until firedoor release unpin.

    Example: firedoor release pin tools 1f0a9c4e --ring tills --reason "back to last month's"
    """
    place = here(config, data)
    place.config.channel(channel)
    view = release_of(place.views(), release)
    if view.channel != channel:
        raise NotFound(
            f"release {output.short(view.id)} belongs to channel {view.channel}, not {channel}"
        )
    path = f"releases/{view.id}/pin"
    act(
        place,
        console,
        path,
        by=by,
        as_json=as_json,
        reason=reason,
        ring=ring,
        approved_by=approved_by,
    )


@app.command("unpin")
def unpin(
    *,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")],
    reason: ReasonOption,
    by: ByOption = None,
    ring: RingOption = "",
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a pin: newer releases board again.

    Example: firedoor release unpin tools --reason "the new one is fixed"
    """
    place = here(config, data)
    place.config.channel(channel)
    if ring:
        place.config.ring(ring)
    with place.judge() as judge:
        pins = judge.pins(channel)
        number = pins.get(ring) if ring else max(pins.values(), default=None)
        boarding = None if number is None else judge.boarding(channel, number)
    if boarding is None:
        raise NotFound(
            f"ring {ring} of {channel} is not pinned" if ring else f"no ring of {channel} is pinned"
        )
    path = f"releases/{boarding.release}/unpin"
    act(place, console, path, by=by, as_json=as_json, reason=reason, ring=ring)


def _seconds(lasts: str) -> int:
    """Whole seconds of a duration as it is written in the configuration."""
    try:
        lasts_ms = some_duration(lasts)
    except Unfit as unfit:
        raise BadInput(f"--for takes {unfit}, not {lasts!r}") from None
    if lasts_ms < SHORTEST_LANE_MS:
        raise BadInput(f"--for takes a duration of a minute or more, not {lasts!r}")
    return lasts_ms // 1000
