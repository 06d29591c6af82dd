"""A channel as the console shows it, with one sentence on how it is doing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from firedoor.config import ChannelConfig
from firedoor.console.model import ChannelView, PreflightView, UndoView
from firedoor.core.board import ChannelBoard
from firedoor.core.door import Door, State
from firedoor.services.preflight import Report, Result
from firedoor.services.records import PICKED, Block, ChannelState, Seen
from firedoor.services.room import STORAGE
from firedoor.services.stalls import Stall, explained

SKIPPED_SHOWN: Final = 50

_SHORT = 12
_BLOCKED: Final[Mapping[Block, str]] = {
    Block.BAD_ENDS: "two releases in a row ended held or shut",
    Block.PREFLIGHT: "the first release failed its preflight",
    Block.GATE_LOST: (
        "gate.db was deleted, replaced or restored: it is not known who was let into which release "
        "and who polls; look first whether the machines poll again (firedoor machine list)"
    ),
    Block.LEDGER_LOST: (
        "the ledger in judge.db lost its last entries: it is not known what was shut, pinned or "
        "let through since; look first at the alerts and logs of that time, and shut again what "
        "was shut"
    ),
}


@dataclass(frozen=True, slots=True)
class InFlight:
    """The release whose doors have not ended."""

    release: str
    doors: tuple[Door, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the judge has stored of a channel.

    Attributes:
        state: Its upstream.
        snapshots: In the order they were seen.
        board: What its rings are served, or None before the first board.
        pins: Ring -> pinned release id.
        in_flight: The release on trial, or None.
        offered_shut: What upstream offers now was shut when it boarded last.
        report: What a preflight found of it, None while none has ended.
    """

    state: ChannelState
    snapshots: tuple[Seen, ...]
    board: ChannelBoard | None
    pins: Mapping[str, str]
    in_flight: InFlight | None
    offered_shut: bool = False
    report: Report | None = None


def described(
    config: ChannelConfig, known: Known | None, machines: int, unknown: int = 0
) -> ChannelView:
    """Tell of a channel.

    Args:
        config: What the operator wants of it.
        known: What the judge has stored, None before its first run.
        machines: Active machines, count >= 0.
        unknown: Clients that are not enrolled and read the channel, count >= 0.
    """
    upstream = _without_secrets(config.upstream)
    if known is None:
        return ChannelView(
            name=config.name,
            kind=config.kind.value,
            upstream=upstream,
            state="the judge has not run yet: nothing is mirrored",
            machines=machines,
            unknown=unknown,
            undo=_undo(config),
            served_nothing=config.traits.refused,
        )
    serving = _serving(known.board)
    clauses = list(_clauses(config, known, serving))
    if unknown and not machines:
        clauses.append(explained(Stall.UNKNOWN, unknown))
    return ChannelView(
        name=config.name,
        kind=config.kind.value,
        upstream=upstream,
        state="; ".join(clauses),
        last_sync_ms=known.state.synced_ms or None,
        last_error=known.state.error,
        serving=serving,
        in_flight=None if known.in_flight is None else known.in_flight.release,
        waiting=tuple(seen.release for seen in known.snapshots if seen.waits),
        skipped=tuple(
            seen.release for seen in reversed(known.snapshots) if seen.state == "skipped"
        )[:SKIPPED_SHOWN],
        machines=machines,
        unknown=unknown,
        pinned=dict(known.pins),
        blocked=bool(known.state.blocked),
        blocked_by=known.state.blocked.value,
        refused=_refused(known),
        undo=_undo(config),
        served_nothing=config.traits.refused,
        preflight=looked_at(known.report) if _waits(known) else None,
    )


def looked_at(report: Report | None) -> PreflightView | None:
    """What a preflight found, None while none has ended."""
    if report is None:
        return None
    return PreflightView(
        result=report.result.value,
        sentence=report.sentence,
        took_ms=report.took_ms,
        at_ms=report.at_ms,
    )


