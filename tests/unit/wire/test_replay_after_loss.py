"""A replay of a ledger whose gate.db was lost once: what is left is compared, and nothing hides."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from tests.loop import AV, Loop, memory
from tests.unit.wire.test_replaced import Vault

from firedoor.adapters.store import gate
from firedoor.adapters.store.judge import JudgeReader
from firedoor.core import valve
from firedoor.core.board import Grant
from firedoor.core.door import State
from firedoor.services.ledger import LOST
from firedoor.wire.replay import Replay, replay


@pytest.fixture
def audited() -> Iterator[Vault]:
    """Release 2 opened before the loss, 3 was in flight and goes on, 4 came afterwards."""
    with memory() as folder:
        loop = Loop(folder, 40, policy="delta = 0.4")
        loop.settle_in()
        made = Vault(loop)
        open_next(loop, 2)
        loop.publish("3")
        loop.bucket(12)
        assert loop.door(3).state is State.OPENING
        assert closed_decks(loop, 3)
        made.look()
        made.lose(gate.NAME)
        made.look()
        with made.court():
            assert made.ask("resume", release=loop.release_of(3))[0] == "ok"
            assert made.ask("unblock", channel=AV)[0] == "ok"
        loop.start_gate()
        loop.start_judge()
        until_open(loop, 3)
        open_next(loop, 4)
        yield made
        made.close()
        loop.close()


def open_next(loop: Loop, number: int) -> None:
    loop.publish(str(number))
    loop.bucket(2)
    until_open(loop, number)


def until_open(loop: Loop, number: int) -> None:
    for _ in range(120):
        if loop.door(number).state is State.OPEN:
            return
        loop.bucket()
    raise AssertionError(f"release {number} does not open: {loop.door(number)}")


def closed_decks(loop: Loop, number: int) -> list[int]:
    return [deck.deck for deck in loop.store.decks(AV, number) if deck.closed == -1]


def again(vault: Vault, release: str = "") -> Replay:
    with closing(JudgeReader(vault.files.data)) as judge:
        return replay(judge, vault.loop.gate, release=release)


def spoil(vault: Vault, name: str, statement: str, *values: int) -> None:
    """Change a database behind everybody's back."""
    with closing(sqlite3.connect(vault.files.data / name)) as database:
        assert database.execute(statement, values).rowcount == 1
        database.commit()


def losses(vault: Vault) -> list[int]:
    entries = (signed.entry for signed in vault.loop.store.entries())
    return [entry.index for entry in entries if LOST in entry.body]


def test_what_a_loss_took_away_is_counted_and_the_rest_is_compared(audited: Vault) -> None:
    """A replay that failed for good after one lost file would be run by nobody."""
    found = again(audited)
    decks = [deck for number in (2, 3, 4) for deck in audited.loop.store.decks(AV, number)]

    assert found.difference is None
    assert found.losses == losses(audited)
    assert found.unaudited >= 2
    assert found.decks + found.unaudited == len(decks)
    assert found.secret == 0
    # Release 4 came afterwards: of it everything is on record.
    after = again(audited, audited.loop.release_of(4))
    assert (after.difference, after.unaudited, after.losses) == (None, 0, [])
    assert after.decks == len(audited.loop.store.decks(AV, 4))


def test_a_card_that_is_missing_from_a_later_deck_is_still_found(audited: Vault) -> None:
    """An operator who lost the records once must not be free to lose more."""
    assert again(audited).difference is None
    (last,) = audited.loop.gate.places_of(AV, 4)[:1]
    spoil(audited, gate.NAME, "DELETE FROM place WHERE id = ?", last.id)

    found = again(audited)

    assert found.difference is not None
    assert "drew cards" in found.difference.what


def test_later_decks_of_the_release_that_was_in_flight_are_audited_too(audited: Vault) -> None:
    """The loss says which was the last deck before it."""
    (later,) = audited.loop.gate.places_of(AV, 3)[:1]
    lost = max(closed_decks(audited.loop, 3)[:1])
    assert later.place.deck > lost
    spoil(audited, gate.NAME, "DELETE FROM place WHERE id = ?", later.id)

    found = again(audited)

    assert found.difference is not None
    assert f"deck {later.place.deck} of ring" in found.difference.what


def test_of_a_deck_that_was_lost_everything_else_is_compared(audited: Vault) -> None:
    """Its key, and that nobody is on record who was not counted, need no lost record."""
    spoil(
        audited,
        "judge.db",
        'UPDATE deck SET body = replace(body, \'"key":"\', \'"key":"00\') '
        "WHERE number = 2 AND deck = 1",
    )

    found = again(audited)

    assert found.difference is not None
    assert "key that is not of the revealed seed" in found.difference.what


def test_who_is_on_record_in_a_lost_deck_is_still_compared_with_its_card(audited: Vault) -> None:
    """A record that somebody makes up afterwards has to fit the seed."""
    (deck, *_) = audited.loop.store.decks(AV, 2)
    grant = msgspec.json.decode(deck.grant, type=Grant)
    cards = valve.arrangement(bytes.fromhex(grant.key), valve.Deal(grant.treated, grant.cards))
    spoil(
        audited,
        gate.NAME,
        "INSERT INTO place SELECT NULL, channel, 2, ring, 1, 0, 99, ?, cls, beating, "
        "boot, mono_ms, wall_ms, stratum FROM place WHERE number = 4 AND deck = 1 AND card = 0",
        not cards[0],
    )

    found = again(audited)

    assert found.difference is not None
    assert "its card 0 is not" in found.difference.what
