"""A judge that comes back from a backup, or meets an order it trips over, and goes on."""

import hashlib
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import msgspec
import pytest
from tests.loop import AV, ROOT_KEY, Loop, memory

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.keys.file import create_signing_key, load_public_key, public_path
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.signals import SignalReader
from firedoor.core import valve
from firedoor.core.door import Reason, State
from firedoor.core.errors import Unavailable
from firedoor.core.ledger.canonical import Json
from firedoor.core.ledger.chain import Head, verify_chain
from firedoor.core.ledger.entry import leaf_hash
from firedoor.core.release import FileEntry, media_type
from firedoor.core.units import Digest
from firedoor.ports import Fetched
from firedoor.services.ledger import BOARDED, MORE_RINGS, LedgerWriter
from firedoor.services.order import Order
from firedoor.services.snapshot import Snapshot
from firedoor.wire.alerts import Alert
from firedoor.wire.court import Court
from firedoor.wire.decisions import described
from firedoor.wire.files import Files
from firedoor.wire.head import keep_head, read_head
from firedoor.wire.mirroring import Mirror, Result
from firedoor.wire.replay import replay
from firedoor.wire.signing import Signatory

WITHIN_S = 20.0


class NamedBlobs(DiskBlobs):
    """The loop's releases have names and no bytes; nothing here is about bytes."""

    def claim(self, digest: Digest) -> bool:
        """Say yes, to whatever is a name."""
        return bool(self.path(digest))


