"""The tables of judge.db, and the way there from earlier versions."""

from types import MappingProxyType

from firedoor.adapters.store.sqlite import Schema

_CHANNEL = """CREATE TABLE channel (
    name TEXT PRIMARY KEY, synced_ms INTEGER NOT NULL,
    error TEXT NOT NULL, failures INTEGER NOT NULL, blocked TEXT NOT NULL)"""

_CHANNEL_2 = """CREATE TABLE channel (
    name TEXT PRIMARY KEY, snapshot TEXT NOT NULL, synced_ms INTEGER NOT NULL,
    error TEXT NOT NULL, failures INTEGER NOT NULL, blocked TEXT NOT NULL)"""

# Apart from the state of the channel, which is read and written all the time.
_LOOKED = """CREATE TABLE looked (
    channel TEXT PRIMARY KEY, snapshot BLOB NOT NULL) WITHOUT ROWID"""

_LATE = """CREATE TABLE late (
    place INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
    machine INTEGER NOT NULL, ring TEXT NOT NULL, deck INTEGER NOT NULL,
    cls INTEGER NOT NULL, beating INTEGER NOT NULL, boot TEXT NOT NULL, since_ms INTEGER NOT NULL,
    counted INTEGER NOT NULL, wait TEXT NOT NULL)"""

_EFFECT = """CREATE TABLE effect (
    channel TEXT NOT NULL, number INTEGER NOT NULL, machine INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, number, machine)) WITHOUT ROWID"""

# Numbers are never used again: the gate goes on from the last one it has seen.
_REFUSAL = """CREATE TABLE refusal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, path TEXT NOT NULL,
    sha256 TEXT NOT NULL, gone INTEGER NOT NULL, error TEXT NOT NULL, at_ms INTEGER NOT NULL)"""

