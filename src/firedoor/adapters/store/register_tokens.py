"""Tokens as the register makes and keeps them: their digests, and to whom they belong."""

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Final

from firedoor.adapters.store.register_schema import INDEX_BY_MACHINE, Enrolment
from firedoor.core.machine import TOKEN_ENTROPY_BYTES, Purpose, spell_tokens, token_digest
from firedoor.core.units import UnixMs

_BULK: Final = 100_000


def fresh_tokens(purpose: Purpose, count: int) -> Sequence[str]:
    """Make so many tokens, in clear."""
    # One request for all the entropy: a million small ones would take most of the time.
    return spell_tokens(purpose, secrets.token_bytes(TOKEN_ENTROPY_BYTES * count))


def add_tokens(
    connection: sqlite3.Connection, enrolments: Sequence[Enrolment], now: UnixMs
) -> None:
    """Keep the digests of what was enrolled, within the caller's transaction."""
    rows = [(token_digest(e.read), e.no, Purpose.READ.value, now) for e in enrolments]
    rows += [(token_digest(e.signal), e.no, Purpose.SIGNAL.value, now) for e in enrolments]
    # In order of the key a million digests fill the tree page by page; in that order the
    # index by machine would be filled at random, so it is made afresh instead.
    rows.sort()
    bulk = len(rows) >= _BULK
    if bulk:
        connection.execute("DROP INDEX token_machine")
    connection.executemany(
        "INSERT INTO token (digest, machine, purpose, created) VALUES (?, ?, ?, ?)", rows
    )
    if bulk:
        connection.execute(INDEX_BY_MACHINE)