class Bench:
    """The files of a loop, a backup of its judge, and a court that may be opened over them."""

    def __init__(self, loop: Loop) -> None:
        """The loop has lived for a while."""
        self.loop = loop
        self.files = Files(loop.config.data)
        self.inbox = InboxWriter(self.files.data)
        self.sign: Callable[[bytes], bytes] = lambda payload: hashlib.sha512(payload).digest()
        self.alert: Alert = lambda _: None
        self._backup = self.files.data / "backup.db"

    def back_up(self) -> None:
        """Copy the judge's database as it is now."""
        with (
            closing(sqlite3.connect(self.files.data / "judge.db")) as now,
            closing(sqlite3.connect(self._backup)) as copy,
        ):
            now.backup(copy)

    def keep(self) -> Head:
        """Keep the ledger's head, as the judge does with every step."""
        last = self.loop.store.entries()[-1].entry
        head = Head(last.index + 1, leaf_hash(last))
        keep_head(self.files.ledger_head, head)
        return head

    def restore(self) -> None:
        """Put the copy in the place of the database; an empty one where there is no copy."""
        self.loop.store.close()
        for path in self.files.data.glob("judge.db*"):
            path.unlink()
        if self._backup.exists():
            shutil.copy(self._backup, self.files.data / "judge.db")
        self.loop.store = JudgeStore(self.files.data)

    @contextmanager
    def court(self) -> Iterator[Mirror]:
        """The real judge in a thread of its own; nobody asks the vendor by himself."""
        with ExitStack() as stack:
            gate = stack.enter_context(closing(GateReader(self.files.data)))
            signals = stack.enter_context(closing(SignalReader(self.files.signals)))
            orders = stack.enter_context(closing(InboxReader(self.files.data)))
            config, clock = self.loop.config, self.loop.clock
            mirror = Mirror(config.channels, NamedBlobs(self.files.blobs), clock, lambda _: b"")
            store = self.loop.store
            court = Court(
                config,
                self.files,
                store=store,
                gate=gate,
                signals=signals,
                orders=orders,
                mirror=mirror,
                signatory=Signatory(
                    config.channels, self.loop.store, read=mirror.read, put=mirror.put
                ),
                sign=self.sign,
                root_key=lambda: ROOT_KEY,
                alert=self.alert,
                clock=clock,
            )
            stop = threading.Event()
            judge = threading.Thread(target=court.run, args=(stop,))
            judge.start()
            try:
                yield mirror
            finally:
                stop.set()
                judge.join(WITHIN_S)
                assert not judge.is_alive()

    def ask(self, verb: str, **fields: str) -> tuple[str, str]:
        """Put an order into the inbox, and wait for what the judge answers."""
        order = msgspec.convert({"verb": verb, "by": "Amira", **fields}, Order)
        return self.answer(self.inbox.put(order, self.loop.clock.wall_ms))

    def answer(self, number: int) -> tuple[str, str]:
        """Wait for the answer to an order."""
        with closing(JudgeReader(self.files.data)) as judge:
            for _ in range(int(WITHIN_S / 0.02)):
                found = judge.answer(number)
                if found is not None:
                    return found
                time.sleep(0.02)
        raise AssertionError("no answer came")

    def close(self) -> None:
        """Close what this opened."""
        self.inbox.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Twenty machines and an adopted release; nothing has been backed up."""
    with memory() as folder:
        loop = Loop(folder, 20)
        loop.settle_in()
        made = Bench(loop)
        yield made
        made.close()
        loop.close()


def snapshot(version: str) -> Snapshot:
    """What the vendor offers, as ``Loop.publish`` makes it."""
    fetched = {}
    for path, text in {"av.db": version, "README.txt": "always the same"}.items():
        digest = Digest(hashlib.sha256(text.encode()).hexdigest())
        fetched[path] = Fetched(FileEntry(digest, len(text), media_type(path)), "")
    return Snapshot.of(fetched)


def lose_a_day(bench: Bench) -> Head:
    """Back up with release 2 in flight; then it is shut, and 3 reaches machines; restore."""
    loop = bench.loop
    bad = loop.publish("2")
    loop.bucket(2)
    bench.back_up()
    loop.order("shut", release=bad)
    loop.publish("3")
    loop.bucket(3)
    assert loop.treated(3)
    head = bench.keep()
    bench.restore()
    return head


def blocked(bench: Bench) -> bool:
    """Whether the channel boards nothing by itself."""
    return bool(bench.loop.store.channel(AV).blocked)


# A restored ledger


def test_after_a_restore_nothing_in_flight_goes_on_by_itself(bench):
    """The lost entries may have shut it; only a person can know."""
    head = lose_a_day(bench)

    with bench.court():
        bench.ask("sync", channel=AV)

    (door,) = bench.loop.store.doors(AV, 2)
    alerts = [s.entry.body for s in bench.loop.store.entries() if s.entry.body.get("alert")]
    assert (door.state, door.reason) == (State.HELD, Reason.RESTORED)
    assert blocked(bench)
    assert f"of {head.size} entries" in str(alerts[-1]["note"])


def test_the_head_of_the_lost_ledger_is_kept_as_a_proof(bench):
    """Whoever holds it can show that entries existed which nobody has any more."""
    head = lose_a_day(bench)

    with bench.court():
        bench.ask("sync", channel=AV)

    last = bench.loop.store.entries()[-1].entry
    assert read_head(bench.files.ledger_head.with_suffix(".lost")) == head
    assert read_head(bench.files.ledger_head) == Head(last.index + 1, leaf_hash(last))


def test_a_number_that_machines_have_seen_is_never_given_again(bench):
    """Two releases with one number would be one release to the gate."""
    lose_a_day(bench)

    with bench.court() as mirror:
        bench.ask("sync", channel=AV)
        mirror.results.put(Result(AV, snapshot("3"), ""))
        bench.ask("sync", channel=AV)
        assert [b.number for b in bench.loop.store.boardings(AV)] == [1, 2]
    bench.loop.flush()  # The gate obeys the restored judge's board, and has counted under it.
    with bench.court():
        assert bench.ask("unblock", channel=AV, reason="looked")[0] == "ok"

    newest = bench.loop.store.boardings(AV)[-1]
    known = {p.place.number for p in bench.loop.gate.places_after(0)}
    known |= {stored.cut.number for stored in bench.loop.gate.cuts_after(0)}
    assert 3 in known
    assert newest.number == max(known) + 1


def test_the_same_number_after_the_same_backup_has_another_seed(bench):
    """A seed that was revealed once must not choose the machines of a later boarding."""
    loop = bench.loop
    bench.back_up()
    commitments = []
    for version in ("2", "2b"):
        with bench.court() as mirror:
            mirror.results.put(Result(AV, snapshot(version), ""))
            bench.ask("sync", channel=AV)
            bench.ask("sync", channel=AV)
        boarding = loop.store.boardings(AV)[-1]
        assert boarding.number == 2
        seed = valve.boarding_seed(ROOT_KEY, AV, 2, boarding.nonce)
        assert boarding.commitment == valve.seed_commitment(seed)
        commitments.append(boarding.commitment)
        bench.restore()
        bench.files.ledger_head.unlink()

    assert len(set(commitments)) == 2


def test_a_channel_stays_blocked_after_a_restore_although_its_newest_release_is_open(bench):
    """That it is open is what the backup says; what was shut since is what nobody knows."""
    bench.back_up()
    bench.loop.order("shut", release=bench.loop.publish("2"))
    bench.keep()
    bench.restore()

    with bench.court() as mirror:
        mirror.results.put(Result(AV, snapshot("2"), ""))
        bench.ask("sync", channel=AV)
        bench.ask("sync", channel=AV)

    assert blocked(bench)
    assert [b.number for b in bench.loop.store.boardings(AV)] == [1]


def test_what_people_asked_before_the_restore_relaxes_nothing_after_it(bench):
    """An old order lies in the inbox still, and the restored judge has not answered it."""
    bench.back_up()
    asked = bench.inbox.put(Order(verb="unblock", by="Amira", channel=AV), 0)
    bench.loop.order("shut", release=bench.loop.publish("2"))
    bench.keep()
    bench.restore()

    with bench.court():
        status, _ = bench.answer(asked)
        bench.ask("sync", channel=AV)

    assert status == "Unavailable"
    assert blocked(bench)


def test_a_shut_that_was_asked_before_the_restore_still_holds(bench):
    """Protecting twice harms nobody."""
    release = bench.loop.publish("2")
    bench.loop.bucket()
    bench.back_up()
    asked = bench.inbox.put(Order(verb="shut", by="Amira", release=release), 0)
    bench.loop.order("shut", release=release)
    bench.keep()
    bench.restore()

    with bench.court():
        assert bench.answer(asked)[0] == "ok"

    assert [door.state for door in bench.loop.store.doors(AV, 2)] == [State.SHUT]


def test_an_empty_database_beside_a_head_adopts_nothing(bench):
    """What upstream offers now may be the very release that was shut yesterday."""
    bench.keep()
    bench.restore()

    with bench.court() as mirror:
        mirror.results.put(Result(AV, snapshot("bad"), ""))
        bench.ask("sync", channel=AV)
        bench.ask("sync", channel=AV)
        assert bench.loop.store.boardings(AV) == []
        assert bench.ask("unblock", channel=AV, reason="looked")[0] == "ok"

    (boarding,) = bench.loop.store.boardings(AV)
    assert [door.reason for door in bench.loop.store.doors(AV, boarding.number)] == [Reason.ADOPTED]


def test_a_ledger_as_long_as_the_kept_one_but_another_is_found(bench):
    """A backup that lived on for a while has the length, and not the entries."""
    head = bench.keep()
    keep_head(bench.files.ledger_head, Head(head.size, Digest("ab" * 32)))

    with bench.court():
        bench.ask("sync", channel=AV)

    assert blocked(bench)
    assert bench.files.ledger_head.with_suffix(".lost").exists()


def test_a_ledger_that_has_grown_since_the_head_was_kept_is_no_restored_one(bench):
    """A crash between the ledger and the head leaves an older head, which is no harm."""
    bench.keep()
    bench.loop.order("pin", channel=AV, release=bench.loop.release_of(1))

    with bench.court():
        bench.ask("sync", channel=AV)

    assert not blocked(bench)
    assert not bench.files.ledger_head.with_suffix(".lost").exists()


def test_a_judge_that_cannot_write_the_hold_down_tries_again(bench):
    """The head must outlive the failure, or the next start would know of nothing."""
    lose_a_day(bench)
    failures = [Unavailable("no signature for a moment")]

    def first_fail(payload: bytes) -> bytes:
        if failures:
            raise failures.pop()
        return hashlib.sha512(payload).digest()

    bench.sign = first_fail
    with bench.court():
        bench.ask("sync", channel=AV)

    (door,) = bench.loop.store.doors(AV, 2)
    assert (door.state, door.reason) == (State.HELD, Reason.RESTORED)
    assert blocked(bench)


# Orders that the judge trips over


def test_an_order_that_trips_is_answered_and_the_next_one_is_carried_out(bench):
    """One order of a million must not stop the judge at every start."""
    release = bench.loop.release_of(1)
    right = bench.loop.clock.wall_ms

    with bench.court():
        bench.ask("sync", channel=AV)
        # A host whose clock lost its battery: the ledger refuses an entry from before 1970.
        bench.loop.clock.wall_ms = -1
        status, body = bench.ask("pin", channel=AV, release=release)
        bench.loop.clock.wall_ms = right
        assert status == "Unavailable"
        assert "log of the judge" in json.loads(body)["error"]
        assert not bench.loop.store.pins(AV)
        assert bench.loop.store.cursor("request") == 2
        assert bench.ask("pin", channel=AV, release=release)[0] == "ok"

    assert set(bench.loop.store.pins(AV)) == {"everyone"}


@pytest.mark.parametrize(
    "body", ["half an ord", '{"verb":"hold"}', '{"verb":"sync","by":"A","of_the_future":1}']
)
def test_an_order_that_cannot_be_read_is_answered_and_the_next_one_is_carried_out(bench, body):
    """A console of another version may write what this judge does not know."""
    with closing(sqlite3.connect(bench.files.data / "console.db")) as database:
        database.execute("INSERT INTO request VALUES (NULL, 0, ?)", (body,))
        database.commit()

    with bench.court():
        assert bench.answer(1)[0] == "BadInput"
        assert bench.ask("sync", channel=AV)[0] == "ok"


# Many rings


def test_a_release_boards_a_hundred_and_twenty_rings(tmp_path):
    """A chain of shops has a ring for each region; the ledger's entries have bounds."""
    names = [f"region-{number:03d}-of-the-chains" for number in range(120)]
    assert {len(name) for name in names} == {24}
    rings = "".join(f'[[ring]]\nname = "{n}"\nmachines = {{ site = ["{n}"] }}\n' for n in names)
    with memory() as folder:
        loop = Loop(folder, 20, rings=rings, policy="delta = 0.5")
        signer = create_signing_key(tmp_path / "ledger.pem")
        loop.judge.ledger = LedgerWriter(loop.store, signer.sign)
        loop.ring = dict.fromkeys(loop.machines, names[99])
        loop.settle_in()
        loop.publish("2")
        loop.order("expedite", release=loop.release_of(2), reason="x", budget=9, ring=names[99])
        loop.bucket(60)

        entries = loop.store.entries()
        mine = [s.entry for s in entries if s.entry.body.get("number") == 2]
        told = [entry for entry in mine if entry.kind in (BOARDED, MORE_RINGS)]
        assert [entry.kind for entry in told] == [BOARDED] + 6 * [MORE_RINGS]
        assert {ring for entry in told for ring in _rings(entry.body)} == {*names, "everyone"}
        assert verify_chain(entries, load_public_key(public_path(tmp_path / "ledger.pem"))).sound
        sentence = described(told[-1], lambda *_: "").sentence
        assert "ring everyone is" in sentence and "kind" not in sentence
        assert loop.door(2, names[99]).reason is Reason.CLEARED
        found = replay(JudgeReader(loop.config.data), loop.gate)
        assert found.difference is None
        assert (found.boardings, found.secret) == (2, 0)
        assert found.decisions >= 2
        loop.close()


def _rings(body: Mapping[str, Json]) -> list[str]:
    rings = body["rings"]
    return list(rings) if isinstance(rings, Mapping) else []
