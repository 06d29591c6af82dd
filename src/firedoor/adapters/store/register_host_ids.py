"""Identities of machines in the register: what their own tools call them."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Final

from firedoor.adapters.store.sqlite import storage_errors
from firedoor.core.errors import Rejected
from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.units import MachineNo

TABLE: Final = (
    """CREATE TABLE host_id (
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        machine INTEGER NOT NULL,
        PRIMARY KEY (kind, value)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX host_id_machine ON host_id (machine)",
)


class HostIds:
    """The table of identities. Whoever changes it has begun a transaction."""

    def __init__(self, connection: sqlite3.Connection, file: str) -> None:
        """Over the register's connection.

        Args:
            connection: Of the register.
            file: Its name, for errors.
        """
        self._connection = connection
        self._file = file

    def find(self, host: HostId) -> tuple[MachineNo, str] | None:
        """Number and name of the enrolled machine that an identity is bound to, or None."""
        with storage_errors(self._file):
            row = self._connection.execute(
                "SELECT no, name FROM host_id JOIN machine ON no = machine"
                " WHERE kind = ? AND value = ? AND revoked IS NULL",
                (host.kind.value, host.value),
            ).fetchone()
        return None if row is None else (MachineNo(row[0]), row[1])

    def of(self, machine: MachineNo) -> Sequence[HostId]:
        """Identities of one machine, in order."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT kind, value FROM host_id WHERE machine = ? ORDER BY kind, value",
                (machine,),
            ).fetchall()
        return [HostId(HostIdKind(kind), value) for kind, value in rows]

    def all(self) -> Iterator[tuple[MachineNo, Sequence[HostId]]]:
        """Identities of all machines that have any, by number."""
        with storage_errors(self._file):
            rows = self._connection.execute(
                "SELECT machine, kind, value FROM host_id ORDER BY machine, kind, value"
            )
            for machine, some in groupby(rows, lambda row: row[0]):
                yield MachineNo(machine), [HostId(HostIdKind(k), value) for _, k, value in some]

    def bind(self, machine: MachineNo, hosts: Collection[HostId]) -> None:
        """Bind identities to a machine, in place of those of the same kinds.

        Raises:
            Rejected: One of them is another machine's.
        """
        for host in hosts:
            known = self.find(host)
            if known is not None and known[0] != machine:
                raise Rejected(
                    f"{host} is bound to {known[1]}",
                    hint=f"firedoor machine revoke {known[1]} frees it, or it gets another one:"
                    f" firedoor machine enroll {known[1]} --rotate --identity {host.kind}=..",
                )
        kinds = {host.kind.value for host in hosts}
        self._connection.executemany(
            "DELETE FROM host_id WHERE machine = ? AND kind = ?",
            [(machine, kind) for kind in kinds],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO host_id (kind, value, machine) VALUES (?, ?, ?)",
            [(host.kind.value, host.value, machine) for host in hosts],
        )

    def release(self, machine: MachineNo) -> None:
        """Free all identities of a machine."""
        self._connection.execute("DELETE FROM host_id WHERE machine = ?", (machine,))
