"""Opening a SQLite database the way every store of Firedoor needs it.

One process writes a database, any other may read it: WAL lets readers go on while the writer
commits. A durable writer syncs the log at each commit (``synchronous=FULL``), so what was
acknowledged survives ``kill -9`` and a power cut. ``user_version`` holds the schema's version:
a file of an earlier one is brought up by its writer, any other is refused rather than misread.

Others remember how far they have read a database by its row numbers. So every database has an
identity, 128 random bits made with it: where it is another, those numbers mean nothing any more.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from firedoor.core.errors import BadConfig, Unavailable

BUSY_TIMEOUT_MS = 5_000
"""How long a statement waits for another process's write before it gives up."""

_CACHE_KIB = 65_536
# Pages that many commits touch are copied into the database once per checkpoint, so a larger
# log saves writes. 4,000 pages are 16 MiB of log to read back after a crash.
_WAL_PAGES = 4_000

# Beside the schema and without a version of its own: an earlier Firedoor passes it over.
_IDENTITY = (
    """CREATE TABLE IF NOT EXISTS identity (
        name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID""",
    "INSERT OR IGNORE INTO identity VALUES ('self', lower(hex(randomblob(16))))",
)
_OWN = "self"
_OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.NotSupportedError)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database file holds.

    Attributes:
        version: Rises with every change of the statements, from 1.
        statements: Create everything in an empty database, in order.
        upgrades: Version -> what makes the one after it of a file of that version, in order. A
            version that is not named has no way across.
    """

    version: int
    statements: tuple[str, ...]
    upgrades: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def way_from(self, version: int) -> tuple[str, ...]:
        """Statements that make a file of an earlier version one of this; none: there is no way.

        Args:
            version: The file's version, >= 1.
        """
        steps = range(version, self.version)
        if not all(step in self.upgrades for step in steps):
            return ()
        return tuple(statement for step in steps for statement in self.upgrades[step])


def open_writer(path: Path, schema: Schema, *, durable: bool = True) -> sqlite3.Connection:
    """Open a database for writing; create it, readable by its owner alone, if it is missing.

    A file of an earlier version is brought up to this one, all or nothing.

    The connection is in autocommit mode (use ``transaction``) and may be used from any thread,
    by one at a time.

    Args:
        path: The file. Its folder has to exist.
        schema: What the file holds or, if empty, will hold.
        durable: Sync at every commit. False only for what can be made again from elsewhere.

    Raises:
        BadConfig: The file has another schema version, and there is no way across.
        Unavailable: The file cannot be opened, is no database, or the disk is full.
    """
    try:
        # SQLite would create it by the umask; token digests and signals are nobody else's.
        # Never open one that is there: POSIX drops all of a process's locks on a file when it
        # closes any descriptor of it, and another process would delete the log under SQLite.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise Unavailable(f"cannot open {path.name}: {error.strerror}") from error
    connection = _connect(path, "rwc")
    try:
        with storage_errors(path.name):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            _bring_up(connection, schema)
            _require(connection, schema, path)
        _identify(connection, path.name)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open a database that another process writes; nothing can be written through it.

    Raises:
        BadConfig: The file has another schema version.
        Unavailable: The file is missing, not made or brought up yet, cannot be opened or is no
            database.
    """
    connection = _connect(path, "ro")
    try:
        with storage_errors(path.name):
            connection.execute("PRAGMA query_only = ON")
            _require(connection, schema, path)
    except BaseException:
        connection.close()
        raise
    return connection


def identity_of(connection: sqlite3.Connection, name: str, known_as: str = _OWN) -> str:
    """Identity of a database, or of another one as this one remembers it; "" for none.

    Args:
        connection: A reader's or a writer's.
        name: What the database is called in an error.
        known_as: Name of the other one, as given to ``remember``.

    Raises:
        Unavailable: It cannot be read, or no writer of this version has opened it yet.
    """
    with storage_errors(name):
        rows = connection.execute("SELECT value FROM identity WHERE name = ?", (known_as,))
        found = rows.fetchone()
    return str(found[0]) if found else ""


def remember(connection: sqlite3.Connection, other: str, identity: str) -> None:
    """Note, within the caller's transaction, which database ``other`` has been read."""
    connection.execute("INSERT OR REPLACE INTO identity VALUES (?, ?)", (other, identity))


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path, None for none. Raises OSError if nobody can tell."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def expect_file(path: Path, opened: tuple[int, int] | None) -> None:
    """Refuse to go on writing into a file that lies at its path no more.

    Args:
        path: The database.
        opened: What ``file_at`` said when it was opened.

    Raises:
        Unavailable: It was deleted or replaced, or nobody can tell.
    """
    try:
        there = file_at(path)
    except OSError as error:
        raise Unavailable(f"cannot look at {path.name}: {error.strerror}") from error
    if there != opened:
        raise Unavailable(f"{path.name} was deleted or replaced while it was open")


def renew_identity(path: Path, schema: Schema, known: str) -> None:
    """Give a database an identity that no reader knows: it is another one from now on.

    Args:
        path: The file.
        schema: What it holds.
        known: Its present identity; if it has another already, nothing changes.

    Raises:
        Unavailable: It cannot be written.
    """
    connection = open_writer(path, schema)
    renewed = "UPDATE identity SET value = lower(hex(randomblob(16))) WHERE name = ? AND value = ?"
    try:
        with transaction(connection, path.name):
            connection.execute(renewed, (_OWN, known))
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """Write all or nothing: durable (if the connection is) when the block is left, else undone.

    Args:
        connection: A writer's.
        name: What the database is called in an error.

    Raises:
        Unavailable: The disk is full, the file damaged, or another writer holds it too long.
    """
    with storage_errors(name):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself; a second ROLLBACK would be an error.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def storage_errors(name: str) -> "_StorageErrors":
    """Turn what the disk or another process did into Unavailable; mistakes of ours pass through.

    Args:
        name: What the database is called in the error; never a full path.
    """
    return _StorageErrors(name)


class _StorageErrors:
    # Every look-up has one, and a generator of its own would cost a tenth of it.
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _OURS):
            raise Unavailable(f"{self._name}: {error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with storage_errors(path.name):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _bring_up(connection: sqlite3.Connection, schema: Schema) -> None:
    """Make what an empty file or one of an earlier version lacks, all or nothing."""
    if _version(connection) >= schema.version:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Two processes may start at once: whoever came second finds it done.
        found = _version(connection)
        for statement in schema.way_from(found) if found else schema.statements:
            connection.execute(statement)
        if not found or schema.way_from(found):
            connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _identify(connection: sqlite3.Connection, name: str) -> None:
    with storage_errors(name):
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'identity'").fetchone()
    if known is None:
        with transaction(connection, name):
            for statement in _IDENTITY:
                connection.execute(statement)


def _require(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    version = _version(connection)
    if version == 0:
        raise Unavailable(f"{path.name} is empty", hint="its writer has not started yet")
    if version < schema.version and schema.way_from(version):
        raise Unavailable(
            f"{path.name} is of an earlier Firedoor", hint="its writer has not started yet"
        )
    if version != schema.version:
        raise BadConfig(
            f"{path.name} has schema version {version}, this Firedoor knows {schema.version}",
            hint="run the Firedoor that wrote it, or restore the backup made before the upgrade",
        )