def _waits(known: Known) -> bool:
    return bool(known.snapshots) and known.snapshots[-1].waits


def _undo(config: ChannelConfig) -> tuple[UndoView, ...]:
    return tuple(UndoView(verb=way.verb.value, how=way.how) for way in config.traits.undo)


def _clauses(config: ChannelConfig, known: Known, serving: str | None) -> Iterator[str]:
    yield _upstream(known.state, serving)
    if known.in_flight is not None:
        yield f"release {known.in_flight.release[:_SHORT]} is {_flight(known.in_flight.doors)}"
    elif serving is not None and not known.state.error:
        yield f"release {serving[:_SHORT]} is served and nothing is in flight"
    yield from _offered(known)
    yield from _looked(config, known)
    for ring, release in sorted(known.pins.items()):
        yield f"ring {ring} is pinned to release {release[:_SHORT]}, so nothing newer boards"
    if known.state.blocked:
        yield (
            f"{_BLOCKED[known.state.blocked]}; the next release boards only when a person resumes "
            f"the channel: firedoor release resume {known.state.name}"
        )


def _offered(known: Known) -> Iterator[str]:
    """What upstream has now, where it does not board; pins and a block have their own clauses."""
    for seen in known.snapshots:
        if seen.state == PICKED:
            yield f"release {seen.release[:_SHORT]}, which a person has picked, boards next"
    offered = [seen for seen in known.snapshots if not seen.is_picked]
    if not offered:
        return
    newest = offered[-1]
    offers = f"upstream offers release {newest.release[:_SHORT]}"
    if _refused(known):
        yield f"{offers}, which was shut and never boards again by itself"
    elif newest.state == "waiting" and (known.pins or known.state.blocked):
        yield f"{offers}, which waits"
    elif newest.state == "waiting" and known.in_flight is not None:
        yield f"{offers}, which waits until the one in flight has ended or its patience is over"


def _looked(config: ChannelConfig, known: Known) -> Iterator[str]:
    """What is known of what waits to board."""
    if not _waits(known):
        return
    which = f"release {known.snapshots[-1].release[:_SHORT]}"
    if known.report is not None and known.report.result is Result.FAILED:
        yield f"the preflight of {which} failed: {known.report.sentence}"
    elif known.report is None and config.is_preflighted and known.in_flight is None:
        yield f"{which} is looked at before the first machine gets it"


def _refused(known: Known) -> str:
    """What upstream offers now, if it was shut and does not fly again, or ""."""
    if not known.offered_shut:
        return ""
    newest = known.snapshots[-1].release
    flying = known.in_flight is not None and known.in_flight.release == newest
    return "" if flying else newest


def _upstream(state: ChannelState, serving: str | None) -> str:
    if not state.error:
        return "following upstream" if state.synced_ms else "upstream is being asked the first time"
    tries = "once" if state.failures == 1 else f"{state.failures} times in a row"
    since = f"since {_time(state.synced_ms)}" if state.synced_ms else "from the beginning"
    kept = (
        f"the last good release {serving[:_SHORT]} goes on being served"
        if serving
        else "machines get nothing until it answers"
    )
    failed = "nothing could be stored" if state.error.startswith(STORAGE) else "upstream has failed"
    return f"{failed} {tries}, {since}: {state.error}; {kept}"


def _flight(doors: tuple[Door, ...]) -> str:
    held = sorted({door.reason.value for door in doors if door.state is State.HELD})
    if held:
        return f"held ({', '.join(held)}) and waits for a person"
    return "in flight"


def _serving(board: ChannelBoard | None) -> str | None:
    """What every machine gets that has no newer release: the oldest that any ring is at."""
    if board is None:
        return None
    releases = dict(board.releases)
    served = min((lane.base for lane in board.lanes if lane.base), default=0)
    return releases.get(served)


def _without_secrets(upstream: str) -> str:
    """A URL's query may hold a token; a local directory has none."""
    if upstream.startswith("/"):
        return upstream
    parts = urlsplit(upstream)
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
