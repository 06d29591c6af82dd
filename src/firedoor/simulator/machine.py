"""One machine: polls, downloads, installs, loads what it installed, and tells how it is.

It knows no release by its merits. It follows what it is served, as a plain updater does, and
finds out what that does to it by loading it (`content.load`).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

import msgspec

from firedoor.core.errors import FiredoorError, Unavailable
from firedoor.core.units import Digest
from firedoor.simulator.content import LIST, RULES, VERSION, Outcome, digest_of, load, read_list
from firedoor.simulator.enrolment import Enrolment, Habits
from firedoor.simulator.http import Client
from firedoor.simulator.journal import Event, Happening
from firedoor.simulator.reply import Reply

_OK = 200
_UNCHANGED = 304
_HOUR_S = 3600.0
_SPREAD = 0.3  # of every interval, both ways
_UNSENT = 64  # signals that an agent keeps while the intake cannot be reached
_RESTART_S = 0.3  # before the first try to start a service again; doubled with every next
_RESTART_MOST_S = 10.0
_PATIENCE = 2.0  # intervals between tries while a server cannot be reached
_CRASHES = ("service-failed", "boot-unclean")


class Machine:
    """A life from the first poll to the end of the fleet, or of the machine.

    Args:
        enrolment: Name, servers, tokens, seed.
        habits: Intervals and misfortunes.
        tell: Is told of everything that happens, at once.
        now_ms: Wall clock, Unix milliseconds.
        shelf: Digest to bytes of loaded files. Machines of a fleet may share one, so that a
            thousand equal files take the memory of one; each still downloads every byte.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        habits: Habits,
        *,
        tell: Callable[[Happening], None],
        now_ms: Callable[[], int],
        shelf: dict[Digest, bytes],
    ) -> None:
        self.name = enrolment.machine
        self._quoted_name = msgspec.json.encode(self.name).decode()
        self._habits, self._tell, self._now_ms, self._shelf = habits, tell, now_ms, shelf
        self._seed = enrolment.seed
        self._folder = f"/{enrolment.channel}/" if enrolment.channel else "/"
        self._gate = Client(enrolment.gate, user=self.name, password=enrolment.read_token)
        self._agent: Client | None = None
        if enrolment.intake and self._chance("agent").random() < habits.heartbeating:
            self._agent = Client(enrolment.intake, user=self.name, password=enrolment.signal_token)
        self._etag = ""
        self._received = Digest("")
        self._files: dict[str, Digest] = {}
        self._version = ""
        self._present = asyncio.Event()
        self._present.set()
        self._start_at = 0.0  # when a failed service is to be started again; 0: it runs
        self._starts = 0  # tries in a row that failed
        self._boot_ms = now_ms()
        self._failures = 0
        self._falls = self._chance("falls")
        self._unsent: deque[bytes] = deque(maxlen=_UNSENT)
        self._wake = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Live until bricked, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._follow())
                if self._agent is not None:
                    duties.create_task(self._report(self._agent))
                if self._habits.crashes_per_hour + self._habits.absences_per_hour > 0:
                    duties.create_task(self._suffer())
        except* _Bricked:
            pass
        finally:
            self._end()

    async def _follow(self) -> None:
        """The updater: poll, and do what the answer asks for."""
        chance = self._chance("poll")
        await asyncio.sleep(chance.uniform(0, self._habits.poll_s))
        self._note(Event.STARTED)
        while True:
            await self._present.wait()
            if self._start_at and asyncio.get_running_loop().time() >= self._start_at:
                self._load()
            reachable = await self._session(chance)
            pause = _around(self._habits.poll_s, chance)
            await asyncio.sleep(pause if reachable else pause * _PATIENCE)

    async def _session(self, chance: random.Random) -> bool:
        """One run of the updater; its requests follow at once on one connection.

        Returns:
            Whether there was somebody to ask.
        """
        try:
            await self._update(chance)
        except Unavailable:
            self._note(Event.UNREACHABLE)
            return False
        except FiredoorError as error:
            self._note(Event.REFUSED, cause=type(error).__name__)
        return True

    async def _update(self, chance: random.Random) -> None:
        answer = await self._gate.get(self._folder + LIST, etag=self._etag)
        if answer.status == _UNCHANGED:
            self._note(Event.POLLED)
            return
        if answer.status != _OK:
            self._note(Event.REFUSED, path=LIST, cause=str(answer.status))
            return
        self._note(Event.POLLED)
        wanted, listed = read_list(answer.body), digest_of(answer.body)
        if wanted != self._files:
            self._note(Event.OFFERED, list=listed, release=_release(answer))
            if not await self._download(wanted, listed):
                return
            await asyncio.sleep(_around(self._habits.install_s, chance))
            self._install(wanted, listed)
        # Only now: a session that broke off asks again without a condition.
        self._etag = answer.headers.get("etag", "")

    async def _download(self, wanted: dict[str, Digest], listed: Digest) -> bool:
        """Fetch what differs.

        Returns:
            Whether all of it came and is what the list promised.
        """
        for path, digest in wanted.items():
            if self._files.get(path) == digest:
                continue

            def expose(head: Reply, path: str = path) -> None:
                if head.status == _OK and self._received != listed:
                    self._received = listed
                    self._note(Event.RECEIVED, list=listed, path=path, release=_release(head))

            answer = await self._gate.get(self._folder + path, on_body=expose)
            if answer.status != _OK:
                self._note(Event.REFUSED, list=listed, path=path, cause=str(answer.status))
                return False
            if digest_of(answer.body) != digest:
                self._note(Event.TORN, list=listed, path=path, release=_release(answer))
                return False
            if path == VERSION or path.startswith(RULES):
                self._shelf.setdefault(digest, answer.body)
        return True

    def _install(self, wanted: dict[str, Digest], listed: Digest) -> None:
        self._files = wanted
        self._version = _version(self._shelf.get(wanted.get(VERSION, Digest(""))), listed)
        self._starts = 0
        self._note(Event.INSTALLED, list=listed)
        self._load()

    def _load(self) -> None:
        """Start the service on the installed content and live with what comes of it."""
        self._start_at = 0.0
        rules = [path for path in sorted(self._files) if path.startswith(RULES)]
        match load(self._shelf[self._files[path]] for path in rules):
            case Outcome.RUNS:
                self._starts = 0
            case Outcome.CRASHES:
                self._crash("content")
            case Outcome.BRICKS:
                self._note(Event.BRICKED)
                self._end()
                raise _Bricked

    def _crash(self, cause: str) -> None:
        self._failures += 1
        self._note(Event.CRASHED, cause=cause)
        self._unsent.append(self._signal(self._falls.choice(_CRASHES), number=self._failures))
        wait = min(_RESTART_MOST_S, _RESTART_S * 2**self._starts)
        self._starts += 1
        self._start_at = asyncio.get_running_loop().time() + wait
        self._wake.set()

    async def _report(self, intake: Client) -> None:
        """The agent: a heartbeat in every interval, a crash at once."""
        chance = self._chance("heartbeat")
        await asyncio.sleep(chance.uniform(0, self._habits.heartbeat_s))
        while True:
            await self._present.wait()
            reachable = await self._send(intake)
            pause = _around(self._habits.heartbeat_s, chance)
            await self._nap(pause if reachable else pause * _PATIENCE)

    async def _send(self, intake: Client) -> bool:
        sending = tuple(self._unsent)
        body = b"".join((self._signal("heartbeat"), *sending))
        try:
            answer = await intake.post("/v1/signals", body, "application/x-ndjson")
        except Unavailable:
            self._note(Event.UNREACHABLE)
            return False
        except FiredoorError as error:
            self._note(Event.REFUSED, cause=type(error).__name__)
            return True
        if answer.status != _OK:
            self._note(Event.REFUSED, path="/v1/signals", cause=str(answer.status))
            return True
        self._note(Event.HEARD)
        # Only what was sent: a crash may have joined the queue while the intake answered.
        for line in sending:
            if line in self._unsent:
                self._unsent.remove(line)
        return True

    async def _suffer(self) -> None:
        """Innocent misfortune, so that harm has something to stand out from."""
        chance = self._chance("misfortune")
        crashes, absences = self._habits.crashes_per_hour, self._habits.absences_per_hour
        while True:
            await asyncio.sleep(chance.expovariate((crashes + absences) / _HOUR_S))
            if chance.random() * (crashes + absences) < crashes:
                self._crash("chance")
                continue
            away = chance.expovariate(1 / self._habits.absence_s)
            self._present.clear()
            self._note(Event.ABSENT)
            self._hang_up()
            await asyncio.sleep(away)
            self._note(Event.RETURNED)
            self._present.set()

    async def _nap(self, seconds: float) -> None:
        """Sleep, but wake for a crash. A timer and an event, half the price of ``wait_for``."""
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
            self._wake.clear()

    def _signal(self, kind: str, *, number: int = 0) -> bytes:
        # A heartbeat needs no id: the intake knows it by its time.
        mark = f',"id":"{self._boot_ms:x}-{number}"' if number else ""
        fact = f'"time":{self._now_ms()},"kind":"{kind}"{mark}'
        return f'{{"machine":{self._quoted_name},{fact}}}\n'.encode()

    def _note(
        self,
        event: Event,
        *,
        list: str = "",  # noqa: A002  the vocabulary of `Happening`
        path: str = "",
        release: str = "",
        cause: str = "",
    ) -> None:
        if not self._ended:  # what fails because the machine is off did not happen to it
            self._tell(
                Happening(
                    machine=self.name,
                    event=event,
                    version=self._version,
                    list=list,
                    path=path,
                    release=release,
                    cause=cause,
                )
            )

    def _hang_up(self) -> None:
        self._gate.drop()
        if self._agent is not None:
            self._agent.drop()

    def _end(self) -> None:
        self._ended = True
        self._gate.close()
        if self._agent is not None:
            self._agent.close()

    def _chance(self, purpose: str) -> random.Random:
        # One for each purpose: how the tasks interleave must not change what any of them draws.
        return random.Random(f"{self._seed}/{self.name}/{purpose}")


class _Bricked(Exception):
    """The machine is off for ever; ends all its tasks."""


def _around(mean: float, chance: random.Random) -> float:
    return mean * chance.uniform(1 - _SPREAD, 1 + _SPREAD)


def _release(answer: Reply) -> str:
    return answer.headers.get("firedoor-release", "")


def _version(text: bytes | None, listed: Digest) -> str:
    """What the version file says; without one that can be read, the list's digest in short."""
    try:
        return msgspec.json.decode(text or b"", type=dict[str, str])["version"]
    except (msgspec.DecodeError, KeyError):
        return listed[:12]
