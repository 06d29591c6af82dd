import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateReader, GateWriter
from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.adapters.store.signals import SignalDatabase, SignalReader
from firedoor.config import Config, from_text
from firedoor.console.model import Outcome, Verb
from firedoor.core.door import Reason, State
from firedoor.core.errors import (
    BadInput,
    FiredoorError,
    IllegalTransition,
    NotAllowed,
    NotFound,
    Unavailable,
)
from firedoor.services.records import Bucket
from firedoor.wire.court import Court
from firedoor.wire.files import Files
from firedoor.wire.mirroring import Mirror
from firedoor.wire.requests import Inbox
from firedoor.wire.signing import Signatory

CHANNEL = "tills-av"
WITHIN_S = 20.0
REASON: Mapping[str, object] = {"reason": "seen trouble"}

CONFIG = """
data = "data"
[time]
bucket = "100ms"
heartbeat = "1s"
silence_min = "2s"
settle = "100ms"
[policy]
expedite_needs_two = true
[[channel]]
name = "tills-av"
kind = "files"
upstream = "{upstream}"
"""

_T = TypeVar("_T")


@dataclass
class House:
    """A real judge in a thread of its own, over a vendor's directory, and a gate to be played."""

    config: Config
    files: Files
    gate: GateWriter
    clock: SystemClock
    vendor: Path
    judge: threading.Thread
    stop: threading.Event
    mirror: Mirror

    def open_judge(self) -> None:
        """Start it, and wait until the first release is adopted."""
        self.mirror.start()
        self.judge.start()

    def obey(self) -> int:
        """The gate acts on the newest board and says so."""
        reader = JudgeReader(self.config.data)
        board = reader.board().version
        reader.close()
        self.gate.flush(Bucket("run", False, (), (), (), (), (), board), self.clock.now())
        return board

    def close(self) -> None:
        """Stop everything that was started."""
        self.stop.set()
        self.mirror.stop()
        if self.judge.ident is not None:
            self.judge.join(WITHIN_S)
            assert not self.judge.is_alive()
        self.gate.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "av.db").write_text("1")
    config = from_text(CONFIG.format(upstream=vendor), base=tmp_path)
    config.data.mkdir()
    files, clock, stop = Files(config.data), SystemClock(), threading.Event()
    SignalDatabase(files.signals).close()
    InboxWriter(config.data).close()
    store, gate = JudgeStore(config.data), GateWriter(config.data)
    reads = (GateReader(config.data), SignalReader(files.signals), InboxReader(config.data))
    mirror = Mirror(config.channels, DiskBlobs(files.blobs), clock, lambda _: b"")
    court = Court(
        config,
        files,
        store=store,
        gate=reads[0],
        signals=reads[1],
        orders=reads[2],
        mirror=mirror,
        signatory=Signatory(config.channels, store, read=mirror.read, put=mirror.put),
        sign=lambda payload: hashlib.sha512(payload).digest(),
        root_key=lambda: b"k" * 32,
        alert=lambda _: None,
        clock=clock,
    )
    judge = threading.Thread(target=court.run, args=(stop,))
    house = House(config, files, gate, clock, vendor, judge, stop, mirror)
    yield house
    house.close()
    for each in (*reads, store):
        each.close()


def asking(
    house: House,
    talk: Callable[[Inbox], Awaitable[_T]],
    *,
    gate: bool = True,
    answer_within_s: float = WITHIN_S,
) -> _T:
    """Talk to the judge; a gate that runs obeys every board within an instant."""

    async def obey() -> None:
        while True:
            house.obey()
            await asyncio.sleep(0.02)

    async def run() -> _T:
        writer = InboxWriter(house.config.data)
        inbox = Inbox(
            house.config,
            house.files,
            writer,
            house.clock,
            answer_within_s=answer_within_s,
            force_within_s=WITHIN_S if gate else 0.05,
        )
        playing = asyncio.create_task(obey()) if gate else None
        try:
            return await talk(inbox)
        finally:
            if playing is not None:
                playing.cancel()
            inbox.close()
            writer.close()

    return asyncio.run(run())


def orders_left(data: Path) -> int:
    """How many orders lie in the judge's inbox."""
    reader = InboxReader(data)
    count = len(reader.after(0))
    reader.close()
    return count


