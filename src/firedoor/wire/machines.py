"""Machines as the console shows them: who is enrolled for a release, and one by one."""

from collections.abc import Iterable, Sequence
from typing import Final

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.config import Config
from firedoor.console.inventory import InventoryView
from firedoor.console.model import Condition, ExposureView, MachineView
from firedoor.core import silence
from firedoor.core.channel import Traits
from firedoor.core.errors import NotFound
from firedoor.core.host_id import by_kind
from firedoor.core.ring import ring_of
from firedoor.core.signal import SILENCE, Reports
from firedoor.core.units import MachineNo
from firedoor.ports import Clock
from firedoor.services.boarding import Boarding
from firedoor.services.records import StoredPlace
from firedoor.wire import exposures
from firedoor.wire.exposures import Case, Whereabouts
from firedoor.wire.signs import Signs
from firedoor.wire.sources import Sources

EXPOSURES_SHOWN: Final = 50

_NAMES_A_PAGE: Final = 5_000
_FEW_NAMES: Final = 500
_USUAL_GAPS: Final = 2.0
"""A machine that has not asked for twice its median gap, and for its longest one, is overdue."""


class Machines:
    """Reads register, gate, intake and judge for the machine views. One thread at a time."""

    def __init__(self, config: Config, sources: Sources, clock: Clock) -> None:
        """Nothing is read yet."""
        self._config = config
        self._sources = sources
        self._clock = clock
        self._signs = Signs(config.time.bucket_ms)
        self._names: dict[int, str] = {}
        self._roll: tuple[object, list[tuple[str, int]]] = (None, [])

    def enrolled(
        self, boarding: Boarding, limit: int, after: str, state: Condition | None
    ) -> list[ExposureView]:
        """Machines of a boarding by name; see ``ReadModel.machines``."""
        with self._sources.snapshot() as judge:
            gate, register = self._sources.gate, self._sources.register
            if judge is None or gate is None or register is None:
                return []
            case = self._case(judge, boarding)
            named = self._candidates(gate, register, case, state)
            found: list[ExposureView] = []
            for name, machine in named:
                if len(found) == limit:
                    break
                if name <= after:
                    continue
                place = _place_in(gate, machine, boarding)
                if place is None:
                    continue
                if state is None or exposures.condition(place, case) is state:
                    found.append(self._view(gate, place, case, name))
            return found

    def machine(self, name: str) -> MachineView | None:
        """One machine by name, also a revoked one."""
        with self._sources.snapshot() as judge:
            gate, register = self._sources.gate, self._sources.register
            signals = self._sources.signals
            if register is None:
                return None
            try:
                entry = register.entry(name)
            except NotFound:
                return None
            number = entry.machine.no
            self._listen(judge, gate)
            attributes = dict(entry.machine.attributes)
            ring, reports = ring_of(attributes, self._config.rings), self._signs.reports(number)
            return MachineView(
                name=name,
                attributes=attributes,
                identities=by_kind(register.host_ids.of(number)),
                told=dict(signals.told(number)) if signals else {},
                inventory=_inventory(signals, number) if signals else {},
                enrolled_ms=entry.enrolled,
                last_seen_ms=self._seen_ms(gate, number) or None,
                restarted_ms=signals.restarted(number) if signals else None,
                volatile=signals.volatile(number) if signals else None,
                heartbeats=reports is Reports.BEATS,
                tells=reports is not Reports.NOTHING,
                benched=judge is not None and number in judge.board().benched,
                revoked=entry.revoked is not None,
                rings={channel.name: ring for channel in self._config.channels},
                serving=_serving(judge, gate, number),
                exposures=tuple(self._exposures(judge, gate, number, name)),
            )

    def _exposures(
        self, judge: JudgeReader | None, gate: GateReader | None, machine: int, name: str
    ) -> Iterable[ExposureView]:
        if judge is None or gate is None:
            return
        by_boarding: dict[tuple[str, int], list[StoredPlace]] = {}
        for stored in gate.places_of_machine(machine):
            key = (stored.place.channel, stored.place.number)
            by_boarding.setdefault(key, []).append(stored)
        newest = sorted(by_boarding.items(), key=lambda each: -each[1][-1].id)
        for key, places in newest[:EXPOSURES_SHOWN]:
            boarding = judge.boarding(*key)
            # The gate may have recorded a place of a ledger that was restored from a backup.
            if boarding is not None:
                case = self._case(judge, boarding)
                yield self._view(gate, exposures.decisive(places), case, name)

    def _candidates(
        self, gate: GateReader, register: MachineRegister, case: Case, state: Condition | None
    ) -> Sequence[tuple[str, int]]:
        """Those that may be in this state, by name: the fewer, the less there is to look up."""
        channel, number = case.boarding.channel, case.boarding.number
        match state:
            case Condition.DORMANT | Condition.REJECTED:
                return []  # No kind that is built so far tells of these.
            case Condition.HARMED:
                return self._named(register, {h.machine for h in case.harmed.values()})
            case Condition.IN_FLIGHT:
                dealt = (gate.dealt(channel, number, ring, deck) for ring, deck in case.decks)
                return self._named(register, {machine for deck in dealt for machine in deck})
            case _:
                key = (channel, number, gate.last_place())
                if self._roll[0] != key:
                    self._roll = key, self._named(register, gate.enrolled(channel, number))
                return self._roll[1]

    def _named(self, register: MachineRegister, machines: Iterable[int]) -> list[tuple[str, int]]:
        # A number is never given to another name, so what is known stays known.
        wanted = set(machines)
        missing = wanted - self._names.keys()
        if len(missing) <= _FEW_NAMES:
            for machine in missing:
                for entry in register.entries(after=machine - 1, limit=1):
                    self._names[entry.machine.no] = entry.machine.name
        else:
            last = min(missing) - 1
            while page := register.entries(after=last, limit=_NAMES_A_PAGE):
                self._names.update((entry.machine.no, entry.machine.name) for entry in page)
                last = page[-1].machine.no
        return sorted((self._names[no], no) for no in wanted if no in self._names)

    def _case(self, judge: JudgeReader, boarding: Boarding) -> Case:
        channel, number = boarding.channel, boarding.number
        boards = (each for each in judge.board().channels if each.name == channel)
        known = self._traits(channel)
        return Case.of(
            boarding,
            doors=judge.doors(channel, number),
            decks=judge.decks(channel, number),
            harmed=judge.harmed(channel, number),
            board=next(boards, None),
            reverts=known is not None and known.reverts,
            settle_ms=self._config.time.settle_ms,
            now_ms=self._clock.now().wall_ms,
        )

    def _view(self, gate: GateReader, stored: StoredPlace, case: Case, name: str) -> ExposureView:
        harm = undo = ""
        harmed = case.harmed.get(stored.id)
        if harmed is not None:
            harm = harmed.signal
            if harm != SILENCE:
                self._listen(self._sources.judge, gate)
                harm = self._signs.harm_kind(harmed.machine, harm, stored.wall_ms, harmed.at_ms)
        if exposures.is_revoked(stored, case):
            undo = exposures.undoing(stored, case, self._whereabouts(gate, stored))
        return exposures.described(stored, case, machine=name, harm=harm, undo=undo)

    def _whereabouts(self, gate: GateReader, stored: StoredPlace) -> Whereabouts:
        place = stored.place
        self._listen(self._sources.judge, gate)
        stands = (s for s in gate.standing_of(place.machine) if s.channel == place.channel)
        habit = gate.habit(place.machine)
        known = self._traits(place.channel)
        period_ms = 0 if known is None else known.usual_period_ms
        return Whereabouts(
            standing=next(stands, None),
            seen_ms=self._seen_ms(gate, place.machine),
            patience_ms=silence.deadline(
                b"" if habit is None else habit.gaps,
                _USUAL_GAPS,
                cold_ms=silence.COLD_PERIODS * period_ms,
                silence_min_ms=self._config.time.silence_min_ms,
            ),
        )

    def _seen_ms(self, gate: GateReader | None, machine: int) -> int:
        habit = None if gate is None else gate.habit(machine)
        return max(self._signs.last_ms(machine), 0 if habit is None else habit.last_wall)

    def _listen(self, judge: JudgeReader | None, gate: GateReader | None) -> None:
        self._signs.listen(judge, gate, self._sources.signals)

    def _traits(self, channel: str) -> Traits | None:
        """Traits of a channel's kind; None for a channel that is configured no more."""
        known = (each for each in self._config.channels if each.name == channel)
        return next((each.traits for each in known), None)


def _place_in(gate: GateReader, machine: int, boarding: Boarding) -> StoredPlace | None:
    places = [
        stored
        for stored in gate.places_of_machine(machine)
        if (stored.place.channel, stored.place.number) == (boarding.channel, boarding.number)
    ]
    return exposures.decisive(places) if places else None


def _inventory(signals: SignalReader, machine: MachineNo) -> dict[str, InventoryView]:
    return {
        one.part.value: InventoryView(since_ms=one.since_ms, items=one.items)
        for one in signals.inventory(machine)
    }


def _serving(judge: JudgeReader | None, gate: GateReader | None, machine: int) -> dict[str, str]:
    if judge is None or gate is None:
        return {}
    found = {s.channel: judge.boarding(s.channel, s.number) for s in gate.standing_of(machine)}
    return {channel: boarding.release for channel, boarding in found.items() if boarding}