# Orders that wait for a second person; what is known of vulnerabilities, and which releases name.
_URGENT = (
    "CREATE TABLE asked (number INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE feed (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL)",
    "CREATE TABLE exploited (cve TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE named (
        release TEXT NOT NULL, cve TEXT NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (release, cve)) WITHOUT ROWID""",
    """CREATE TABLE searched (
        release TEXT PRIMARY KEY, error TEXT NOT NULL) WITHOUT ROWID""",
)
_PREFLIGHT = """CREATE TABLE preflight (
    release TEXT PRIMARY KEY, result TEXT NOT NULL, sentence TEXT NOT NULL,
    took_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID"""

SCHEMA = Schema(
    version=8,
    statements=(
        "CREATE TABLE cursor (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        _CHANNEL,
        _LOOKED,
        _REFUSAL,
        _PREFLIGHT,
        _EFFECT,
        """CREATE TABLE release (
            id TEXT PRIMARY KEY, channel TEXT NOT NULL, created_ms INTEGER NOT NULL,
            manifest BLOB NOT NULL, listing TEXT NOT NULL, size INTEGER NOT NULL,
            files INTEGER NOT NULL, renewed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
        """CREATE TABLE snapshot (
            seq INTEGER PRIMARY KEY, channel TEXT NOT NULL, release TEXT NOT NULL,
            seen_ms INTEGER NOT NULL, state TEXT NOT NULL)""",
        """CREATE TABLE boarding (
            channel TEXT NOT NULL, number INTEGER NOT NULL, release TEXT NOT NULL,
            body TEXT NOT NULL, seed TEXT NOT NULL, verdict TEXT NOT NULL,
            PRIMARY KEY (channel, number)) WITHOUT ROWID""",
        "CREATE INDEX boarding_of_release ON boarding (release)",
        """CREATE TABLE door (
            channel TEXT NOT NULL, number INTEGER NOT NULL, ring TEXT NOT NULL,
            body TEXT NOT NULL, PRIMARY KEY (channel, number, ring)) WITHOUT ROWID""",
        """CREATE TABLE deck (
            channel TEXT NOT NULL, number INTEGER NOT NULL, ring TEXT NOT NULL,
            deck INTEGER NOT NULL, body TEXT NOT NULL, opened_ms INTEGER NOT NULL,
            heard INTEGER NOT NULL, batch INTEGER NOT NULL, event INTEGER NOT NULL,
            closed INTEGER NOT NULL, looks TEXT NOT NULL DEFAULT '',
            told_ms INTEGER NOT NULL DEFAULT 0, began_ms INTEGER NOT NULL DEFAULT 0,
            spent TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (channel, number, ring, deck)) WITHOUT ROWID""",
        """CREATE TABLE cell (
            channel TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL,
            ring TEXT NOT NULL, deck INTEGER NOT NULL, epoch INTEGER NOT NULL,
            test TEXT NOT NULL, signal TEXT NOT NULL, stratum TEXT NOT NULL,
            treated INTEGER NOT NULL, control INTEGER NOT NULL,
            treated_harmed INTEGER NOT NULL, control_harmed INTEGER NOT NULL,
            installed INTEGER NOT NULL, age INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (channel, number, seq)) WITHOUT ROWID""",
        """CREATE TABLE harmed (
            place INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            machine INTEGER NOT NULL, treated INTEGER NOT NULL, signal TEXT NOT NULL,
            at_ms INTEGER NOT NULL, recovered_ms INTEGER NOT NULL DEFAULT 0,
            boot TEXT NOT NULL DEFAULT '', counted_ms INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX harmed_of_boarding ON harmed (channel, number)",
        _LATE,
        "CREATE INDEX late_of_boarding ON late (channel, number)",
        """CREATE TABLE track (
            seq INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            time_ms INTEGER NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX track_of_boarding ON track (channel, number)",
        "CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, signature BLOB NOT NULL)",
        "CREATE TABLE pin (channel TEXT, ring TEXT, number INTEGER, PRIMARY KEY (channel, ring))",
        "CREATE TABLE board (one INTEGER PRIMARY KEY, version INTEGER, body TEXT)",
        "CREATE TABLE tick (one INTEGER PRIMARY KEY, boot TEXT, mono_ms INTEGER, wall_ms INTEGER)",
        "CREATE TABLE answer (request INTEGER PRIMARY KEY, status TEXT, body TEXT)",
        *_URGENT,
    ),
    upgrades=MappingProxyType(
        {
            1: (
                "ALTER TABLE channel RENAME TO channel_1",
                _CHANNEL_2,
                # It did not say why. A block by two bad ends remembers the number of the second.
                """INSERT INTO channel SELECT name, snapshot, synced_ms, error, failures,
                    CASE WHEN NOT blocked THEN '' WHEN coalesce((SELECT value FROM cursor
                    WHERE cursor.name = 'bad-ends:' || channel_1.name), 0) THEN 'bad ends'
                    ELSE 'ledger lost' END FROM channel_1""",
                "DROP TABLE channel_1",
            ),
            2: (
                "ALTER TABLE cell ADD COLUMN age INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE deck ADD COLUMN looks TEXT NOT NULL DEFAULT ''",
                # Signals were merged by a mean, which stays what these boardings are judged by.
                """UPDATE boarding SET
                    body = replace(body, '"weights":', '"merging":"mean","shares":'),
                    verdict = replace(replace(verdict, '"weights":', '"merging":"mean","shares":'),
                        '"weight":', '"share":')""",
            ),
            3: (
                "ALTER TABLE release ADD COLUMN renewed INTEGER NOT NULL DEFAULT 0",
                _LATE,
                "CREATE INDEX late_of_boarding ON late (channel, number)",
            ),
            4: (
                "ALTER TABLE deck ADD COLUMN told_ms INTEGER NOT NULL DEFAULT 0",
                _LOOKED,
                """INSERT INTO looked SELECT name, CAST(snapshot AS BLOB) FROM channel
                    WHERE snapshot != ''""",
                "ALTER TABLE channel RENAME TO channel_4",
                _CHANNEL,
                """INSERT INTO channel SELECT name, synced_ms, error, failures, blocked
                    FROM channel_4""",
                "DROP TABLE channel_4",
                _REFUSAL,
            ),
            5: (
                "ALTER TABLE deck ADD COLUMN began_ms INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE deck ADD COLUMN spent TEXT NOT NULL DEFAULT ''",
                *_URGENT,
                _PREFLIGHT,
            ),
            6: (
                "ALTER TABLE harmed ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
                "ALTER TABLE harmed ADD COLUMN counted_ms INTEGER NOT NULL DEFAULT 0",
            ),
            7: (_EFFECT,),
        }
    ),
)
