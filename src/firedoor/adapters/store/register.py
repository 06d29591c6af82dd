"""The register: known machines and collectors, and the digests of their tokens.

Written by the command line and the console, read by gate and intake. A number, once given to
a name, is never given to another: a machine enrolled again after its revocation is the same
machine with new tokens. What is read often is remembered, and forgotten whenever anybody
changes the register, so a revocation holds from the next request on; at the gate, which reads from
one state between two of its looks (``hold``), from the next look on, a twentieth of a second later.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from firedoor.adapters.store.register_host_ids import HostIds
from firedoor.adapters.store.register_schema import (
    SCHEMA,
    Collector,
    Enrolment,
    Entry,
    Issued,
    canonical,
    collector_of,
    entry_of,
)
from firedoor.adapters.store.register_tokens import add_tokens, fresh_tokens
from firedoor.adapters.store.sqlite import (
    open_reader,
    open_writer,
    storage_errors,
    transaction,
)
from firedoor.core.errors import NotFound, Rejected
from firedoor.core.host_id import HostId
from firedoor.core.machine import (
    Purpose,
    checked_name,
    token_digest,
)
from firedoor.core.units import MachineNo, UnixMs
from firedoor.ports import Clock, Identity

_TEXTS_PARSED: Final = 4_096
ROTATION_MS: Final = 24 * 3_600_000
"""How long the old tokens of a machine still work after new ones were made."""

_REMEMBERED: Final = 65_536
# The inner pages of a million machines' tokens and names stay; the default holds half of them.
_CACHE_KIB: Final = 8_192

_K = TypeVar("_K")
_V = TypeVar("_V")


class MachineRegister:
    """``machines.db``. One thread at a time.

    Attributes:
        host_ids: What machines' own tools call them; for reading.
    """

    def __init__(self, path: Path, clock: Clock, *, read_only: bool = False) -> None:
        """Open the register; create an empty one if it is missing and may be written.

        Args:
            path: The database file.
            clock: Tells when tokens expire.
            read_only: For gate and intake: nothing can be written through this object.

        Raises:
            BadConfig: The file has another schema version.
            Unavailable: The file cannot be opened, or is missing and ``read_only``.
        """
        self._file = path.name
        self._clock = clock
        self._connection = open_reader(path, SCHEMA) if read_only else open_writer(path, SCHEMA)
        if read_only:
            with storage_errors(self._file):
                self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self.host_ids = HostIds(self._connection, self._file)
        self._seen = self.version()
        self._identities: dict[tuple[bytes, str], tuple[Identity, UnixMs | None]] = {}
        self._numbers: dict[str, MachineNo] = {}
        self._certified: dict[str, MachineNo] = {}

    def close(self) -> None:
        """Close the database file; the object is of no use afterwards."""
        self._connection.close()

    def identify(self, token: str, purpose: str) -> Identity | None:
        """Whom this token speaks for; None if unknown, expired, revoked or for another purpose."""
        key = (token_digest(token), purpose)
        known = self._identities.get(key)
        if known is not None:
            self._refresh()
            known = self._identities.get(key)
        # What is read now is as new as can be, and nobody need ask whether anything has changed.
        if known is None:
            known = self._look_up(*key)
            if known is None:
                return None
            # Strangers are never remembered: they could push out everybody else.
            _remember(self._identities, key, known)
        identity, expires = known
        if expires is not None and self._clock.now().wall_ms >= expires:
            return None
        return identity

    def hold(self) -> None:
        """Read what is on record now, and nothing newer, until ``let_go``; for a moment only.

        A transaction for each look-up costs as much as the look-up.
        """
        if not self._connection.in_transaction:
            with storage_errors(self._file):
                self._connection.execute("BEGIN")

    def let_go(self) -> None:
        """Read what is newest again; without effect where nothing is held."""
        if self._connection.in_transaction:
            with storage_errors(self._file):
                self._connection.execute("COMMIT")

    def number(self, name: str) -> MachineNo | None:
        """Register number of an enrolled, not revoked machine, or None."""
        self._refresh()
        known = self._numbers.get(name)
        if known is None:
            known = self.numbers((name,)).get(name)
            if known is not None:
                _remember(self._numbers, name, known)
        return known

    def certified(self, name: str, fingerprint: str) -> MachineNo | None:
        """Register number behind a verified client certificate, or None.

        Args:
            name: The common name of its subject: that of the machine.
            fingerprint: SHA-256 of the certificate, hexadecimal. One that was issued to a machine
                before it was revoked is refused, also if the machine was enrolled again.
        """
        self._refresh()
        known = self._certified.get(fingerprint)
        if known is None:
            known = self.number(name)
            if known is None:
                return None
            with storage_errors(self._file):
                revoked = self._connection.execute(
                    "SELECT 1 FROM certificate WHERE fingerprint = ? AND revoked IS NOT NULL",
                    (fingerprint,),
                ).fetchone()
            if revoked is not None:
                return None
            _remember(self._certified, fingerprint, known)
        return known

    def issued(self) -> Sequence[Issued]:
        """The newest certificate of every machine that has one, by when it expires."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT name, fingerprint, max(expires) FROM certificate JOIN machine"
                " ON no = machine WHERE certificate.revoked IS NULL AND machine.revoked IS NULL"
                " GROUP BY machine ORDER BY 3"
            ).fetchall()
        return [Issued(name, fingerprint, UnixMs(expires)) for name, fingerprint, expires in rows]

    def numbers(self, names: Collection[str]) -> Mapping[str, MachineNo]:
        """Register numbers of those of ``names`` that are enrolled and not revoked."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT name, no FROM json_each(?) JOIN machine ON name = value"
                " WHERE revoked IS NULL",
                (json.dumps(list(names)),),
            )
            return dict(rows)

    def known_as(self, host: HostId) -> tuple[MachineNo, str] | None:
        """Number and name of the enrolled machine that an identity is bound to, or None."""
        return self.host_ids.find(host)

    def attributes(self, machine: MachineNo) -> Mapping[str, str]:
        """Attributes set at enrolment or later; empty when there are none."""
        with storage_errors(self._file):
            row = self._connection.execute(
                "SELECT attributes FROM machine WHERE no = ?", (machine,)
            ).fetchone()
        return {} if row is None else json.loads(row[0])

    def all_attributes(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Every machine's number and attributes; what many have in common is one mapping."""
        parsed = lru_cache(_TEXTS_PARSED)(json.loads)
        with storage_errors(self._file):
            for number, text in self._connection.execute("SELECT no, attributes FROM machine"):
                yield number, parsed(text)

    def count_by(self, names: Sequence[str]) -> Iterator[tuple[Mapping[str, str], int]]:
        """Count the enrolled, not revoked machines by what they have of some attributes.

        Args:
            names: Of the attributes; other attributes do not matter.

        Yields:
            Those of the attributes that some machines have, and how many have just these.
        """
        # Not by a path: there is none to a name with a quote in it, or with escapes in the text.
        one = ", (SELECT value FROM json_each(attributes) WHERE key = ?)"
        columns = one * len(names)
        order = ", ".join(str(place + 2) for place in range(len(names)))
        grouped = f"GROUP BY {order}" if names else ""
        sql = f"SELECT count(*){columns} FROM machine WHERE revoked IS NULL {grouped}"  # noqa: S608 - places and numbers
        with storage_errors(self._file):
            for count, *values in self._connection.execute(sql, names):
                known = zip(names, values, strict=True)
                yield {name: value for name, value in known if value is not None}, count

    def version(self) -> int:
        """A number that changes whenever another connection changed the register; 5 us."""
        with storage_errors(self._file):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def count(self) -> int:
        """How many machines are enrolled and not revoked."""
        with storage_errors(self._file):
            row = self._connection.execute("SELECT count(*) FROM machine WHERE revoked IS NULL")
            return int(row.fetchone()[0])

    def entries(self, after: int = 0, limit: int = 1_000) -> Sequence[Entry]:
        """List machines, revoked ones too, by number.

        Args:
            after: List only numbers above this one.
            limit: List at most so many.
        """
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT no, name, attributes, enrolled, revoked FROM machine"
                " WHERE no > ? ORDER BY no LIMIT ?",
                (after, limit),
            ).fetchall()
        return [entry_of(*row) for row in rows]

    def entry(self, name: str) -> Entry:
        """Look one machine up, revoked or not.

        Raises:
            NotFound: No machine was ever enrolled by this name.
        """
        with storage_errors(self._file):
            row = self._connection.execute(
                "SELECT no, name, attributes, enrolled, revoked FROM machine WHERE name = ?",
                (name,),
            ).fetchone()
        if row is None:
            raise NotFound(f"no machine is called {name[:140]!r}")
        return entry_of(*row)

    def collectors(self) -> Sequence[Collector]:
        """List the collectors by name."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT binds, created FROM token WHERE machine IS NULL"
            ).fetchall()
        return sorted((collector_of(*row) for row in rows), key=lambda collector: collector.name)

    def enroll(
        self,
        name: str,
        attributes: Mapping[str, str],
        now: UnixMs,
        hosts: Collection[HostId] = (),
    ) -> Enrolment:
        """Enrol one machine; see ``enroll_many``."""
        return self.enroll_many([(name, attributes)], now, {name: hosts})[0]

    def enroll_many(
        self,
        machines: Iterable[tuple[str, Mapping[str, str]]],
        now: UnixMs,
        hosts: Mapping[str, Collection[HostId]] = MappingProxyType({}),
    ) -> Sequence[Enrolment]:
        """Enrol machines, all or none; durable on return.

        A revoked machine comes back under its old number, with new tokens.

        Args:
            machines: Names and attributes.
            now: Time of the enrolment.
            hosts: Name -> identities that are bound to it.

        Returns:
            Numbers and tokens in the same order. The tokens are stored nowhere in clear.

        Raises:
            BadInput: A name that cannot be.
            Rejected: A machine of this name is enrolled, or an identity is another machine's.
            Unavailable: The register cannot be written.
        """
        wanted = [(checked_name(name), canonical(attributes)) for name, attributes in machines]
        with self._change():
            names = [name for name, _ in wanted]
            if len(set(names)) < len(names):
                raise Rejected("a machine is listed twice")
            for name in self.numbers(names):
                raise Rejected(
                    f"{name} is enrolled already", hint="machine enroll --rotate makes new tokens"
                )
            self._connection.executemany(
                "INSERT INTO machine (name, attributes, enrolled) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET"
                " attributes = excluded.attributes, enrolled = excluded.enrolled, revoked = NULL",
                ((name, attributes, now) for name, attributes in wanted),
            )
            numbers = self.numbers(names)
            enrolments = [
                Enrolment(numbers[name], name, read, signal)
                for (name, _), read, signal in zip(
                    wanted,
                    fresh_tokens(Purpose.READ, len(wanted)),
                    fresh_tokens(Purpose.SIGNAL, len(wanted)),
                    strict=True,
                )
            ]
            add_tokens(self._connection, enrolments, now)
            for name, identities in hosts.items():
                self.host_ids.bind(numbers[name], identities)
        return enrolments

    def rotate(self, name: str, now: UnixMs, hosts: Collection[HostId] = ()) -> Enrolment:
        """Give a machine new tokens; the present ones work for another 24 hours.

        Args:
            name: Its name.
            now: Time of the change.
            hosts: Identities that are bound to it, in place of those of the same kinds.

        Raises:
            NotFound: No machine of this name is enrolled.
            Rejected: An identity is another machine's.
            Unavailable: The register cannot be written.
        """
        with self._change():
            no = self._enrolled_no(name)
            self._connection.execute(
                "UPDATE token SET expires = ?"
                " WHERE machine = ? AND (expires IS NULL OR expires > ?)",
                (now + ROTATION_MS, no, now + ROTATION_MS),
            )
            self._connection.execute(
                "DELETE FROM token WHERE machine = ? AND expires <= ?", (no, now)
            )
            read = fresh_tokens(Purpose.READ, 1)[0]
            signal = fresh_tokens(Purpose.SIGNAL, 1)[0]
            enrolment = Enrolment(no, name, read, signal)
            add_tokens(self._connection, [enrolment], now)
            self.host_ids.bind(no, hosts)
        return enrolment

    def revoke(self, name: str, now: UnixMs) -> None:
        """Refuse a machine from now on; its tokens are destroyed, its number is kept.

        Certificates that were issued to it are refused for ever.

        Raises:
            NotFound: No machine of this name is enrolled.
            Unavailable: The register cannot be written.
        """
        with self._change():
            no = self._enrolled_no(name)
            self._connection.execute("UPDATE machine SET revoked = ? WHERE no = ?", (now, no))
            self._connection.execute("DELETE FROM token WHERE machine = ?", (no,))
            self.host_ids.release(no)
            self._connection.execute(
                "UPDATE certificate SET revoked = ? WHERE machine = ? AND revoked IS NULL",
                (now, no),
            )

    def note_certificate(self, issued: Issued) -> None:
        """Remember a certificate before it is handed out, so that it can be revoked.

        Raises:
            NotFound: No machine of this name is enrolled.
            Unavailable: The register cannot be written.
        """
        with self._change():
            self._connection.execute(
                "INSERT INTO certificate (fingerprint, machine, expires) VALUES (?, ?, ?)",
                (issued.fingerprint, self._enrolled_no(issued.machine), issued.expires),
            )

    def set_attributes(self, name: str, attributes: Mapping[str, str]) -> None:
        """Replace a machine's attributes.

        Raises:
            NotFound: No machine of this name is enrolled.
            Unavailable: The register cannot be written.
        """
        with self._change():
            self._connection.execute(
                "UPDATE machine SET attributes = ? WHERE no = ?",
                (canonical(attributes), self._enrolled_no(name)),
            )

    def enroll_collector(self, name: str, patterns: Sequence[str], now: UnixMs) -> str:
        """Make a signal token that speaks for all machines whose names match a pattern.

        Args:
            name: What the collector is called; not the name of another collector.
            patterns: Shell-style, at least one. They also bind machines enrolled later.
            now: Time of the enrolment.

        Returns:
            The token in clear; it is stored nowhere.

        Raises:
            BadInput: A name that cannot be.
            Rejected: No pattern, or a collector of this name exists.
            Unavailable: The register cannot be written.
        """
        if not patterns:
            raise Rejected(f"collector {checked_name(name)} is bound to no machine")
        token = fresh_tokens(Purpose.SIGNAL, 1)[0]
        with self._change():
            if any(collector.name == checked_name(name) for collector in self.collectors()):
                raise Rejected(f"a collector called {name} exists", hint="revoke it first")
            binds = json.dumps({"name": name, "patterns": list(patterns)})
            self._connection.execute(
                "INSERT INTO token (digest, purpose, binds, created) VALUES (?, ?, ?, ?)",
                (token_digest(token), Purpose.SIGNAL, binds, now),
            )
        return token

    def revoke_collector(self, name: str) -> None:
        """Refuse a collector from now on.

        Raises:
            NotFound: No collector of this name.
            Unavailable: The register cannot be written.
        """
        with self._change():
            gone = self._connection.execute(
                "DELETE FROM token WHERE machine IS NULL AND binds ->> 'name' = ?", (name,)
            )
            if gone.rowcount == 0:
                raise NotFound(f"no collector is called {name[:140]!r}")

    def _refresh(self) -> None:
        version = self.version()
        if version != self._seen:
            self._forget()
            self._seen = version

    def _forget(self) -> None:
        self._identities.clear()
        self._numbers.clear()
        self._certified.clear()

    @contextmanager
    def _change(self) -> Iterator[None]:
        try:
            with transaction(self._connection, self._file):
                yield
        finally:
            # ``data_version`` stands still for a connection's own writes.
            self._forget()

    def _look_up(self, digest: bytes, purpose: str) -> tuple[Identity, UnixMs | None] | None:
        with storage_errors(self._file):
            row = self._connection.execute(
                "SELECT no, name, binds, expires"
                " FROM token LEFT JOIN machine ON no = machine"
                " WHERE digest = ? AND purpose = ? AND revoked IS NULL",
                (digest, purpose),
            ).fetchone()
        if row is None:
            return None
        no, name, binds, expires = row
        if binds is not None:
            bound = json.loads(binds)
            return Identity(None, bound["name"], tuple(bound["patterns"])), expires
        return Identity(MachineNo(no), name), expires

    def _enrolled_no(self, name: str) -> MachineNo:
        no = self.numbers((name,)).get(name)
        if no is None:
            raise NotFound(f"no machine called {name[:140]!r} is enrolled")
        return no


def _remember(cache: dict[_K, _V], key: _K, value: _V) -> None:
    if len(cache) >= _REMEMBERED:
        cache.clear()
    cache[key] = value
