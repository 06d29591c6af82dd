"""The tables of gate.db, and how those of earlier versions become these."""

from types import MappingProxyType

from firedoor.adapters.store.sqlite import Schema

# Derived: the gate counts anew once a bucket, so an upgrade may drop it.
_CENSUS = """CREATE TABLE census (
    channel TEXT NOT NULL, ring TEXT NOT NULL, active INTEGER NOT NULL,
    free INTEGER NOT NULL, polls REAL NOT NULL, untreated INTEGER NOT NULL,
    gap_ms INTEGER NOT NULL, unknown INTEGER NOT NULL, unknown_ms INTEGER NOT NULL,
    enrolled INTEGER NOT NULL, PRIMARY KEY (channel, ring)) WITHOUT ROWID"""
_LISTENED = "CREATE TABLE listened (one INTEGER PRIMARY KEY CHECK (one = 1), ms INTEGER NOT NULL)"

_FETCH = """CREATE TABLE fetch (
    channel TEXT NOT NULL, machine INTEGER NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL,
    seen_s INTEGER NOT NULL, sent_s INTEGER NOT NULL, boot TEXT NOT NULL,
    mono_ms INTEGER NOT NULL, number INTEGER NOT NULL, card INTEGER NOT NULL,
    state INTEGER NOT NULL, PRIMARY KEY (channel, machine, path)) WITHOUT ROWID"""
# Numbers are never used again: the mirror goes on from the last one it has seen.
_WANTED = """CREATE TABLE wanted (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, path TEXT NOT NULL,
    sha256 TEXT NOT NULL, size INTEGER NOT NULL, at_ms INTEGER NOT NULL)"""
_ASKED = """CREATE TABLE asked (
    channel TEXT NOT NULL, package TEXT NOT NULL, PRIMARY KEY (channel, package)) WITHOUT ROWID"""
# By package, for that is how it is asked: machines that have what a release changes.
_HAD = """CREATE TABLE had (
    channel TEXT NOT NULL, package TEXT NOT NULL, machine INTEGER NOT NULL,
    PRIMARY KEY (channel, package, machine)) WITHOUT ROWID"""
_REJECTION = """CREATE TABLE rejection (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
    machine INTEGER NOT NULL, path TEXT NOT NULL, boot TEXT NOT NULL,
    mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL)"""
# ADR 0037: places by machine, which follow once a bucket, and up to which row they have followed.
_BY_MACHINE = """CREATE TABLE place_by_machine (
    machine INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (machine, place)) WITHOUT ROWID"""
_BY_MACHINE_UPTO = """CREATE TABLE by_machine_upto (
    one INTEGER PRIMARY KEY CHECK (one = 1), place INTEGER NOT NULL)"""
_FRESH_PLACE = """CREATE VIEW fresh_place AS SELECT * FROM place
    WHERE id > (SELECT coalesce(max(place), 0) FROM by_machine_upto)"""

SCHEMA = Schema(
    version=7,
    statements=(
        """CREATE TABLE place (
            id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            ring TEXT NOT NULL, deck INTEGER NOT NULL, card INTEGER NOT NULL,
            machine INTEGER NOT NULL, treated INTEGER NOT NULL, cls INTEGER NOT NULL,
            beating INTEGER NOT NULL, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL, stratum TEXT NOT NULL DEFAULT '')""",
        "CREATE INDEX place_of_boarding ON place (channel, number)",
        _BY_MACHINE,
        _BY_MACHINE_UPTO,
        _FRESH_PLACE,
        """CREATE TABLE cut (
            id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            ring TEXT NOT NULL, deck INTEGER NOT NULL, drawn INTEGER NOT NULL,
            treated INTEGER NOT NULL, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL, UNIQUE (channel, number, ring, deck))""",
        """CREATE TABLE heard (
            seq INTEGER PRIMARY KEY, run TEXT NOT NULL, final INTEGER NOT NULL,
            boot TEXT NOT NULL, mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
            machines BLOB NOT NULL)""",
        """CREATE TABLE installed (
            id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL,
            machine INTEGER NOT NULL, boot TEXT NOT NULL DEFAULT '',
            mono_ms INTEGER NOT NULL DEFAULT 0, wall_ms INTEGER NOT NULL DEFAULT 0,
            UNIQUE (channel, number, machine))""",
        """CREATE TABLE standing (
            channel TEXT NOT NULL, machine INTEGER NOT NULL, number INTEGER NOT NULL,
            since_s INTEGER NOT NULL, PRIMARY KEY (channel, machine)) WITHOUT ROWID""",
        """CREATE TABLE habit (
            machine INTEGER PRIMARY KEY, first_wall INTEGER NOT NULL, last_wall INTEGER NOT NULL,
            sessions INTEGER NOT NULL, gaps BLOB NOT NULL)""",
        _CENSUS,
        _LISTENED,
        _FETCH,
        _REJECTION,
        _WANTED,
        _ASKED,
        _HAD,
        "CREATE TABLE obeyed (one INTEGER PRIMARY KEY CHECK (one = 1), board INTEGER NOT NULL)",
    ),
    upgrades=MappingProxyType(
        {
            1: ("DROP TABLE census",),
            2: (
                "DROP TABLE IF EXISTS census",
                _CENSUS,
                _LISTENED,
                # As far as the buckets that are kept tell, which is not above the truth.
                """INSERT INTO listened SELECT 1, coalesce(sum(ms), 0) FROM (
                    SELECT max(mono_ms) - min(mono_ms) AS ms FROM heard GROUP BY run, boot)""",
            ),
            3: ("ALTER TABLE place ADD COLUMN stratum TEXT NOT NULL DEFAULT ''",),
            # When those before it came is not known: before the gate that does the upgrade began.
            4: (
                "ALTER TABLE installed ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
                "ALTER TABLE installed ADD COLUMN mono_ms INTEGER NOT NULL DEFAULT 0",
                "ALTER TABLE installed ADD COLUMN wall_ms INTEGER NOT NULL DEFAULT 0",
            ),
            5: (_FETCH, _REJECTION, _WANTED, _ASKED, _HAD),
            6: (
                _BY_MACHINE,
                _BY_MACHINE_UPTO,
                _FRESH_PLACE,
                "INSERT INTO place_by_machine SELECT machine, id FROM place ORDER BY machine, id",
                "INSERT INTO by_machine_upto SELECT 1, coalesce(max(id), 0) FROM place",
                "DROP INDEX IF EXISTS place_of_machine",
            ),
        }
    ),
)
