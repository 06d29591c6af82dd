"""``firedoor release``: look at releases, and decide about them where a person has to.

What is shown is read from the stores, also while nothing runs. What acts goes to the console,
so that the running judge decides and the ledger has it before it takes effect.
"""

from typing import Annotated, Final

import typer

from firedoor.cli import output, patients, remedies
from firedoor.cli.claims import judgement, late, looked_at, stalled, unproven, waiting
from firedoor.cli.client import (
    ApprovedOption,
    ByOption,
    ConsoleOption,
    ReasonOption,
    RingOption,
    act,
)
from firedoor.cli.context import Place, ReleaseArgument, here, release_of
from firedoor.cli.differing import difference, show_difference
from firedoor.cli.keeping import holdings
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.console.api import ReleaseReply
from firedoor.console.model import Condition, ReleaseView
from firedoor.core.errors import BadInput, NotFound, Unavailable

app: Final = typer.Typer(
    no_args_is_help=True, help="Look at releases, and decide about them where a person has to."
)


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("remedy")(remedies.remedy)
    root.add_typer(app, name="release")


@app.command("list")
def list_(
    *,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL", show_default=False, help="Only this channel; else all of them."
        ),
    ] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List releases, newest first, where their doors are, and which are served now.

    "served" names the rings in which a release is what every machine gets that has no newer one.
    "bytes" is the size of what is on the disk; "not kept" if it may be deleted any day; "missing"
    or "partly missing" if it cannot be served, pinned or expedited any more.

    Example: firedoor release list tools
    """
    place = here(config, data)
    names = [place.config.channel(channel).name] if channel else _channels(place)
    views = place.views()
    listed = {name: views.releases(name) for name in names}
    found = [view for each in listed.values() for view in each]
    if as_json:
        output.document([_reply(view) for view in found])
        return
    serving = _serving(place)
    held = {
        name: holdings(place, name, (view.id for view in each)) for name, each in listed.items()
    }
    output.table(
        (
            "release",
            "channel",
            "no",
            "served",
            "boarded",
            "door",
            "exposed",
            "harmed",
            "bytes",
            "verdict",
        ),
        [
            (
                output.short(view.id),
                view.channel,
                view.number,
                serving.get((view.channel, view.number), ""),
                output.when(view.created_ms),
                _doors(view),
                view.exposed,
                view.harmed,
                held[view.channel].state(view.id),
                judgement(view),
            )
            for view in found
        ],
    )


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
    views = here(config, data).views()
    view = release_of(views, release)
    if as_json:
        output.document(_reply(view))
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
            ("size", output.size(view.size_bytes)),
            ("preflight", looked_at(view.preflight)),
            ("exposed", view.exposed),
            ("harmed", view.harmed),
            ("verdict", unproven(view) or view.verdict.state.value),
            ("harm upper", f"{output.share(view.verdict.harm_upper)}"),
            ("delta", output.share(view.thresholds.delta)),
            ("at risk at most", sum(door.budget for door in view.door.values())),
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
    for sentence in (*late(view), *waiting(view), *stalled(view)):
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
    if target in _channels(place):
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

    Example: firedoor release expedite 2cb81f3d --budget 50 --reason "exploited in the wild"
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
        all=everybody,
        approved_by=approved_by,
    )


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


def _reply(view: ReleaseView) -> ReleaseReply:
    """A release as the API answers it: its time also as RFC 3339."""
    fields = {name: getattr(view, name) for name in ReleaseView.__struct_fields__}
    return ReleaseReply(created=output.moment(view.created_ms), **fields)


def _channels(place: Place) -> list[str]:
    return [channel.name for channel in place.config.channels]


def _serving(place: Place) -> dict[tuple[str, int], str]:
    """(channel, boarding number) -> the rings that get it now, "all" where there is no other."""
    try:
        with place.judge() as judge:
            board = judge.board()
    except Unavailable:
        return {}
    found: dict[tuple[str, int], list[str]] = {}
    for channel in board.channels:
        for lane in channel.lanes:
            if lane.base:
                found.setdefault((channel.name, lane.base), []).append(lane.ring)
    everywhere = {channel.name: len(channel.lanes) for channel in board.channels}
    return {
        (channel, number): "all" if len(rings) == everywhere[channel] else ", ".join(rings)
        for (channel, number), rings in found.items()
    }


def _doors(view: ReleaseView) -> str:
    """Where the doors are, in a few words: one if they agree, else ring by ring."""
    states = {f"{door.state} ({door.reason})" for door in view.door.values()}
    if len(states) == 1:
        return states.pop()
    return ", ".join(f"{ring}: {door.state} ({door.reason})" for ring, door in view.door.items())
