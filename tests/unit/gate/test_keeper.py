"""The keeper: the gate between the judge's board and the disk."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest
from tests.clocks import HandClock
from tests.unit.gate.test_committer import Disk

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader, JudgeStore
from firedoor.config import from_text
from firedoor.core.board import Board, ChannelBoard, Grant, Lane
from firedoor.core.door import Door, Reason, State
from firedoor.core.errors import Unavailable
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest, UnixMs
from firedoor.core.verdict import Rules
from firedoor.gate.keeper import LEASE_BUCKETS, Channel, Keeper
from firedoor.services.admission import Admission
from firedoor.services.boarding import Boarding
from firedoor.services.records import StoredRelease
from firedoor.services.roster import Roster

BUCKET_MS = 60_000
CONFIG = """
data = "data"
[[channel]]
name = "av"
kind = "files"
upstream = "https://updates.vendor.example/av/"
"""


class Site:
    """A keeper on real stores, with a clock that the test moves."""

    def __init__(self, data):
        self.clock = HandClock()
        self.data = data
        self.config = from_text(CONFIG, base=data).channels[0]
        self.judge = JudgeStore(data)
        self.disk = Disk(data)
        self.reader = GateReader(data)
        self.source = JudgeReader(data)
        self.version = 0
        with self.judge.step():
            for number in range(1, 10):
                manifest = {
                    "index": FileEntry(Digest(f"{number:064x}"), 1, "text/plain"),
                    "same": FileEntry(Digest("0" * 64), 1, "text/plain"),
                    "new": FileEntry(Digest(f"{number:064x}"), 100, "text/plain"),
                }
                stored = StoredRelease(f"r{number}", "av", 1, "index", 3, 3)
                self.judge.add_release(stored, manifest)

    def keeper(self, bucket_ms=BUCKET_MS):
        """A new run of the gate, with twenty machines that are known for long."""
        roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        for machine in range(1, 21):
            roster.begin_session(machine, self.clock.mono_ms - 900_000)
            roster.begin_session(machine, self.clock.mono_ms - 600_000)
        admission = Admission(
            "av", roster, lambda _: "everyone", lambda _: "", idle_ms=2_000, max_ms=60_000
        )
        cuts = [stored.cut for stored in self.reader.cuts_after(0)]
        admission.restore(self.reader.exposures("av"), cuts, self.reader.standings("av"))
        return Keeper(
            {"av": Channel(self.config, admission, ChannelBoard("av"))},
            roster,
            store=self.disk,
            source=self.source,
            pulses=lambda _: [],
            places=lambda channel, number: [
                stored.place for stored in self.reader.places_of(channel, number)
            ],
            clock=self.clock,
            bucket_ms=bucket_ms,
        )

    def publish(self, *, tick=True, **lane):
        """The judge writes a board, and renews the lease."""
        self.version += 1
        plain = Lane("everyone", **{"base": 1, **lane})
        numbers = sorted({plain.base, plain.candidate} - {0})
        releases = tuple((number, f"r{number}") for number in numbers)
        with self.judge.step():
            self.judge.put_board(Board(self.version, (ChannelBoard("av", (plain,), releases),)))
            if tick:
                self.judge.put_tick("boot-1", self.clock.mono_ms, self.clock.wall_ms)

    def close(self):
        """Close all files."""
        for each in (self.disk, self.reader, self.source, self.judge):
            each.close()


@pytest.fixture
def site(tmp_path):
    opened = Site(tmp_path)
    yield opened
    opened.close()


def grant(deck=1, *, cards=5, treated=4):
    return Grant(deck, cards, treated, "00" * 32, 3_600_000)


@asynccontextmanager
async def running(site, **how):
    keeper = site.keeper(**how)
    await keeper.start()
    try:
        yield keeper, keeper.channels["av"]
    finally:
        site.disk.go.set()
        await keeper.stop()


async def eventually(true: Callable[[], bool]):
    """Wait for one of the keeper's loops, ten seconds at most."""
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def drawn(site, keeper, channel, machines=range(1, 6)):
    """Sessions of these machines; returns the number each is answered from."""
    answers = {}
    for machine in machines:
        site.clock.pass_ms(3_000)
        answers[machine] = await keeper.number_for(channel, machine, admit=True)
    return answers


