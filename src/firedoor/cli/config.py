"""``firedoor config``: whether a configuration holds, and what it amounts to."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
import typer

from firedoor.adapters.preflight.examination import lacking
from firedoor.adapters.tls.context import TlsFiles, make_context
from firedoor.cli import output
from firedoor.cli.context import Place, here
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.cli.prospects import SILENCE, Prospect, prospect
from firedoor.config import Config, explain, notices
from firedoor.config.definitions import in_force
from firedoor.core.errors import Unavailable
from firedoor.core.terms import resolve

app: Final = typer.Typer(
    no_args_is_help=True, help="Check the configuration, and see what it says."
)


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="config")


class ChannelCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What ``config check`` says of a channel.

    Attributes:
        name: Name of the channel.
        largest_in_flight: Machines that one release may put at risk at the same time, at most.
        rings: Ring name to what a good release will meet there; rings whose size is unknown or
            zero are missing.
    """

    name: str
    largest_in_flight: int
    rings: dict[str, Prospect]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What ``config check`` says.

    Attributes:
        ok: Always true: a configuration that does not hold is an error.
        notices: What is allowed and deserves a remark.
        channels: One for each channel.
    """

    ok: bool = True
    notices: tuple[str, ...]
    channels: tuple[ChannelCheck, ...]


class Value(msgspec.Struct, frozen=True):
    """One row of ``config show --json``: the key's path, its value, and where it came from."""

    key: str
    value: object
    origin: str


@app.command("check")
def check(
    *,
    machines: Annotated[
        int | None,
        typer.Option(
            "--machines",
            metavar="N",
            min=1,
            show_default=False,
            help="Forecast for a fleet of N machines, instead of the one the gate has counted.",
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate the configuration and say what it can promise to your fleet.

    Ends with 2 and names file, line and key if something is wrong. Says how many machines one
    release may put at risk at a time, how sure a fleet of this size can get about a harmless
    release, and how often chance alone will hold one.

    Example: firedoor config check --machines 50
    """
    place = here(config, data)
    in_force(place.config.intake.definitions)
    _read_certificates(place.config)
    counted = fleet(place) if machines is None else _assumed(place.config, machines)
    found = Check(
        notices=(*notices(place.config), *_unseen(place.config)),
        channels=tuple(
            channel_check(place.config, channel.name, counted.get(channel.name, {}))
            for channel in place.config.channels
        ),
    )
    if as_json:
        output.document(found)
        return
    for notice in found.notices:
        output.say(f"notice: {notice}")
    names = ", ".join(_sized(each.name, counted.get(each.name)) for each in found.channels)
    output.line(f"the configuration holds; channels: {names or 'none'}")
    for channel in found.channels:
        output.line(
            f"{channel.name}: one release may put at most "
            f"{output.count(channel.largest_in_flight)} at risk at a time"
        )
        for ring, hope in channel.rings.items():
            output.line(f"{channel.name}, ring {ring}: {sentence(hope)}")
        if not channel.rings:
            output.say(
                f"the fleet of {channel.name} is not known yet; --machines N forecasts for N"
            )


@app.command("show")
def show(
    *, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show every effective value, and the file it came from.

    Example: firedoor config show
    """
    rows = explain(here(config, data).config)
    if as_json:
        # A table shows the value as TOML; in a document it is no text within a text.
        values = [
            Value(key, tomllib.loads(f"v = {text}")["v"], origin) for key, text, origin in rows
        ]
        output.document(values)
        return
    output.table(("key", "value", "from"), rows)


def fleet(place: Place) -> Mapping[str, Mapping[str, int]]:
    """Active machines by channel and ring, as the gate counted them last; empty if it never did."""
    counted: dict[str, dict[str, int]] = {}
    try:
        with place.gate() as gate:
            census = gate.census()
    except Unavailable:
        return {}
    rings = {ring.name for ring in place.config.rings}
    for count in census:
        # A ring that was removed keeps its last count; its machines are in others now.
        if count.ring in rings:
            counted.setdefault(count.channel, {})[count.ring] = count.active
    return counted


def channel_check(config: Config, channel: str, active: Mapping[str, int]) -> ChannelCheck:
    """What a channel's policy means for a fleet of this size.

    Args:
        config: The configuration.
        channel: Name of the channel.
        active: Active machines of its rings, as far as they are known.
    """
    return ChannelCheck(
        name=channel,
        largest_in_flight=config.largest_in_flight(channel, active),
        rings={
            ring.name: prospect(resolve(config.policy_for(channel, ring.name), active[ring.name]))
            for ring in config.rings
            if active.get(ring.name)
        },
    )


def sentence(hope: Prospect) -> str:
    """A prospect in words."""
    end = (
        f"so a harmless release opens as cleared ({output.share(hope.delta)})"
        if hope.clears
        else f"which is not the {output.share(hope.delta)} of a clearance: a harmless release is "
        "walked open step by step"
    )
    return (
        f"{output.count(hope.machines)}, budget {hope.budget}: after every machine has installed "
        f"without harm, up to {output.share(hope.harm_upper)} excess harm cannot be excluded, "
        f"{end}; {_held(hope.hold_chance)} because machines go silent by chance (if "
        f"{output.share(SILENCE)} of them miss a deadline); a release that harms whatever it "
        f"touches is {_stopped(hope)}"
    )


def _stopped(hope: Prospect) -> str:
    """How a release that harms whatever it touches ends."""
    after = f"held after {hope.budget}, for a person to decide"
    if hope.proof is None:
        return f"{after}: evidence cannot shut it in a fleet this small"
    if hope.proof > hope.budget:
        return f"{after}: evidence shuts it from {hope.proof} on, which takes a budget as large"
    return f"shut by evidence after {output.count(hope.proof)}"


def _unseen(config: Config) -> Iterator[str]:
    """Channels whose releases nobody can look at here before the first machine gets them."""
    for channel in config.channels:
        if lacks := lacking(channel):
            yield (
                f"channel.{channel.name}: preflight needs {', '.join(lacks)}, not installed here; "
                "releases board as not checked (preflight = false says that this is meant)"
            )


def _read_certificates(config: Config) -> None:
    """Find out now what a role would stumble over. Raises BadConfig."""
    for tls in (config.gate.tls, config.intake.tls):
        if tls is not None:
            make_context(TlsFiles(tls.certificate, tls.key, tls.client_ca), http2=True)


def _assumed(config: Config, machines: int) -> dict[str, dict[str, int]]:
    """The whole fleet in the ring that claims what no other does; nobody in the others."""
    rings = {ring.name: 0 for ring in config.rings} | {config.rings[-1].name: machines}
    return {channel.name: rings for channel in config.channels}


def _sized(channel: str, active: Mapping[str, int] | None) -> str:
    """A channel with the size of its fleet, where that is known."""
    return channel if active is None else f"{channel} ({output.count(sum(active.values()))})"


def _held(chance: float) -> str:
    if chance < 1e-4:  # noqa: PLR2004 - less than such a forecast is worth
        return "hardly any harmless release is held"
    return f"about {output.share(chance)} of harmless releases are held"
