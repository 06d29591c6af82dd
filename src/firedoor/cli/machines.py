"""Machines as the command line shows them: one by one, and in a list."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from firedoor.adapters.store.register_schema import Entry
from firedoor.adapters.store.signals import SignalReader
from firedoor.cli import output
from firedoor.config import Config
from firedoor.console.model import MachineView
from firedoor.core.host_id import HostId, by_kind
from firedoor.core.ring import ring_of
from firedoor.intake.inventories import OTHER, VALUES
from firedoor.wire.files import Files

_JOURNAL: Final = {
    False: "on its disk",
    True: "in memory only: nothing can be said of how it was shut down",
}
_BEATS: Final = {
    (True, True): "yes",
    (False, True): "no, but its logs or signals come: what they tell counts",
    (False, False): "no, and what it tells does not count before it is known to tell anything",
}
_BENCHED: Final = "yes: harmed under too many good releases; it draws no card"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``machine list``.

    Attributes:
        no: Number in the register.
        name: Its name.
        attributes: What the operator set at enrolment.
        identities: What its own tools call it, by kind; see ``firedoor machine enroll``.
        ring: Ring it belongs to.
        enrolled_ms: When it was enrolled.
        revoked_ms: Since when it is refused, or None.
    """

    no: int
    name: str
    attributes: dict[str, str]
    identities: dict[str, tuple[str, ...]]
    ring: str
    enrolled_ms: int
    revoked_ms: int | None


def listed(entry: Entry, config: Config, hosts: Sequence[HostId]) -> Listed:
    """A machine of the register as a row."""
    machine = entry.machine
    return Listed(
        no=machine.no,
        name=machine.name,
        attributes=dict(machine.attributes),
        identities=by_kind(hosts),
        ring=ring_of(machine.attributes, config.rings),
        enrolled_ms=entry.enrolled,
        revoked_ms=entry.revoked,
    )


def print_machines(rows: Sequence[Listed]) -> None:
    """Print a table of machines."""
    output.table(
        ("machine", "ring", "attributes", "enrolled", "revoked"),
        [
            (
                row.name,
                row.ring,
                " ".join(f"{key}={value}" for key, value in row.attributes.items()),
                output.when(row.enrolled_ms),
                output.when(row.revoked_ms) if row.revoked_ms else "",
            )
            for row in rows
        ],
    )


def say_others(files: Files) -> None:
    """Say what machines tell of themselves that is told apart no more."""
    if not files.signals.exists():
        return
    signals = SignalReader(files.signals)
    others: Counter[str] = Counter()
    for attributes, machines in signals.profiles():
        others.update({name: machines for name, value in attributes.items() if value == OTHER})
    signals.close()
    for name, machines in sorted(others.items()):
        output.say(
            f"{machines:,} tell a {name} that is one too many: it counts as '{OTHER}' "
            f"({VALUES} are told apart; --set {name}=... has no limit)"
        )


def print_machine(view: MachineView) -> None:
    """Print what is known of one machine."""
    output.facts(
        [
            ("machine", view.name),
            ("attributes", " ".join(f"{k}={v}" for k, v in view.attributes.items())),
            *((kind, " ".join(values)) for kind, values in view.identities.items()),
            ("told by itself", " ".join(f"{k}={v}" for k, v in view.told.items())),
            ("stratum", view.stratum),
            ("enrolled", output.when(view.enrolled_ms)),
            ("revoked", "yes" if view.revoked else "no"),
            ("last heard", output.when(view.last_seen_ms)),
            *([("last restart told", output.when(view.restarted_ms))] if view.restarted_ms else ()),
            *([] if view.volatile is None else [("journal", _JOURNAL[view.volatile])]),
            ("heartbeats", _BEATS[view.heartbeats, view.tells]),
            *([("penalty box", _BENCHED)] if view.benched else ()),
            *(
                (f"channel {channel}", f"{output.short(release)} (ring {view.rings.get(channel)})")
                for channel, release in view.serving.items()
            ),
        ]
    )
    if view.inventory:
        output.heading("inventory")
        output.table(
            ("part", "items", "since"),
            [
                (part, _items(known.items), output.when(known.since_ms))
                for part, known in view.inventory.items()
            ],
        )
    if view.exposures:
        output.heading("releases")
        output.table(
            ("release", "channel", "part", "since", "condition", "harm", "undoing"),
            [
                (
                    output.short(e.release),
                    e.channel,
                    e.arm.value,
                    output.when(e.since_ms),
                    e.state.value,
                    e.harm,
                    e.undo,
                )
                for e in view.exposures
            ],
        )


def _items(items: Sequence[str]) -> str:
    """Facts in full; of lists of packages, how many there are: ``--json`` has them."""
    return ", ".join(items) if all("=" in item for item in items) else f"{len(items):,}"