def play(scene):
    asyncio.run(scene())


# Recorded before exposed


def test_a_treated_machine_is_on_record_before_it_is_answered(site):
    """Whoever was exposed is known after any crash."""

    async def scene():
        site.publish(candidate=2, grant=grant())
        async with running(site) as (keeper, channel):
            answers = await drawn(site, keeper, channel)
            on_record = {s.place.machine: s.place.treated for s in site.reader.places_of("av", 2)}
            assert sorted(answers.values()) == [1, 2, 2, 2, 2]
            assert {m: number == 2 for m, number in answers.items()} == on_record

    play(scene)


def test_a_second_connection_waits_for_the_record_of_the_first(site):
    """Clients open several at once."""

    async def scene():
        site.publish(candidate=2, grant=grant(cards=2, treated=1))
        async with running(site) as (keeper, channel):
            await drawn(site, keeper, channel, [7])
            site.disk.go.clear()
            site.clock.pass_ms(3_000)
            asked = [
                asyncio.create_task(keeper.number_for(channel, 8, admit=admit))
                for admit in (True, True, False, True)
            ]
            for _ in range(5):
                await asyncio.sleep(0)
            assert not any(task.done() for task in asked)
            site.disk.go.set()
            answers = await asyncio.gather(*asked)
            assert len(set(answers)) == 1
            assert len([s for s in site.reader.places_of("av", 2) if s.place.machine == 8]) == 1

    play(scene)


def test_a_client_that_gives_up_does_not_take_the_record_with_it(site):
    """Its next request must not be answered before the card of the first is durable."""

    async def scene():
        site.publish(candidate=2, grant=grant(cards=2, treated=1))
        async with running(site) as (keeper, channel):
            site.disk.go.clear()
            first = asyncio.create_task(keeper.number_for(channel, 8, admit=True))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            second = asyncio.create_task(keeper.number_for(channel, 8, admit=True))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not second.done()
            site.disk.go.set()
            number = await second
            assert first.cancelled()
            (stored,) = [s for s in site.reader.places_of("av", 2) if s.place.deck]
            assert stored.place.treated == (number == 2)

    play(scene)


def test_when_nothing_can_be_recorded_everybody_gets_what_they_had(site):
    """Fail static; and nobody is exposed off the record."""

    async def scene():
        site.publish()
        async with running(site) as (keeper, channel):
            assert set((await drawn(site, keeper, channel, range(1, 10))).values()) == {1}
            site.publish(candidate=2, grant=grant(cards=9, treated=8))
            await eventually(lambda: channel.board.lanes[0].candidate == 2)
            site.disk.error = Unavailable("disk full")
            answers = await drawn(site, keeper, channel, range(1, 10))
            assert set(answers.values()) == {1}
            # One that has had nothing yet gets nothing: it is not on record for anything.
            assert await drawn(site, keeper, channel, [15]) == {15: 0}
            site.disk.error = None
            assert site.reader.places_of("av", 2) == []

    play(scene)


# Who is admitted


def test_head_admits_nobody(site):
    """A probe draws no card, in a session or without."""

    async def scene():
        site.publish(candidate=2, grant=grant())
        async with running(site) as (keeper, channel):
            for machine in range(1, 10):
                assert await keeper.number_for(channel, machine, admit=False) == 1
            assert site.reader.last_place() == 0

    play(scene)


@pytest.mark.parametrize(
    ("late_ms", "boot", "enrolled"),
    [
        (0, "boot-1", True),
        (LEASE_BUCKETS * BUCKET_MS - 20_000, "boot-1", True),
        (LEASE_BUCKETS * BUCKET_MS + 1, "boot-1", False),
        (0, "boot-0", False),
    ],
)
def test_nobody_is_enrolled_without_a_judge_that_ticks(site, late_ms, boot, enrolled):
    """A board alone may be a week old."""

    async def scene():
        site.publish(candidate=2, grant=grant(), tick=False)
        with site.judge.step():
            site.judge.put_tick(boot, site.clock.mono_ms, site.clock.wall_ms)
        site.clock.pass_ms(late_ms)
        async with running(site) as (keeper, channel):
            answers = await drawn(site, keeper, channel)
            assert (set(answers.values()) == {1, 2}) == enrolled
            decks = {s.place.deck for s in site.reader.places_after(0)}
            assert (1 in decks) == enrolled

    play(scene)


