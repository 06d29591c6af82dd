"""Records of a machine's own logs become signals, by the definitions in force."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from firedoor.core.definition import Definition, first_fit
from firedoor.core.signal import SignalKind
from firedoor.core.units import MachineNo, UnixMs
from firedoor.intake.clocks import happened
from firedoor.intake.heartbeats import Heartbeats
from firedoor.intake.quota import Quota
from firedoor.intake.sorting import Sorted, show_life
from firedoor.ports import SignalEvent

_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a machine's log.

    Attributes:
        machine: Whose.
        time_ms: When, by the machine's clock, Unix ms; None: it does not say.
        key: The same when the entry is sent again, and of no other entry of the machine.
        fields: What it says.
    """

    machine: MachineNo
    time_ms: int | None
    key: str
    fields: Mapping[str, str]


def record(
    rows: tuple[Definition, ...],
    one: Record,
    known: Heartbeats,
    quota: Quota,
    *,
    received_ms: UnixMs,
    into: Sorted,
) -> bool:
    """Add what a record means, if it means anything, to what is found in a request.

    Args:
        rows: Definitions of its source, in order.
        one: The record.
        known: Heartbeats: they tell how far the machine's clock is off.
        quota: Of the machine.
        received_ms: When the request came, wall time; also of a record that does not say.
        into: What is found in the request.

    Returns:
        False where it is one more than the machine's quota: it was not taken.
    """
    found = first_fit(rows, one.fields)
    if found is None:
        return True
    if found.kind is SignalKind.HEARTBEAT:
        time_ms = received_ms if one.time_ms is None else one.time_ms
        show_life(one.machine, time_ms, known, received_ms=received_ms, into=into)
        return True
    if not quota.take(one.machine, found.kind.value, one.key):
        return False
    said = received_ms if one.time_ms is None else one.time_ms
    time = happened(said, received_ms, known.behind(one.machine))
    detail = as_text(found.kept(one.fields))
    kind = found.kind.value
    into.events.append(SignalEvent(one.machine, kind, time, one.key, detail, time - said))
    return True


def as_text(kept: Mapping[str, str]) -> str:
    """What is stored with a signal, as its ``detail``."""
    return _JSON.encode(kept)
