"""judge.db: releases, boardings, doors, cells, the ledger and the board.

Written by the judge alone, each step in one transaction: a decision, the cells it rests on, the
door it moves and the board that carries it out are durable together or not at all.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from firedoor.adapters.store.judge_late import LateReader, LateStore
from firedoor.adapters.store.judge_mirrored import MirroredReader, MirroredStore
from firedoor.adapters.store.judge_rows import cell_of
from firedoor.adapters.store.judge_schema import SCHEMA
from firedoor.adapters.store.judge_urgent import UrgentReader, UrgentStore
from firedoor.adapters.store.sqlite import (
    identity_of,
    open_writer,
    remember,
    storage_errors,
    transaction,
)
from firedoor.core.board import Board
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door
from firedoor.core.errors import Unavailable
from firedoor.core.ledger.entry import Signed, leaf_bytes, parse_leaf
from firedoor.core.packed import Packed, packed
from firedoor.core.release import FileEntry, Manifest
from firedoor.services.boarding import Boarding
from firedoor.services.records import (
    Block,
    ChannelState,
    Harmed,
    Seen,
    StoredDeck,
    StoredRelease,
    TrackPoint,
)

NAME = "judge.db"

_BOARDING = msgspec.json.Decoder(Boarding)
_DOOR = msgspec.json.Decoder(Door)
_BOARD = msgspec.json.Decoder(Board)
_MANIFEST = msgspec.json.Decoder(dict[str, FileEntry])


class JudgeReader(LateReader, MirroredReader, UrgentReader):
    """Reading judge.db, from any process."""

    def __init__(self, data: Path) -> None:
        """Open ``judge.db``. Raises Unavailable while the judge has never run."""
        super().__init__(data / NAME, SCHEMA)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read within is of one moment. May be nested, also within a step."""
        if self._db.in_transaction:
            yield
            return
        with storage_errors(NAME):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def board(self) -> Board:
        """The newest board; an empty one before the first."""
        rows = self._rows("SELECT body FROM board")
        return _BOARD.decode(rows[0][0]) if rows else Board()

    def last_tick(self) -> tuple[str, int, int] | None:
        """(boot, monotonic ms, wall ms) of the judge's last tick."""
        rows = self._rows("SELECT boot, mono_ms, wall_ms FROM tick")
        return tuple(rows[0]) if rows else None

    def cursor(self, name: str) -> int:
        """Where reading of another database goes on, 0 from the beginning."""
        rows = self._rows("SELECT value FROM cursor WHERE name = ?", name)
        return int(rows[0][0]) if rows else 0

    def source(self, name: str) -> str:
        """Identity of the database of this name that the judge has read, "" before the first."""
        return identity_of(self._db, NAME, name)

    def channel(self, name: str) -> ChannelState:
        """State of a channel's upstream; an empty one before the first synchronisation."""
        rows = self._rows("SELECT * FROM channel WHERE name = ?", name)
        if not rows:
            return ChannelState(name)
        channel, synced_ms, error, failures, blocked = rows[0]
        return ChannelState(channel, synced_ms, error, failures, Block(blocked))

    def channels(self) -> list[str]:
        """Names of all channels that have a release, also of those no longer configured."""
        rows = self._rows("SELECT DISTINCT channel FROM release ORDER BY channel")
        return [row[0] for row in rows]

    def release(self, release: str) -> StoredRelease | None:
        """A release by its id, or None."""
        rows = self._rows(_RELEASE + "WHERE id = ?", release)
        return StoredRelease(*rows[0]) if rows else None

    def releases(self, channel: str) -> list[StoredRelease]:
        """Releases of a channel, oldest first."""
        sql = _RELEASE + "WHERE channel = ? ORDER BY created_ms, id"
        return [StoredRelease(*row) for row in self._rows(sql, channel)]

    def matching(self, prefix: str) -> list[StoredRelease]:
        """Releases whose id begins with ``prefix``."""
        sql = _RELEASE + "WHERE substr(id, 1, ?) = ? LIMIT 2"
        return [StoredRelease(*row) for row in self._rows(sql, len(prefix), prefix)]

    def manifest(self, release: str) -> Manifest:
        """Manifest of a release; empty for an unknown one."""
        rows = self._rows("SELECT manifest FROM release WHERE id = ?", release)
        if not rows:
            return {}
        data = zlib.decompress(rows[0][0])
        # What was stored before manifests were packed is JSON.
        return _MANIFEST.decode(data) if data.startswith(b"{") else Packed(data)

    def renewed_after(self, count: int) -> list[tuple[int, str]]:
        """(number of the renewal, release) of those that upstream renewed later, by number."""
        sql = "SELECT renewed, id FROM release WHERE renewed > ? ORDER BY renewed"
        return [(int(number), str(release)) for number, release in self._rows(sql, count)]

    def snapshots(self, channel: str) -> list[Seen]:
        """Snapshots of a channel in the order they were seen."""
        sql = "SELECT * FROM snapshot WHERE channel = ? ORDER BY seq"
        return [Seen(*row) for row in self._rows(sql, channel)]

    def boardings(self, channel: str) -> list[Boarding]:
        """All boardings of a channel, oldest first."""
        sql = "SELECT body FROM boarding WHERE channel = ? ORDER BY number"
        return [_BOARDING.decode(row[0]) for row in self._rows(sql, channel)]

    def boarding(self, channel: str, number: int) -> Boarding | None:
        """One boarding, or None."""
        sql = "SELECT body FROM boarding WHERE channel = ? AND number = ?"
        rows = self._rows(sql, channel, number)
        return _BOARDING.decode(rows[0][0]) if rows else None

    def boardings_of(self, release: str) -> list[Boarding]:
        """All boardings of one release, oldest first."""
        sql = "SELECT body FROM boarding WHERE release = ? ORDER BY number"
        return [_BOARDING.decode(row[0]) for row in self._rows(sql, release)]

    def last_verdict(self, channel: str, number: int) -> str:
        """The newest verdict of a boarding as JSON, "" before the first."""
        sql = "SELECT verdict FROM boarding WHERE channel = ? AND number = ?"
        rows = self._rows(sql, channel, number)
        return str(rows[0][0]) if rows else ""

    def seed(self, channel: str, number: int) -> str:
        """The revealed seed of a boarding in hexadecimal, "" while it is secret."""
        sql = "SELECT seed FROM boarding WHERE channel = ? AND number = ?"
        rows = self._rows(sql, channel, number)
        return str(rows[0][0]) if rows else ""

    def doors(self, channel: str, number: int) -> list[Door]:
        """Doors of one boarding."""
        sql = "SELECT body FROM door WHERE channel = ? AND number = ?"
        return [_DOOR.decode(row[0]) for row in self._rows(sql, channel, number)]

    def decks(self, channel: str, number: int) -> list[StoredDeck]:
        """Decks of one boarding, in order."""
        sql = (
            "SELECT ring, deck, body, opened_ms, heard, batch, event, closed, looks, told_ms, "
            "began_ms, spent FROM deck WHERE channel = ? AND number = ? ORDER BY ring, deck"
        )
        return [StoredDeck(*row) for row in self._rows(sql, channel, number)]

    def cells(self, channel: str, number: int, upto: int = -1) -> list[Cell]:
        """Cells of one boarding in order, all or up to ``upto``."""
        sql = "SELECT * FROM cell WHERE channel = ? AND number = ? ORDER BY seq LIMIT ?"
        return [cell_of(row) for row in self._rows(sql, channel, number, upto)]

    def looks(self, channel: str, number: int, *, apart: bool = False) -> list[Cell]:
        """What was counted at every look at one boarding, summed by ring, signal and age.

        Args:
            channel: Of the boarding.
            number: Of the boarding.
            apart: Not summed: each look by itself.
        """
        looks = Test.CLEARANCE.value, Test.LATE.value
        if apart:
            every = "SELECT * FROM cell WHERE channel = ? AND number = ? AND test IN (?, ?)"
            return [cell_of(row) for row in self._rows(every, channel, number, *looks)]
        sql = (
            "SELECT channel, number, 0, ring, 0, 0, test, signal, '', sum(treated), sum(control), "
            "sum(treated_harmed), sum(control_harmed), sum(installed), age FROM cell "
            "WHERE channel = ? AND number = ? AND test IN (?, ?) GROUP BY ring, test, signal, age"
        )
        return [cell_of(row) for row in self._rows(sql, channel, number, *looks)]

    def cells_after(self, channel: str, number: int, seq: int, limit: int) -> list[Cell]:
        """The next cells of one boarding above ``seq``, in order."""
        sql = "SELECT * FROM cell WHERE channel = ? AND number = ? AND seq > ? ORDER BY seq LIMIT ?"
        return [cell_of(row) for row in self._rows(sql, channel, number, seq, limit)]

    def harmed(self, channel: str, number: int) -> list[Harmed]:
        """Members of one boarding counted as harmed."""
        sql = (
            "SELECT place, machine, treated, signal, at_ms, recovered_ms, boot, counted_ms "
            "FROM harmed WHERE channel = ? AND number = ? ORDER BY at_ms, place"
        )
        rows = self._rows(sql, channel, number)
        return [Harmed(r[0], r[1], bool(r[2]), *r[3:]) for r in rows]

    def harmed_boardings(self) -> list[tuple[str, int]]:
        """Boardings that harmed anybody, or had anybody late, also of channels long gone."""
        sql = "SELECT channel, number FROM harmed UNION SELECT channel, number FROM late"
        return self._rows(sql)

    def track(self, channel: str, number: int, *, after: int = 0) -> list[TrackPoint]:
        """The curve of one boarding, or its points with ``seq`` above ``after``."""
        sql = (
            "SELECT seq, time_ms, body FROM track "
            "WHERE channel = ? AND number = ? AND seq > ? ORDER BY seq"
        )
        return [TrackPoint(*row) for row in self._rows(sql, channel, number, after)]

    def pins(self, channel: str) -> dict[str, int]:
        """Ring -> pinned boarding number."""
        rows = self._rows("SELECT ring, number FROM pin WHERE channel = ?", channel)
        return dict(rows)

    def entries(self, after: int = -1, limit: int = -1) -> list[Signed]:
        """Ledger entries with an index above ``after``, in order."""
        sql = "SELECT leaf, signature FROM entry WHERE idx > ? ORDER BY idx LIMIT ?"
        return [Signed(parse_leaf(leaf), sig) for leaf, sig in self._rows(sql, after, limit)]

    def last_index(self) -> int:
        """Index of the newest ledger entry, -1 for none."""
        return int(self._rows("SELECT coalesce(max(idx), -1) FROM entry")[0][0])

    def answer(self, request: int) -> tuple[str, str] | None:
        """(status, body) of a request that was carried out, or None."""
        rows = self._rows("SELECT status, body FROM answer WHERE request = ?", request)
        return tuple(rows[0]) if rows else None