async def first_release(house: House) -> str:
    """Id of the adopted release, as soon as there is one."""
    reader = JudgeReader(house.config.data)
    try:
        for _ in range(1000):
            boardings = reader.boardings(CHANNEL)
            if boardings:
                return boardings[0].release
            await asyncio.sleep(0.02)
    finally:
        reader.close()
    raise AssertionError("nothing was adopted")


def refused(house: House, verb: Verb, arguments: Mapping[str, object]) -> FiredoorError:
    """What the judge says to something that cannot be."""

    async def talk(inbox: Inbox) -> FiredoorError:
        release = await first_release(house)
        with pytest.raises(FiredoorError) as raised:
            await inbox.submit(verb, release, arguments, "Amira")
        return raised.value

    return asking(house, talk)


def test_an_order_returns_when_it_is_decided_recorded_and_obeyed(house: House) -> None:
    """Who is told that a door is shut may rely on it: no machine gets the release any more."""
    house.open_judge()

    async def talk(inbox: Inbox) -> tuple[str, Outcome]:
        release = await first_release(house)
        return release, await inbox.submit(Verb.SHUT, release, REASON, "Amira")

    release, outcome = asking(house, talk)

    door = outcome.door["everyone"]
    assert (outcome.channel, outcome.release) == (CHANNEL, release)
    assert (door.state, door.reason, door.by, door.note) == (
        State.SHUT,
        Reason.PERSON,
        "Amira",
        "seen trouble",
    )
    assert outcome.sentence.endswith(
        "ring everyone is shut (person); nothing is left to give ring everyone: its machines are "
        "answered 503"
    )
    reader = JudgeReader(house.config.data)
    gate = GateReader(house.config.data)
    assert outcome.index is not None
    (recorded,) = reader.entries(outcome.index - 1, 1)
    assert (recorded.entry.kind, recorded.entry.body["to"]) == ("door", "shut")
    assert gate.obeyed() >= reader.board().version
    gate.close()
    reader.close()


def test_an_order_that_the_gate_has_not_confirmed_is_told_as_such(house: House) -> None:
    """The decision stands, but a gate that is down must not be taken for one that obeys."""
    house.open_judge()

    async def talk(inbox: Inbox) -> Outcome:
        return await inbox.submit(Verb.SHUT, await first_release(house), REASON, "Amira")

    outcome = asking(house, talk, gate=False)

    assert outcome.door["everyone"].state is State.SHUT
    assert "the gate has not confirmed yet" in outcome.sentence


@pytest.mark.parametrize(
    ("verb", "arguments", "error", "words"),
    [
        (Verb.HOLD, REASON, IllegalTransition, "hold refused"),
        (Verb.HOLD, {**REASON, "ring": "labb"}, NotFound, 'no ring "labb"'),
        (Verb.EXPEDITE, {"reason": " ", "all": True}, BadInput, "reason"),
        (
            Verb.EXPEDITE,
            {**REASON, "all": True, "approved_by": "amira"},
            NotAllowed,
            "second person",
        ),
        (Verb.UNPIN, REASON, NotFound, "is pinned"),
        (Verb.EXPEDITE, {**REASON, "budget": "many"}, BadInput, "expected `int | null`"),
    ],
)
def test_a_refusal_is_the_error_that_the_judge_meant_with_its_hint(
    house: House,
    verb: Verb,
    arguments: Mapping[str, object],
    error: type[FiredoorError],
    words: str,
) -> None:
    """A script tells 404 from 409 and 403; a person is told what to do next."""
    house.open_judge()

    raised = refused(house, verb, arguments)

    assert type(raised) is error
    assert words in str(raised).lower()
    assert raised.hint or error is NotFound or error is BadInput


def test_an_order_for_two_people_waits_and_the_second_one_carries_it_out(house: House) -> None:
    """The first is told what the second has to type; nothing has moved, and that is said first."""
    house.open_judge()

    async def talk(inbox: Inbox) -> tuple[Outcome, Outcome]:
        release = await first_release(house)
        (house.vendor / "av.db").write_text("2")
        await inbox.submit(Verb.SHUT, release, REASON, "Amira")
        first = await inbox.submit(Verb.EXPEDITE, release, {**REASON, "all": True}, "Amira")
        return first, await inbox.submit(Verb.APPROVE, release, {"order": first.order}, "Bela")

    first, second = asking(house, talk)

    assert (first.order, first.door) == (1, {})
    assert first.sentence.startswith("nothing has moved yet")
    assert f"firedoor release approve {first.release[:12]} 1 --by NAME" in first.sentence
    assert first.index is not None
    assert second.order == 0
    assert (second.door["everyone"].state, second.door["everyone"].by) == (
        State.OPEN,
        "Amira and Bela",
    )