# The board


def test_a_new_board_is_obeyed_within_moments_and_said_to_be(site):
    """The judge deals by counts that were taken under its newest board."""

    async def scene():
        site.publish()
        async with running(site) as (keeper, channel):
            assert await drawn(site, keeper, channel, [3]) == {3: 1}
            site.publish(base=2)
            await eventually(lambda: site.reader.obeyed() == 2)
            site.clock.pass_ms(3_000)
            assert await keeper.number_for(channel, 3, admit=True) == 2

    play(scene)


def test_a_shut_release_ends_its_sessions_and_its_content_is_gone(site):
    """Contain: withheld also in the middle of a session."""

    async def scene():
        site.publish(base=2)
        async with running(site) as (keeper, channel):
            assert await drawn(site, keeper, channel, [3]) == {3: 2}
            site.publish(base=1, revoked=(2,))
            await eventually(lambda: channel.board.lanes[0].base == 1)
            assert await keeper.number_for(channel, 3, admit=True) == 1
            assert 2 not in channel.catalog

    play(scene)


def test_a_session_in_the_middle_of_an_older_release_finishes_there(site):
    """Its content is still at hand when the next but one is open."""

    async def scene():
        site.publish(base=2)
        async with running(site) as (keeper, channel):
            assert await drawn(site, keeper, channel, [3]) == {3: 2}
            site.publish(base=4)
            await eventually(lambda: channel.board.lanes[0].base == 4)
            assert await keeper.number_for(channel, 3, admit=True) == 2
            assert channel.catalog[2].release == "r2"

    play(scene)


def test_what_is_new_to_a_ring_that_is_behind_counts_as_installed(site):
    """A file went from the first ring's release; the second's machines have an old one of it."""

    async def scene():
        new = FileEntry(Digest("2".zfill(64)), 100, "text/plain")
        with site.judge.step():
            stored = StoredRelease("r20", "av", 1, "index", 1, 1)
            site.judge.add_release(stored, {"new": new})
            lanes = Lane("lab", base=2), Lane("everyone", base=1, candidate=20)
            releases = ((1, "r1"), (2, "r2"), (20, "r20"))
            site.judge.put_board(Board(1, (ChannelBoard("av", lanes, releases),)))
        async with running(site) as (_, channel):
            assert channel.catalog[20].payload == {"new"}

    play(scene)


def test_what_changed_against_the_base_is_what_counts_as_installed(site):
    """Not the index, and not what was there before."""

    async def scene():
        site.publish(candidate=2, grant=grant(cards=2, treated=1))
        async with running(site) as (keeper, channel):
            answers = await drawn(site, keeper, channel, [3, 4])
            (treated,) = [m for m, number in answers.items() if number == 2]
            (control,) = [m for m, number in answers.items() if number == 1]
            assert channel.catalog[2].payload == {"new"}
            assert keeper.deliver(channel, treated, 2, "same", 1) is None
            assert keeper.deliver(channel, treated, 2, "index", 1) is None
            assert keeper.deliver(channel, control, 1, "new", 100) is None
            count = keeper.deliver(channel, treated, 2, "new", 100)
            assert count is not None
            count(0, 60)
            count(60, 100)
            assert keeper.deliver(channel, treated, 2, "new", 100) is None

    play(scene)
    assert [done.install.machine for done in site.reader.installed_after(0)] != []


def test_a_gate_that_was_killed_goes_on_with_the_deck(site):
    """The next run knows from the files who holds which card."""

    async def scene():
        site.publish(candidate=2, grant=grant(cards=6, treated=3))
        keeper = site.keeper()
        await keeper.start()
        await drawn(site, keeper, keeper.channels["av"], [1, 2, 3])
        async with running(site) as (again, channel):
            await drawn(site, again, channel, [1, 2, 3, 4, 5, 6])
        await keeper.stop()

    play(scene)
    places = [s.place for s in site.reader.places_of("av", 2) if s.place.deck]
    assert [(p.card, p.machine) for p in places] == [(n, n + 1) for n in range(6)]
    assert sum(p.treated for p in places) == 3
    assert [s.cut.drawn for s in site.reader.cuts_after(0)] == [6]


# Buckets


