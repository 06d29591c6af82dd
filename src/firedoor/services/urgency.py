"""Urgency: releases that name vulnerabilities which are known to be exploited.

People are told once of each, and of nothing else: what a list says of the world is no evidence
about a release. So nothing here is able to send an event to a door.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from firedoor.core.door import State
from firedoor.formats.kev import Catalogue, Exploited
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.ledger import LedgerWriter
from firedoor.services.stores import JudgeRecords

_TOLD_AFTER: Final = 3
_MOST_NAMED: Final = 5
_MOST_LISTED: Final = 50
_ERROR_LIMIT: Final = 300
_SHORT: Final = 12
_HURRIED: Final = (State.WAITING, State.OPENING)


class FeedState(msgspec.Struct, frozen=True):
    """What is known of the list.

    Attributes:
        good_ms: When it was last read whole, wall clock, 0 for never.
        version: Its own number of itself then.
        entries: Its length then.
        error: Why the last look failed, "" if it did not.
        failures: Failed looks since the last good one.
    """

    good_ms: int = 0
    version: str = ""
    entries: int = 0
    error: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the list brought: all of it, or the reason there is none."""

    catalogue: Catalogue | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a release names that the one before it did not.

    Attributes:
        release: Its id.
        cves: CVE identifier -> the file that names it.
        error: Why it could not be searched, else "".
    """

    release: str
    cves: Mapping[str, str]
    error: str = ""


class Urgency:
    """Keeps the list and tells people. Within the judge's steps."""

    def __init__(self, store: JudgeRecords, ledger: LedgerWriter) -> None:
        """Nothing is read before it is needed."""
        self._store = store
        self._ledger = ledger

    def take_list(self, look: Look, now: Instant) -> None:
        """Take over the list; the last good one stays where a look failed."""
        before = read_state(self._store.feed())
        if look.catalogue is None:
            error = _storable(look.error)
            state = msgspec.structs.replace(before, error=error, failures=before.failures + 1)
            if state.failures == _TOLD_AFTER:
                kept = "the last good one goes on being used" if before.good_ms else "there is none"
                note = f"the list of exploited vulnerabilities cannot be read: {error}; {kept}"
                self._ledger.note("", note, now, alert=True)
        else:
            entries = look.catalogue.entries
            state = FeedState(now.wall_ms, look.catalogue.version, len(entries))
            self._store.put_exploited(
                {each.cve: msgspec.json.encode(each).decode() for each in entries}
            )
            if before.failures >= _TOLD_AFTER:
                note = "the list of exploited vulnerabilities is read again"
                self._ledger.note("", note, now, alert=True)
        self._store.put_feed(msgspec.json.encode(state).decode())

    def take_search(self, found: Searched, now: Instant) -> None:
        """Take over what a release names."""
        error = _storable(found.error)
        self._store.put_searched(found.release, error)
        named = {cve: _storable(source) for cve, source in found.cves.items()}
        self._store.add_named(found.release, named)
        if error:
            stored = self._store.release(found.release)
            note = f"release {found.release[:_SHORT]} was not searched for CVEs: {error}"
            self._ledger.note("" if stored is None else stored.channel, note, now)

    def unsearched(self, flights: Iterable[Flight]) -> list[tuple[str, str, str]]:
        """(channel, release before, release) of boardings whose content was not searched yet."""
        found = []
        for flight in flights:
            boarding = flight.boarding
            previous = next((door.previous for door in flight.doors.values()), "")
            if previous and self._store.searched(boarding.release) is None:
                found.append((boarding.channel, previous, boarding.release))
        return found

    def tell(self, flights: Iterable[Flight], now: Instant) -> None:
        """Tell people, once for each vulnerability, of releases that are being tried."""
        urgent = self._store.urgent()
        for flight in flights if urgent else ():
            release = flight.boarding.release
            trying = any(door.state in _HURRIED for door in flight.doors.values())
            if release not in urgent or not trying:
                continue
            fresh = []
            for cve, _, entry in self._store.exploited_of(release):
                key = f"urgent:{flight.boarding.channel}:{flight.boarding.number}:{cve}"
                if not self._store.cursor(key):
                    self._store.put_cursor(key, 1)
                    fresh.append(read_entry(entry))
            if fresh:
                self._say(flight, fresh, now)

    def _say(self, flight: Flight, fresh: list[Exploited], now: Instant) -> None:
        boarding = flight.boarding
        named = "; ".join(map(spoken, fresh[:_MOST_NAMED]))
        more = f"; and {len(fresh) - _MOST_NAMED} more" if len(fresh) > _MOST_NAMED else ""
        note = (
            f"release {boarding.number} names what is known to be exploited: {named}{more}. It is "
            "for a person to decide whether to hurry it: "
            f"firedoor release expedite {boarding.release[:_SHORT]} --budget N --for 4h "
            '--reason "WHY"'
        )
        facts = {"release": boarding.release, "cves": [each.cve for each in fresh[:_MOST_LISTED]]}
        self._ledger.note(boarding.channel, note, now, alert=True, facts=facts)


def _storable(text: str) -> str:
    """A vendor may call a file anything; an entry of the ledger has bounds."""
    return text[:_ERROR_LIMIT].encode("utf-8", "replace").decode()


def spoken(entry: Exploited) -> str:
    """One vulnerability in words."""
    name = f" {entry.name}" if entry.name else ""
    ransom = ", by ransomware too" if entry.ransomware else ""
    return f"{entry.cve}{name} (listed {entry.added}{ransom})"


def read_state(body: str) -> FeedState:
    """The state of the list as it was stored; an empty one before the first look."""
    return msgspec.json.decode(body, type=FeedState) if body else FeedState()


def read_entry(body: str) -> Exploited:
    """An entry of the list as it was stored."""
    return msgspec.json.decode(body, type=Exploited)
