import sqlite3
import stat
import subprocess
import sys

import pytest

from firedoor.adapters.store.sqlite import Schema, open_reader, open_writer, transaction
from firedoor.core.errors import BadConfig, Unavailable

SCHEMA = Schema(version=3, statements=("CREATE TABLE fact (n INTEGER PRIMARY KEY)",))


def facts(connection):
    return [n for (n,) in connection.execute("SELECT n FROM fact ORDER BY n")]


def test_a_database_is_made_once_and_found_again(tmp_path):
    """Restarting is the most ordinary thing a server does."""
    first = open_writer(tmp_path / "x.db", SCHEMA)
    with transaction(first, "x.db"):
        first.execute("INSERT INTO fact VALUES (1)")
    first.close()

    second = open_writer(tmp_path / "x.db", SCHEMA)

    assert facts(second) == [1]
    second.close()


def test_a_durable_writer_syncs_every_commit(tmp_path):
    """Acknowledged means durable: anything less than FULL loses commits at a power cut."""
    durable = open_writer(tmp_path / "x.db", SCHEMA)
    quick = open_writer(tmp_path / "y.db", SCHEMA, durable=False)

    assert durable.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert durable.execute("PRAGMA synchronous").fetchone() == (2,)
    assert quick.execute("PRAGMA synchronous").fetchone() == (1,)
    durable.close()
    quick.close()


def test_nobody_but_the_owner_can_read_a_database(tmp_path):
    """Token digests and health records are nobody else's, whatever the umask says."""
    connection = open_writer(tmp_path / "x.db", SCHEMA)
    with transaction(connection, "x.db"):
        connection.execute("INSERT INTO fact VALUES (1)")

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {0o600}
    connection.close()


def test_a_reader_sees_commits_at_once_and_can_write_nothing(tmp_path):
    """Judge and gate read what the intake writes; only the intake writes it."""
    writer = open_writer(tmp_path / "x.db", SCHEMA)
    reader = open_reader(tmp_path / "x.db", SCHEMA)
    with transaction(writer, "x.db"):
        writer.execute("INSERT INTO fact VALUES (7)")

    assert facts(reader) == [7]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO fact VALUES (8)")
    reader.close()
    writer.close()


def test_a_stopped_writers_database_can_be_read(tmp_path):
    """The command line looks at the signals of an intake that is down."""
    open_writer(tmp_path / "x.db", SCHEMA).close()

    reader = open_reader(tmp_path / "x.db", SCHEMA)

    assert facts(reader) == []
    reader.close()


def test_a_database_of_another_version_is_refused_not_misread(tmp_path):
    """A downgrade must stop with an explanation before it reads the first wrong column."""
    open_writer(tmp_path / "x.db", SCHEMA).close()

    for opening in (open_writer, open_reader):
        with pytest.raises(BadConfig, match="version 3, this Firedoor knows 2") as refusal:
            opening(tmp_path / "x.db", Schema(2, SCHEMA.statements))
        assert refusal.value.hint


@pytest.mark.parametrize("content", [None, b"", b"this is no database at all" * 100])
def test_what_cannot_be_read_is_unavailable_by_name_not_by_path(tmp_path, content):
    """A reader that starts before its writer tries again; the error shows no folder."""
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Unavailable, match=r"x\.db") as error:
        open_reader(path, SCHEMA)

    assert str(tmp_path) not in str(error.value)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path):
    """A data disk that was not mounted."""
    with pytest.raises(Unavailable):
        open_writer(tmp_path / "missing" / "x.db", SCHEMA)


def test_a_block_that_fails_leaves_nothing_behind(tmp_path):
    """All or nothing, also for errors that are not the database's."""
    connection = open_writer(tmp_path / "x.db", SCHEMA)

    def fail_half_way():
        with transaction(connection, "x.db"):
            connection.execute("INSERT INTO fact VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()

    assert facts(connection) == []
    assert not connection.in_transaction
    connection.close()


def test_a_full_disk_is_unavailable_and_the_connection_lives_on(tmp_path):
    """SQLite rolls back by itself on a full disk; the next transaction must work again."""
    connection = open_writer(tmp_path / "x.db", SCHEMA)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(Unavailable, match="full"), transaction(connection, "x.db"):
        connection.executemany("INSERT INTO fact VALUES (?)", ((n,) for n in range(10_000)))
    connection.execute("PRAGMA max_page_count = 100000")
    with transaction(connection, "x.db"):
        connection.execute("INSERT INTO fact VALUES (1)")

    assert facts(connection) == [1]
    connection.close()


def test_a_database_that_is_opened_twice_is_safe_from_other_processes(tmp_path):
    """A process that loses its locks has its log deleted by the next one that comes and goes."""
    path = tmp_path / "x.db"
    first = open_writer(path, SCHEMA)
    second = open_writer(path, SCHEMA)
    other = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        " print(db.execute('SELECT count(*) FROM fact').fetchone()[0]); db.close()"
    )

    def seen_by_another_process() -> str:
        command = [sys.executable, "-c", other, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    seen_by_another_process()
    with transaction(first, "x.db"):
        first.execute("INSERT INTO fact VALUES (1)")

    assert seen_by_another_process() == "1\n"
    first.close()
    second.close()


def test_a_mistake_of_ours_is_not_taken_for_an_outage(tmp_path):
    """A broken constraint is a bug to be found, not a reason to try again later."""
    connection = open_writer(tmp_path / "x.db", SCHEMA)

    with pytest.raises(sqlite3.IntegrityError), transaction(connection, "x.db"):
        connection.execute("INSERT INTO fact VALUES (1), (1)")

    assert facts(connection) == []
    connection.close()
