"""judge.db and console.db: what is decided is durable as a whole, and is read back as it was."""

import dataclasses

import pytest

from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.core.board import Board, ChannelBoard, Grant, Lane, Withdrawn
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door, Reason, State
from firedoor.core.errors import Unavailable
from firedoor.core.evidence import past
from firedoor.core.ledger.entry import GENESIS, Entry, Signed, leaf_hash
from firedoor.core.release import FileEntry
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import Digest, UnixMs
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.order import Order
from firedoor.services.records import Block, ChannelState, Harmed, StoredDeck, StoredRelease

RELEASE = "c" * 64
DOOR = Door(
    channel="av",
    number=2,
    ring="tills",
    release=RELEASE,
    previous="b" * 64,
    budget=5,
    state=State.HELD,
    reason=Reason.BUDGET_SPENT,
    since_ms=UnixMs(1_721_362_140_000),
    by="Amira",
    note="half a note: ½ 防火门",
    judged=False,
    was_held=True,
)
TERMS = resolve(Policy(), 50)


@pytest.fixture
def store(tmp_path):
    opened = JudgeStore(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path, store):  # noqa: ARG001 - the store makes the file
    opened = JudgeReader(tmp_path)
    yield opened
    opened.close()


def boarding(number=2, **changes):
    plain = Boarding(
        channel="av",
        number=number,
        release=RELEASE,
        previous=1,
        boarded_ms=UnixMs(1_721_362_140_000),
        commitment="d" * 64,
        terms={"tills": TERMS, "everyone": dataclasses.replace(TERMS, budget=1)},
        rules=rules_for(TERMS, reporting=9),
    )
    return dataclasses.replace(plain, **changes)


def cell(seq, **changes):
    plain = Cell(seq, "tills", 1, 0, Test.CLEARANCE, "any", "", 5, 45, 1, 2, installed=4, age=3)
    return dataclasses.replace(plain, **changes)


def signed(index, previous=GENESIS, **body):
    entry = Entry(index, UnixMs(1_000 + index), "note", {"channel": "av", **body}, previous)
    return Signed(entry, bytes([index]) * 64)


# Steps


def test_a_step_is_all_or_nothing(store, reader):
    """A decision, the cells it rests on and the board that carries it out belong together."""
    with pytest.raises(RuntimeError):
        fail_in_the_middle(store)

    assert reader.doors("av", 2) == reader.cells("av", 2) == reader.entries() == []
    assert reader.boardings("av") == reader.snapshots("av") == []
    assert reader.board() == Board()
    assert reader.cursor("heard") == 0


def fail_in_the_middle(store):
    with store.step():
        write_everything(store)
        raise RuntimeError("in the middle")


def write_everything(store):
    store.add_boarding(boarding())
    store.put_door(DOOR)
    store.add_cell("av", 2, cell(1))
    store.add_entry(signed(0))
    store.add_snapshot("av", RELEASE, 5, "waiting")
    store.put_board(Board(3))
    store.put_cursor("heard", 7)


def test_nobody_sees_half_a_step(store, reader):
    """The gate reads while the judge writes."""
    with store.step():
        write_everything(store)
        assert reader.doors("av", 2) == []
        assert store.doors("av", 2) == [DOOR]

    assert reader.doors("av", 2) == [DOOR]
    assert reader.cursor("heard") == 7


def test_two_readings_within_a_snapshot_are_of_one_moment(store, reader):
    """A page must not mix yesterday's door with today's verdict."""
    with store.step():
        write_everything(store)
    with reader.snapshot():
        before = reader.doors("av", 2)
        with store.step():
            store.put_door(dataclasses.replace(DOOR, state=State.SHUT))
            store.add_cell("av", 2, cell(2))
        assert reader.doors("av", 2) == before
        assert len(reader.cells("av", 2)) == 1

    assert reader.doors("av", 2)[0].state is State.SHUT


def test_a_reader_notices_every_step(store, reader):
    """The gate asks twenty times a second."""
    before = reader.version()
    with store.step():
        store.put_tick("boot-1", 5, 6)

    assert reader.version() != before
    assert reader.last_tick() == ("boot-1", 5, 6)


# What goes in comes out


def test_a_door_comes_back_as_it_was(store, reader):
    """With the name and the words of whoever moved it."""
    with store.step():
        store.put_door(DOOR)
        store.put_door(dataclasses.replace(DOOR, ring="lab"))
        store.put_door(dataclasses.replace(DOOR, number=3))

    found = {door.ring: door for door in reader.doors("av", 2)}
    assert found == {"tills": DOOR, "lab": dataclasses.replace(DOOR, ring="lab")}


def test_a_boarding_comes_back_with_its_terms_and_rules(store, reader):
    """The guarantee that was given must not change with the program that reads it."""
    with store.step():
        store.add_boarding(boarding(2))
        store.add_boarding(boarding(10))
        store.add_boarding(boarding(1, channel="fw", release="e" * 64))

    assert reader.boardings("av") == [boarding(2), boarding(10)]
    assert reader.boarding("av", 2) == boarding(2)
    assert reader.boarding("av", 4) is None
    assert reader.boardings_of(RELEASE) == [boarding(2), boarding(10)]


