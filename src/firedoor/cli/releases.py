"""``firedoor release list``: where the releases are, and which are served now."""

import sys
from typing import Annotated

import typer

from firedoor.cli import output
from firedoor.cli.claims import judgement
from firedoor.cli.context import Place, here
from firedoor.cli.keeping import holdings
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.console.api import ReleaseReply
from firedoor.console.model import ReleaseView
from firedoor.console.reading import RELEASES_SHOWN
from firedoor.core.errors import Unavailable
from firedoor.wire.views import Views


def list_(
    *,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL", show_default=False, help="Only this channel; else all of them."
        ),
    ] = "",
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="At most so many of each channel."),
    ] = RELEASES_SHOWN,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List releases, newest first, where their doors are, and which are served now.

    "served" names the rings in which a release is what every machine gets that has no newer one.
    "bytes" is the size of what is on the disk; "not kept" if it may be deleted any day; "missing"
    or "partly missing" if it cannot be served, pinned or expedited any more.

    Where there are more than are listed, a line on stderr says so.

    Example: firedoor release list tools
    """
    place = here(config, data)
    names = [place.config.channel(channel).name] if channel else channel_names(place)
    views = place.views()
    listed = {name: _of(views, name, None if everything else limit) for name in names}
    found = [view for each in listed.values() for view in each]
    if as_json:
        output.document([reply(view) for view in found])
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


def _of(views: Views, channel: str, limit: int | None) -> list[ReleaseView]:
    """Releases of a channel, newest first; says so where there are more."""
    if limit is None:
        return views.releases(channel, sys.maxsize)
    found = views.releases(channel, limit + 1)
    if len(found) > limit:
        output.say(
            f"only the last {limit} releases of {channel} are listed; --all lists them all, "
            "--limit N more"
        )
    return found[:limit]


def reply(view: ReleaseView) -> ReleaseReply:
    """A release as the API answers it: its time also as RFC 3339."""
    fields = {name: getattr(view, name) for name in ReleaseView.__struct_fields__}
    return ReleaseReply(created=output.moment(view.created_ms), **fields)


def channel_names(place: Place) -> list[str]:
    """Channels of the configuration, in its order."""
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
