"""``firedoor channel``: the upstream sources, and what they are serving."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

import msgspec
import typer

from firedoor.cli import output
from firedoor.cli.claims import looked_at
from firedoor.cli.client import ByOption, ConsoleOption, ReasonOption, act
from firedoor.cli.config import channel_check, fleet, sentence
from firedoor.cli.context import Place, here
from firedoor.cli.importing import import_
from firedoor.cli.keeping import Costs, Kept, cost_facts, costs, holdings
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.console.model import ChannelView
from firedoor.core.door import State
from firedoor.core.errors import Unavailable
from firedoor.core.terms import Mode
from firedoor.services.records import Block, ChannelState
from firedoor.services.room import Limits, spelled
from firedoor.wire.looking import progress_of

_LOOK_S: Final = 0.2

app: Final = typer.Typer(
    no_args_is_help=True, help="Look at the upstream sources, and ask them again."
)

ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="channel")


@app.command("list")
def list_(
    *, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List the channels: what every machine gets, what is in flight, what waits.

    Example: firedoor channel list
    """
    views = here(config, data).views().channels()
    if as_json:
        output.document(views)
        return
    output.table(
        ("channel", "kind", "machines", "serving", "in flight", "waiting", "last sync", "problem"),
        [
            (
                view.name,
                view.kind,
                view.machines,
                output.short(view.serving),
                output.short(view.in_flight),
                len(view.waiting),
                output.when(view.last_sync_ms),
                view.last_error,
            )
            for view in views
        ],
    )


class ChannelShown(ChannelView, frozen=True, kw_only=True):
    """What ``channel show --json`` prints: a channel, and what is looked up on the disk for it.

    Attributes:
        kept: What the kept releases take.
        storage: What the channel takes, alone and shared, and what becomes of it; None before
            the judge's first run.
    """

    kept: Kept
    storage: Costs | None


@app.command("show")
def show(
    *,
    name: ChannelArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one channel, how its clients can be undone, and what its fleet can hope for.

    Example: firedoor channel show tools
    """
    place = here(config, data)
    clients = place.config.channel(name).traits
    view = next(view for view in place.views().channels() if view.name == name)
    kept, found = holdings(place, name), costs(place, name)
    if as_json:
        shown = ChannelShown(kept=kept.together(), storage=found, **msgspec.structs.asdict(view))
        output.document(shown)
        return
    storage = place.config.storage
    limits = Limits(storage.budget, storage.reserve)
    output.facts(
        [
            *_facts(view),
            *_looked(place, name),
            ("upstream offers", _offered(place, name)),
            ("kept on disk", kept.sentence()),
            *(() if found is None else cost_facts(found, limits)),
            *((("served nothing", clients.refused),) if clients.refused else ()),
        ]
    )
    output.heading("how a client is undone")
    output.table(("verb", "how"), [(undo.verb.value, undo.how) for undo in clients.undo])
    output.heading("what a harmless release meets")
    _hopes(place, name, fleet(place).get(name, {}))


@app.command("sync")
def sync(
    *,
    name: ChannelArgument,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show how far it has got, and return when it has ended.")
    ] = False,
    by: ByOption = None,
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the upstream now, instead of at the next poll.

    Also if it asked to be left alone for a while (Retry-After): then it is asked this once. How far
    a look has got firedoor channel show says, too.

    Example: firedoor channel sync tools
    """
    place = here(config, data)
    place.config.channel(name)
    before = _state(place, name) if wait else None
    act(place, console, f"channels/{name}/sync", by=by, as_json=as_json)
    if before is not None:
        _wait_for(place, name, before)


@app.command("pick")
def pick(
    *,
    name: ChannelArgument,
    packages: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE", help="Packages or sources; all packages of their sources come."
        ),
    ],
    reason: ReasonOption,
    newer: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="RELEASE",
            show_default=False,
            help="Release that has them; else the newest that upstream offers.",
        ),
    ] = "",
    by: ByOption = None,
    console: ConsoleOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Board what machines have, with single packages of a newer release: a fix that cannot wait.

    For channels of kind apt that the gate signs. What is made goes through the doors as any other
    release; firedoor release expedite lets it through faster. The newer release boards again
    after it.

    Example: firedoor channel pick debian openssh --reason "CVE-2024-6387 is under attack"
    """
    place = here(config, data)
    place.config.channel(name)
    act(
        place,
        console,
        f"channels/{name}/pick",
        by=by,
        as_json=as_json,
        reason=reason,
        packages=tuple(packages),
        release=newer,
    )


app.command("import")(import_)


def _facts(view: ChannelView) -> list[tuple[str, object]]:
    return [
        ("channel", view.name),
        ("kind", view.kind),
        ("upstream", view.upstream),
        ("state", view.state),
        ("mode", "shadow: nothing is held" if view.mode == Mode.SHADOW else view.mode),
        ("active machines", view.machines),
        ("unknown clients", view.unknown),
        ("serving", output.short(view.serving)),
        ("in flight", output.short(view.in_flight)),
        ("waiting", " ".join(output.short(release) for release in view.waiting)),
        ("skipped", " ".join(output.short(release) for release in view.skipped)),
        ("last sync", output.when(view.last_sync_ms)),
        ("last error", view.last_error),
        *((("preflight", looked_at(view.preflight)),) if view.preflight else ()),
    ]


def _looked(place: Place, name: str) -> list[tuple[str, object]]:
    """How far a look at the upstream has got that is under way."""
    now_ms = int(time.time() * 1000)
    found = progress_of(place.files.looking(name), now_ms)
    if found is None:
        return []
    size = f", {spelled(found.size)} of {spelled(found.of_size)}" if found.of_size else ""
    files = f"{found.files:,} of {found.of_files:,} files"
    return [("looking", f"since {output.when(found.since_ms)}: {files}{size}")]


def _wait_for(place: Place, name: str, before: ChannelState) -> None:
    """Show how far the look has got until it has ended.

    Raises:
        Unavailable: It failed.
    """
    # A tenth of a second that no other command needs.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = Console(stderr=True)
    with Bar(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[said]}"), console=console, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=None, said="")
        while (state := _state(place, name)) == before:
            found = progress_of(place.files.looking(name), int(time.time() * 1000))
            if found is not None:
                done, of = (
                    (found.size, found.of_size) if found.of_size else (found.files, found.of_files)
                )
                said = f"{found.files:,} of {found.of_files:,} files, {spelled(found.size)}"
                bar.update(task, completed=done, total=max(of, 1), said=said)
            time.sleep(_LOOK_S)
    if state.error and state.failures > before.failures:
        raise Unavailable(f"the look at {name} brought nothing: {state.error}")


def _state(place: Place, name: str) -> ChannelState:
    with place.judge() as judge:
        return replace(judge.channel(name), blocked=Block.NONE)


def _offered(place: Place, name: str) -> str:
    """The newest snapshot and what became of it; why it does not board stands in the state."""
    try:
        with place.judge() as judge:
            seen = judge.snapshots(name)
    except Unavailable:
        seen = []
    if not seen:
        return output.short(None)
    newest = seen[-1]
    view = place.views().release(newest.release)
    shut = view is not None and any(door.state is State.SHUT for door in view.door.values())
    return f"{output.short(newest.release)} ({'shut' if shut else newest.state})"


def _hopes(place: Place, name: str, active: Mapping[str, int]) -> None:
    found = channel_check(place.config, name, active)
    most = output.count(found.largest_in_flight)
    output.line(f"one release may put at most {most} at risk at a time")
    for ring, hope in found.rings.items():
        output.line(f"ring {ring}: {sentence(hope)}")