def test_a_boarding_cannot_be_stored_twice(store):
    """Two releases under one number would share decks and places."""
    with store.step():
        store.add_boarding(boarding())

    with pytest.raises(Exception, match="UNIQUE"), store.step():
        store.add_boarding(boarding())


def test_looks_are_summed_to_what_their_cells_are(store, reader):
    """Fifty past releases are read when one boards, and a long one has ten thousand cells."""
    cells = [
        cell(n, test=list(Test)[n % 3], treated_harmed=n % 4, age=n % 5, ring="ab"[n % 2])
        for n in range(1, 91)
    ]
    with store.step():
        for each in cells:
            store.add_cell("av", 2, each)

    looks = reader.looks("av", 2)
    assert past.summed([looks]) == past.summed([cells]) != ()
    assert len(looks) == len({(c.ring, c.test, c.signal, c.age) for c in looks}) < len(cells)


def test_cells_come_back_in_order_and_none_is_written_twice(store, reader):
    """The verdict is a fold over them: an order, no gap, no repeat."""
    cells = [cell(n, test=list(Test)[n % 2], treated_harmed=n % 3) for n in range(1, 12)]
    with store.step():
        for each in reversed(cells):
            store.add_cell("av", 2, each)
    with pytest.raises(Exception, match="UNIQUE"), store.step():
        store.add_cell("av", 2, cell(4))

    assert reader.cells("av", 2) == cells
    assert reader.cells("av", 2, 5) == cells[:5]
    assert reader.cells_after("av", 2, 5, 3) == cells[5:8]
    assert reader.cells("av", 3) == []


def test_decks_keep_where_reading_has_to_begin_again(store, reader):
    """A judge that is started again judges the same."""
    deck = StoredDeck("tills", 1, '{"deck":1}', 5, heard=7, batch=8, event=9, closed=0)
    with store.step():
        store.put_deck("av", 2, deck)
        store.put_deck("av", 2, dataclasses.replace(deck, deck=2))
        store.close_deck("av", 2, "tills", 1, 5)
        store.close_deck("av", 2, "tills", 2, -1)

    assert [(d.deck, d.closed) for d in reader.decks("av", 2)] == [(1, 5), (2, -1)]
    assert dataclasses.replace(reader.decks("av", 2)[0], closed=0) == deck


def test_the_harmed_are_listed_and_may_recover(store, reader):
    """The list of patients is what an operator works off."""
    one = Harmed(11, 3, True, "silence", at_ms=5, recovered_ms=0)
    two = Harmed(12, 4, False, "crash", at_ms=6, recovered_ms=0)
    with store.step():
        for each in (two, one):
            store.add_harmed("av", 2, each)
        store.recover(11, 99)

    assert reader.harmed("av", 2) == [dataclasses.replace(one, recovered_ms=99), two]


def test_a_release_is_stored_once_with_its_manifest(store, reader):
    """Immutable: a second mirror of the same content changes nothing."""
    manifest = {"ü/a.db": FileEntry(Digest("f" * 64), 7, "application/octet-stream")}
    first = StoredRelease(RELEASE, "av", 5, "SHA256SUMS", 7, 1)
    with store.step():
        store.add_release(first, manifest)
        store.add_release(dataclasses.replace(first, created_ms=9), {})

    assert reader.release(RELEASE) == first
    assert reader.manifest(RELEASE) == manifest
    assert reader.releases("av") == reader.matching("ccc") == [first]
    assert (reader.release("0" * 64), reader.manifest("0" * 64)) == (None, {})


def test_what_upstream_renews_is_another_manifest_of_the_same_release(store, reader):
    """A suite that is signed anew; whoever serves it has to see that it was."""
    one, two = (
        {"dists/stable/InRelease": FileEntry(Digest(digit * 64), 7, "text/plain")} for digit in "ab"
    )
    with store.step():
        for release in ("r1", "r2"):
            store.add_release(StoredRelease(release, "debian", 5, "", 7, 1), one)
        store.renew_release("r2", two)
        store.renew_release("r1", two)

    assert reader.manifest("r1") == reader.manifest("r2") == two
    assert reader.renewed_after(0) == [(1, "r2"), (2, "r1")]
    assert reader.renewed_after(1) == [(2, "r1")]
    assert reader.release("r1").created_ms == 5


def test_snapshots_come_in_the_order_they_were_seen(store, reader):
    """The newest boards; those between are skipped."""
    with store.step():
        for release in ("r1", "r2", "r1"):
            store.add_snapshot("av", release, 5, "waiting")
        store.set_snapshot(2, "skipped")

    assert [(s.release, s.state) for s in reader.snapshots("av")] == [
        ("r1", "waiting"),
        ("r2", "skipped"),
        ("r1", "waiting"),
    ]


