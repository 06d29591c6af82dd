"""Writing the ledger: every decision, with the evidence it rests on, before it takes effect."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from firedoor.core.door import Command, Commands, Door
from firedoor.core.ledger.canonical import Json
from firedoor.core.ledger.entry import GENESIS, Entry, Signed, leaf_hash, signed_payload
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.boarding import Boarding
from firedoor.services.stores import JudgeRecords

Sign = Callable[[bytes], bytes]
"""Signs bytes with the ledger's key."""

DOOR = "door"
BOARDED = "boarded"
MORE_RINGS = "boarded-more-rings"
REVEALED = "seed-revealed"
NOTE = "note"

LOST = "lost"
"""Key of a note's body: which database is another one, and the decks dealt before (``lose``)."""

PREFLIGHT = "preflight"
"""Key of a note's body: what a preflight found of a release (``services.inspection``)."""

SUSPECTS = "suspects"
"""Key of a note's body: two releases accused of the same harm (``services.suspects``)."""

LANE = "lane"
"""Key of a door's body: the fast lane it has; an empty one where it has just ended."""

_RINGS_AN_ENTRY = 20
_DECKS_AN_ENTRY = 40
_NOTHING: Mapping[str, Json] = MappingProxyType({})


class LedgerWriter:
    """Appends signed entries to the judge's store, within its steps."""

    def __init__(self, store: JudgeRecords, sign: Sign) -> None:
        """Nothing is read or written before the first entry."""
        self._store = store
        self._sign = sign

    def append(self, kind: str, body: Mapping[str, Json], now: Instant) -> Entry:
        """Append one entry. It is durable with the step it is written in."""
        index = self._store.last_index() + 1
        previous = GENESIS
        if index:
            (last,) = self._store.entries(after=index - 2, limit=1)
            previous = leaf_hash(last.entry)
        entry = Entry(index, UnixMs(now.wall_ms), kind, body, previous)
        self._store.add_entry(Signed(entry, self._sign(signed_payload(entry))))
        return entry

    def board(
        self, boarding: Boarding, previous: str, facts: Mapping[str, Json], now: Instant
    ) -> None:
        """A release boards: its terms, its rules and the commitment to its seed.

        An entry has bounds: where there are many rings, further entries name the rest.
        """
        doors, rings = facts["doors"], facts["rings"]
        names = list(rings) if isinstance(rings, Mapping) else []
        for first in range(0, max(1, len(names)), _RINGS_AN_ENTRY):
            some = names[first : first + _RINGS_AN_ENTRY]
            part: dict[str, Json] = {
                "doors": [d for d in _list(doors) if _mapping(d).get("ring") in some],
                "rings": {name: _mapping(rings)[name] for name in some},
            }
            self.append(
                MORE_RINGS if first else BOARDED,
                {
                    "channel": boarding.channel,
                    "number": boarding.number,
                    "release": boarding.release,
                    "previous": previous,
                    "seed_commitment": boarding.commitment,
                    **facts,
                    **part,
                },
                now,
            )

    def decide(
        self,
        before: Door,
        after: Door,
        commands: Commands,
        evidence: Mapping[str, Json],
        now: Instant,
    ) -> None:
        """A door moves."""
        self.append(
            DOOR,
            {
                "channel": after.channel,
                "number": after.number,
                "release": after.release,
                "ring": after.ring,
                "from": before.state.value,
                "to": after.state.value,
                "reason": after.reason.value,
                "by": after.by,
                "note": after.note,
                "budget": after.budget,
                "judged": after.judged,
                "commands": [command.value for command in commands],
                "alert": Command.ALERT in commands,
                **({"shadow": True} if after.shadow else {}),
                **_lane(before, after),
                "evidence": dict(evidence),
            },
            now,
        )

    def reveal(self, channel: str, number: int, seed: bytes, now: Instant) -> None:
        """No card of a boarding will be dealt again: anyone can audit now who was chosen."""
        self.append(
            REVEALED,
            {"channel": channel, "number": number, "seed": seed.hex()},
            now,
        )

    def note(
        self,
        channel: str,
        text: str,
        now: Instant,
        *,
        alert: bool = False,
        facts: Mapping[str, Json] = _NOTHING,
    ) -> None:
        """Something else that has to be on the record, with what a program needs to know of it."""
        self.append(NOTE, {"channel": channel, "note": text, "alert": alert, **facts}, now)

    def lose(
        self, database: str, text: str, decks: Sequence[tuple[str, int, str, int]], now: Instant
    ) -> None:
        """Records are gone with a database: told to people, and to whoever audits what is left.

        Args:
            database: Name of the file.
            text: What is not known any more, for people.
            decks: (channel, boarding number, ring, last deck) of all that was dealt in boardings
                whose seed is secret. Whoever replays the ledger knows of the others that all of
                theirs was dealt before this entry.
            now: The clocks.
        """
        for first in range(0, max(1, len(decks)), _DECKS_AN_ENTRY):
            some: list[Json] = [list(deck) for deck in decks[first : first + _DECKS_AN_ENTRY]]
            facts: dict[str, Json] = {LOST: {"database": database, "decks": some}}
            said = f"{database}: more of the decks that it held" if first else text
            self.note("", said, now, alert=not first, facts=facts)


def _lane(before: Door, after: Door) -> dict[str, Json]:
    """The fast lane of a door: what is left of its budget when it ends, and when that is."""
    if after.lane is not None:
        return {LANE: {"slots": after.lane.slots, "ends_ms": after.lane.ends_ms}}
    return {} if before.lane is None else {LANE: {}}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list | tuple) else ()


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
