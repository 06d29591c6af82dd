"""The loop with a second channel: the same machines take updates of two vendors."""

import hashlib
from pathlib import Path
from typing import Any

from tests.loop import AV, Loop

from firedoor.core.door import Door
from firedoor.core.release import FileEntry, media_type
from firedoor.core.units import Digest
from firedoor.ports import Fetched
from firedoor.services.admission import Admission
from firedoor.services.places import Cut, Installed
from firedoor.services.records import Bucket
from firedoor.services.snapshot import Snapshot

OS = "os"
_SECOND = """
[[channel]]
name = "os"
kind = "files"
upstream = "https://updates.vendor.example/os/"
"""


class Twin(Loop):
    """Gate, judge and train of two channels.

    Attributes:
        fatal: Boarding numbers (of the first, of the second): who runs both dies.
    """

    def __init__(self, folder: Path, machines: int = 20, **how: Any) -> None:
        """Start everything; no release of either channel is known yet."""
        self.fatal = (0, 0)
        self._second: Admission | None = None
        super().__init__(folder, machines, rings=_SECOND, **how)

    def start_gate(self) -> None:
        """A new run of the gate with an admission for either channel."""
        super().start_gate()
        self._second = Admission(
            OS,
            self.roster,
            lambda machine: self.ring.get(machine, "everyone"),
            lambda machine: self.stratum.get(machine, ""),
            idle_ms=self.config.channel(OS).session_idle_ms,
            max_ms=self.config.channel(OS).session_max_ms,
        )
        self.look()

    def look(self) -> None:
        """The gate looks at the board of either channel."""
        now = self.clock.mono_ms
        for board in self.store.board().channels:
            admission = self.admission if board.name == AV else self._second
            if admission is not None:
                self._cuts += admission.apply(board, now)
        self._commit(())

    def poll(self, machine: int) -> int:
        """A machine asks for both; returns what it is answered from in the first channel."""
        first, second = super().poll(machine), self._poll_second(machine)
        if (first, second) == self.fatal:
            self.dead.add(machine)
        return first

    def flush(self, *, final: bool = False) -> None:
        """The gate's bucket ends, for either channel."""
        now, both = self.clock.now(), self._both()
        for admission in both:
            self._cuts += admission.expire(now.mono_ms)
        self._commit(())
        bucket_ms = self.config.time.bucket_ms
        self._writer.flush(
            Bucket(
                run=self._run,
                final=final,
                heard=self.roster.drain_heard(),
                habits=self.roster.drain_habits(mono_ms=now.mono_ms, wall_ms=now.wall_ms),
                standings=[each for a in both for each in a.drain_standing()],
                installed=self._installed,
                census=[
                    count
                    for a in both
                    for count in a.census(now.mono_ms, bucket_ms, now.wall_ms, self.enrolled())
                ],
                board=self.store.board().version,
            ),
            now,
        )
        self._installed = []
        self.roster.relearn()

    def publish_second(self, version: str) -> str:
        """The other vendor publishes."""
        digest = Digest(hashlib.sha256(f"os {version}".encode()).hexdigest())
        entry = FileEntry(digest, len(version), media_type("os.img"))
        with self.store.step():
            release = self.train.arrived(
                self.config.channel(OS),
                Snapshot.of({"os.img": Fetched(entry, "")}),
                self.clock.now(),
            )
            self._advance()
        self.look()
        return release

    def second_door(self, number: int) -> Door:
        """A door of the other channel."""
        return self.train.lines[OS][number].doors["everyone"]

    def _poll_second(self, machine: int) -> int:
        now, admission = self.clock.now(), self._both()[1]
        choice, cuts = admission.begin(machine, now.mono_ms, now.wall_ms // 1000, lease=True)
        self._cuts: list[Cut] = [*self._cuts, *cuts]
        self._commit(choice.places)
        for place in choice.places:
            admission.settle(place)
        self._installed += [
            Installed(OS, place.number, machine, now.mono_ms)
            for place in choice.places
            if place.treated
        ]
        return choice.number

    def _both(self) -> tuple[Admission, Admission]:
        assert self._second is not None
        return self.admission, self._second

    def _advance(self) -> None:
        now = self.clock.now()
        for channel in self.config.channels:
            self.train.advance(channel, now)
            self.train.consider(channel, now)
        board = self.train.board()
        if board.version != self.store.board().version:
            self.store.put_board(board)