def test_a_release_nobody_knows_is_refused_before_it_becomes_an_order(house: House) -> None:
    """The judge's inbox is no place for typing mistakes."""
    house.open_judge()

    async def talk(inbox: Inbox) -> None:
        await first_release(house)
        await inbox.submit(Verb.HOLD, "0" * 64, REASON, "Amira")

    with pytest.raises(NotFound):
        asking(house, talk)
    assert orders_left(house.config.data) == 0


def test_a_pin_and_its_end_find_the_channel_by_the_release(house: House) -> None:
    """A person names the release alone; a pin concerns the channel's train."""
    house.open_judge()

    async def talk(inbox: Inbox) -> tuple[Outcome, Outcome]:
        release = await first_release(house)
        pinned = await inbox.submit(Verb.PIN, release, REASON, "Amira")
        return pinned, await inbox.submit(Verb.UNPIN, release, {"reason": "audit over"}, "Bela")

    pinned, unpinned = asking(house, talk)

    assert pinned.door["everyone"].reason is Reason.PINNED
    assert pinned.index is not None and unpinned.index is not None
    assert unpinned.index > pinned.index
    assert unpinned.channel == CHANNEL
    assert "pinned no more" in unpinned.sentence


def test_a_channel_is_resumed_and_synchronised_by_its_name(house: House) -> None:
    """The two verbs of a channel: one is a decision and on record, the other is none."""
    house.open_judge()

    async def talk(inbox: Inbox) -> tuple[Outcome, Outcome]:
        await first_release(house)
        resumed = await inbox.submit(Verb.RESUME_CHANNEL, CHANNEL, REASON, "Amira")
        return resumed, await inbox.submit(Verb.SYNC, CHANNEL, {}, "Amira")

    resumed, synced = asking(house, talk)

    reader = JudgeReader(house.config.data)
    assert resumed.index is not None
    (recorded,) = reader.entries(resumed.index - 1, 1)
    assert recorded.entry.body["note"] == "boarding resumed by Amira: seen trouble"
    assert synced.index is None
    assert (resumed.door, synced.door, synced.channel) == ({}, {}, CHANNEL)
    reader.close()


def test_two_orders_at_once_get_each_its_own_answer(house: House) -> None:
    """Two people act in the same second; neither may be told what the other asked for."""
    house.open_judge()

    async def talk(inbox: Inbox) -> tuple[Outcome, Outcome]:
        release = await first_release(house)
        return await asyncio.gather(
            inbox.submit(Verb.PIN, release, REASON, "Amira"),
            inbox.submit(Verb.SYNC, CHANNEL, {}, "Bela"),
        )

    pinned, synced = asking(house, talk)

    assert "is pinned" in pinned.sentence
    assert "looks at the upstream" in synced.sentence


def test_without_a_judge_nobody_decides_and_the_hint_says_so(house: House) -> None:
    """It is unknown whether the order is heard, and nobody may think that it was."""

    async def talk(inbox: Inbox) -> None:
        await inbox.submit(Verb.SYNC, CHANNEL, {}, "Amira")

    with pytest.raises(Unavailable) as raised:
        asking(house, talk, gate=False, answer_within_s=0.2)

    assert "judge" in raised.value.hint
    assert orders_left(house.config.data) == 1


def test_a_data_directory_without_a_judge_is_unavailable_and_no_order_is_left(
    tmp_path: Path,
) -> None:
    """An order that waits for a judge of next week would be carried out by surprise."""
    config = from_text(CONFIG.format(upstream=tmp_path), base=tmp_path)
    config.data.mkdir()
    writer = InboxWriter(config.data)
    inbox = Inbox(config, Files(config.data), writer, SystemClock())

    with pytest.raises(Unavailable):
        asyncio.run(inbox.submit(Verb.SYNC, CHANNEL, {}, "Amira"))

    assert orders_left(config.data) == 0
    inbox.close()
    writer.close()