@pytest.mark.parametrize("blocked", list(Block))
def test_the_state_of_a_channel_comes_back_as_it_was(store, reader, blocked):
    """Also what is true and what is false, for it is told as JSON."""
    state = ChannelState("av", 5, "refused", 3, blocked)
    with store.step():
        store.put_channel(state)

    assert reader.channel("av") == state
    assert reader.channel("av").blocked is blocked
    assert reader.channel("fw") == ChannelState("fw")


def test_the_last_snapshot_of_a_channel_comes_back_as_it_was(store, reader):
    """It is large, so it is kept apart from what is written with every look."""
    assert reader.last_snapshot("av") == b""
    for snapshot in (b"one", b"one", b"two"):
        with store.step():
            store.put_last_snapshot("av", snapshot)
            store.put_last_snapshot("fw", b"other")

        assert reader.last_snapshot("av") == snapshot

    assert reader.last_snapshot("fw") == b"other"


def test_the_ledger_comes_back_to_the_byte(store, reader):
    """Its hashes are checked by others."""
    first = signed(0, note="½")
    second = signed(1, leaf_hash(first.entry))
    assert store.last_index() == -1
    with store.step():
        store.add_entry(first)
        store.add_entry(second)

    assert reader.entries() == [first, second]
    assert reader.entries(after=0) == reader.entries(after=0, limit=5) == [second]
    assert reader.entries(limit=1) == [first]
    assert reader.last_index() == 1


def test_a_place_in_the_ledger_is_taken_once(store):
    """Two judges cannot both write the next entry."""
    with store.step():
        store.add_entry(signed(0))

    with pytest.raises(Exception, match="UNIQUE"), store.step():
        store.add_entry(signed(0, note="another"))


def test_a_board_comes_back_with_all_it_says(store, reader):
    """The gate obeys nothing else."""
    grant = Grant(3, 50, 5, "ab" * 32, 60_000)
    lane = Lane("tills", 1, 2, grant, 2, ((2, 5), (3, 0)), (4, 5))
    board = Board(
        7,
        (
            ChannelBoard(
                "av", (lane, Lane("lab", 0)), ((1, RELEASE),), (Withdrawn(2, "lab", grant),)
            ),
        ),
    )
    with store.step():
        store.put_board(Board(6))
        store.put_board(board)

    assert reader.board() == board


def test_pins_verdicts_seeds_tracks_and_cursors_are_kept(store, reader):
    """Small things that somebody looks for at night."""
    with store.step():
        store.add_boarding(boarding())
        assert (store.last_verdict("av", 2), store.seed("av", 2)) == ("", "")
        store.put_verdict("av", 2, '{"a":1}')
        store.reveal("av", 2, "ab")
        store.put_pin("av", "tills", 2)
        store.put_pin("av", "lab", 2)
        store.put_pin("av", "lab", 0)
        store.add_track("av", 2, 5, "x")
        store.add_track("av", 2, 6, "y")
        store.put_cursor("heard", 5)
        store.put_cursor("heard", 6)

    assert reader.last_verdict("av", 2) == '{"a":1}'
    assert reader.seed("av", 2) == "ab"
    assert reader.pins("av") == {"tills": 2}
    assert reader.pins("fw") == {}
    assert [(p.time_ms, p.body) for p in reader.track("av", 2)] == [(5, "x"), (6, "y")]
    assert [p.body for p in reader.track("av", 2, after=1)] == ["y"]
    assert (reader.cursor("heard"), reader.cursor("other")) == (6, 0)


def test_before_the_first_step_there_is_an_empty_board_and_no_tick(reader):
    """The gate may be up first: it serves nothing and admits nobody."""
    assert reader.board() == Board()
    assert reader.last_tick() is None


def test_a_reader_without_a_file_is_told_to_wait(tmp_path):
    """The judge has never run."""
    with pytest.raises(Unavailable):
        JudgeReader(tmp_path)


# Orders


def test_orders_come_in_the_order_they_were_given(tmp_path):
    """Hold and resume are not the same as resume and hold."""
    console = InboxWriter(tmp_path)
    judge = InboxReader(tmp_path)
    hold = Order("hold", "Amira", release=RELEASE, reason="½")
    more = Order("expedite", "Bo", release=RELEASE, budget=5, approved_by="Amira")
    before = judge.version()

    numbers = [console.put(hold, 5), console.put(more, 6)]

    assert judge.version() != before
    assert judge.after(0) == list(zip(numbers, [hold, more], strict=True))
    assert judge.after(numbers[0]) == [(numbers[1], more)]
    console.close()
    judge.close()


def test_an_answer_belongs_to_its_request(store, reader):
    """The console waits for it by number."""
    with store.step():
        store.put_answer(7, "ok", "{}")

    assert reader.answer(7) == ("ok", "{}")
    assert reader.answer(8) is None