def test_the_last_bucket_of_an_orderly_end_says_that_nothing_is_missing(site):
    """Otherwise every upgrade of Firedoor would slide all windows."""

    async def scene():
        site.publish()
        async with running(site) as (keeper, channel):
            await drawn(site, keeper, channel, [3, 9])

    play(scene)
    heard = site.reader.heard_after(0)
    assert heard[-1].final
    assert sorted(m for bucket in heard for m in bucket.machines.tolist()) == [3, 9]


def test_a_bucket_that_could_not_be_written_is_a_gap_that_the_judge_can_see(site):
    """What was heard in it is lost; the run after it is another, so nobody was silent in it."""

    class Broken(Disk):
        failing = False
        refused = 0

        def flush(self, bucket, at):
            """A disk that is full for a while."""
            if self.failing:
                self.refused += 1
                raise Unavailable("disk full")
            super().flush(bucket, at)

    async def scene():
        site.disk.close()
        site.disk = disk = Broken(site.data)
        site.publish()
        async with running(site, bucket_ms=20) as (keeper, channel):
            await eventually(lambda: len(site.reader.heard_after(0)) > 1)
            disk.failing = True
            await drawn(site, keeper, channel, [3])
            site.publish(base=2)
            await eventually(lambda: channel.board.lanes[0].base == 2)
            await eventually(lambda: disk.refused > 1)
            disk.failing = False
            written = len(site.reader.heard_after(0))
            await eventually(lambda: len(site.reader.heard_after(0)) > written)

    play(scene)
    runs = [bucket.run for bucket in site.reader.heard_after(0)]
    assert len(set(runs)) == 2
    assert runs == sorted(runs, key=runs.index)
    # What is not a sign of life has only waited.
    assert [s.machine for s in site.reader.standings("av")] == [3]
    assert site.reader.habit(3) is not None


# What machines have read in an index


DEBIAN = """
data = "data"
[[channel]]
name = "av"
kind = "apt"
upstream = "https://deb.vendor.example/debian"
suites = ["stable"]
trust = ["/usr/share/keyrings/vendor.gpg"]
"""


def opened(site, number):
    """A release opens for everybody."""
    since = UnixMs(site.clock.wall_ms)
    door = Door("av", number, "everyone", f"r{number}", "", 1, State.OPEN, Reason.WALKED, since)
    rules = Rules(0.01, 0.05, 0.05, 0.1, (("silence", 1.0),))
    with site.judge.step():
        site.judge.add_boarding(Boarding("av", number, f"r{number}", 0, since, "", {}, rules))
        site.judge.put_door(door)


def test_names_of_releases_that_were_left_lately_are_served_for_three_days(tmp_path):
    """Ten releases a day are no reason to answer 404 to a machine that read its index at noon."""

    async def scene():
        site = Site(tmp_path)
        site.config = from_text(DEBIAN, base=tmp_path).channels[0]
        for number in range(1, 10):
            site.clock.pass_ms(3_600_000)
            opened(site, number)
        site.publish(base=9)
        async with running(site) as (_, channel):
            assert set(channel.catalog) == set(range(1, 10))
        site.clock.pass_ms(72 * 3_600_000 - 4 * 3_600_000 + 1)
        async with running(site) as (_, channel):
            assert set(channel.catalog) == {5, 6, 7, 8, 9}
        site.close()

    play(scene)


@pytest.mark.parametrize("before", [{"base": 2}, {"base": 1, "candidate": 2}])
def test_what_is_contained_while_a_place_is_written_is_not_served(site, before):
    """The record stays; the machine gets what is open, in the same answer."""

    async def scene():
        deal = {"grant": grant(cards=1, treated=1)} if "candidate" in before else {}
        site.publish(**before, **deal)
        async with running(site) as (keeper, channel):
            site.disk.go.clear()
            site.clock.pass_ms(3_000)
            asked = asyncio.create_task(keeper.number_for(channel, 8, admit=True))
            await asyncio.sleep(0.05)
            assert not asked.done()
            site.publish(base=1, revoked=(2,))
            await eventually(lambda: 2 in channel.board.lanes[0].revoked)
            again = asyncio.create_task(keeper.number_for(channel, 8, admit=True))
            site.disk.go.set()
            assert (await asked, await again) == (1, 1)

    play(scene)