class JudgeStore(JudgeReader, LateStore, MirroredStore, UrgentStore):
    """The judge's own side. Everything but ``steps`` must be called within a step."""

    def __init__(self, data: Path) -> None:  # the reader's would refuse a missing file
        """Open or create ``judge.db`` in the data directory."""
        self._name = NAME
        self._db = open_writer(data / NAME, SCHEMA)

    def close(self) -> None:
        """Write the log back into the file, so that a copy of the file alone is whole; close."""
        with suppress(Unavailable), storage_errors(NAME):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        super().close()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Write all or nothing; durable when the block is left. Raises Unavailable."""
        with transaction(self._db, NAME):
            yield

    def put_cursor(self, name: str, value: int) -> None:
        """Remember how far another database has been read."""
        self._do("INSERT OR REPLACE INTO cursor VALUES (?,?)", name, value)

    def put_source(self, name: str, identity: str) -> None:
        """Remember which database the cursors of this name belong to."""
        remember(self._db, name, identity)

    def read_anew(self, cursor: str) -> None:
        """Let reading begin at the first row again, for the decks that are open too."""
        self.put_cursor(cursor, 0)
        self._do(_DECKS_ANEW[cursor])

    def put_channel(self, state: ChannelState) -> None:
        """Store a channel's state."""
        self._do(
            "INSERT OR REPLACE INTO channel VALUES (?,?,?,?,?)",
            state.name,
            state.synced_ms,
            state.error,
            state.failures,
            state.blocked.value,
        )

    def add_release(self, release: StoredRelease, manifest: Manifest) -> None:
        """Store a release; storing it again changes nothing."""
        table = zlib.compress(packed(manifest).data[:])
        self._do(
            "INSERT OR IGNORE INTO release VALUES (?,?,?,?,?,?,?,0)",
            release.id,
            release.channel,
            release.created_ms,
            table,
            release.listing,
            release.size,
            release.files,
        )

    def renew_release(self, release: str, manifest: Manifest) -> None:
        """Upstream has renewed what does not belong to a release's identity."""
        sql = """UPDATE release SET manifest = ?,
            renewed = (SELECT max(renewed) FROM release) + 1 WHERE id = ?"""
        self._do(sql, zlib.compress(packed(manifest).data[:]), release)

    def add_snapshot(self, channel: str, release: str, seen_ms: int, state: str) -> None:
        """Note a snapshot that was seen upstream."""
        sql = "INSERT INTO snapshot VALUES (NULL,?,?,?,?)"
        self._do(sql, channel, release, seen_ms, state)

    def set_snapshot(self, seq: int, state: str) -> None:
        """Note what became of a snapshot."""
        self._do("UPDATE snapshot SET state = ? WHERE seq = ?", state, seq)

    def add_boarding(self, boarding: Boarding) -> None:
        """Store what a boarding is judged by."""
        self._do(
            "INSERT INTO boarding VALUES (?,?,?,?,'','')",
            boarding.channel,
            boarding.number,
            boarding.release,
            msgspec.json.encode(boarding).decode(),
        )

    def put_verdict(self, channel: str, number: int, body: str) -> None:
        """Store the newest verdict."""
        sql = "UPDATE boarding SET verdict = ? WHERE channel = ? AND number = ?"
        self._do(sql, body, channel, number)

    def reveal(self, channel: str, number: int, seed: str) -> None:
        """Store the seed in the clear: the door has ended."""
        sql = "UPDATE boarding SET seed = ? WHERE channel = ? AND number = ?"
        self._do(sql, seed, channel, number)

    def put_door(self, door: Door) -> None:
        """Store a door."""
        body = msgspec.json.encode(door).decode()
        sql = "INSERT OR REPLACE INTO door VALUES (?,?,?,?)"
        self._do(sql, door.channel, door.number, door.ring, body)

    def put_deck(self, channel: str, number: int, deck: StoredDeck) -> None:
        """Store a deck."""
        self._do(
            "INSERT OR REPLACE INTO deck VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            channel,
            number,
            deck.ring,
            deck.deck,
            deck.grant,
            deck.opened_ms,
            deck.heard,
            deck.batch,
            deck.event,
            deck.closed,
            deck.looks,
            deck.told_ms,
            deck.began_ms,
            deck.spent,
        )

    def close_deck(
        self,
        channel: str,
        number: int,
        ring: str,
        deck: int,
        closed: int,
        *,
        looks: str = "",
        told_ms: int = 0,
        spent: str = "",
    ) -> None:
        """Note which classes of a deck have closed (-1 for all), and how often others were seen."""
        sql = (
            "UPDATE deck SET closed = ?, looks = ?, told_ms = ?, spent = ? "
            "WHERE channel = ? AND number = ? AND ring = ? AND deck = ?"
        )
        self._do(sql, closed, looks, told_ms, spent, channel, number, ring, deck)

    def add_cell(self, channel: str, number: int, cell: Cell) -> None:
        """Append a cell."""
        self._do(
            "INSERT INTO cell VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            channel,
            number,
            cell.seq,
            cell.ring,
            cell.deck,
            cell.epoch,
            cell.test.value,
            cell.signal,
            cell.stratum,
            cell.treated,
            cell.control,
            cell.treated_harmed,
            cell.control_harmed,
            cell.installed,
            cell.age,
        )

    def add_harmed(self, channel: str, number: int, harmed: Harmed) -> None:
        """Note a member counted as harmed."""
        self._do(
            # A late one is counted again, with its control, when its deck is next looked at.
            "INSERT OR REPLACE INTO harmed VALUES (?,?,?,?,?,?,?,?,?,?)",
            *(harmed.place, channel, number, harmed.machine, harmed.treated, harmed.signal),
            *(harmed.at_ms, harmed.recovered_ms, harmed.boot, harmed.counted_ms),
        )

    def recover(self, place: int, at_ms: int) -> None:
        """Note that a machine counted as silent has spoken again."""
        self._do("UPDATE harmed SET recovered_ms = ? WHERE place = ?", at_ms, place)

    def forgive(self, place: int) -> None:
        """Forget that a member was counted as harmed: it is waited for again."""
        self._do("DELETE FROM harmed WHERE place = ?", place)

    def lose_place(self, place: int) -> None:
        """Note that this member's place is on record no more: its row may be another's."""
        both = "SELECT place FROM harmed UNION SELECT place FROM late"
        lowest = int(self._rows(f"SELECT min(0, min(place)) FROM ({both})")[0][0])  # noqa: S608
        self._do("UPDATE harmed SET place = ? WHERE place = ?", lowest - 1, place)
        self._do("UPDATE late SET place = ? WHERE place = ?", lowest - 1, place)

    def add_track(self, channel: str, number: int, time_ms: int, body: str) -> None:
        """Append a point to a boarding's curve."""
        self._do("INSERT INTO track VALUES (NULL,?,?,?,?)", channel, number, time_ms, body)

    def put_pin(self, channel: str, ring: str, number: int) -> None:
        """Pin a ring to a boarding; 0 takes the pin away."""
        if number:
            self._do("INSERT OR REPLACE INTO pin VALUES (?,?,?)", channel, ring, number)
        else:
            self._do("DELETE FROM pin WHERE channel = ? AND ring = ?", channel, ring)

    def add_entry(self, signed: Signed) -> None:
        """Append a signed entry to the ledger."""
        leaf = leaf_bytes(signed.entry)
        self._do("INSERT INTO entry VALUES (?,?,?)", signed.entry.index, leaf, signed.signature)

    def put_board(self, board: Board) -> None:
        """Publish a board."""
        body = msgspec.json.encode(board).decode()
        self._do("INSERT OR REPLACE INTO board VALUES (1,?,?)", board.version, body)

    def put_tick(self, boot: str, mono_ms: int, wall_ms: int) -> None:
        """Renew the lease of all decks."""
        self._do("INSERT OR REPLACE INTO tick VALUES (1,?,?,?)", boot, mono_ms, wall_ms)

    def put_answer(self, request: int, status: str, body: str) -> None:
        """Answer a request."""
        self._do("INSERT OR REPLACE INTO answer VALUES (?,?,?)", request, status, body)

    def forget_answers(self, after: int) -> None:
        """Drop answers to requests above a number, which will be given again."""
        self._do("DELETE FROM answer WHERE request > ?", after)

    def _do(self, sql: str, *arguments: object) -> None:
        self._db.execute(sql, arguments)


_DECKS_ANEW = {
    "heard": "UPDATE deck SET heard = 0",
    "batch": "UPDATE deck SET batch = 0",
    "event": "UPDATE deck SET event = 0",
}

_RELEASE = "SELECT id, channel, created_ms, listing, size, files FROM release "
