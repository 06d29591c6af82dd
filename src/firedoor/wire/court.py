"""The judge's process: orders, snapshots and ticks, each in one durable step.

While the ledger's head cannot be kept, a backup that is restored later would not be found by what
is decided now. So nothing opens: no lease is renewed, no deck dealt, nothing boards. What protects
goes on: doors are shut and held by evidence and by people, and alerts leave. People are told once.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import msgspec
import structlog

from firedoor.adapters.store.gate import NAME as GATE_DB
from firedoor.config import ChannelConfig, Config
from firedoor.core.board import Board
from firedoor.core.door import Hold, Reason, State
from firedoor.core.errors import Unavailable
from firedoor.core.ledger.chain import Head
from firedoor.core.ledger.entry import leaf_hash
from firedoor.core.terms import Mode
from firedoor.ports import Clock, Instant, Numbered, SignalSource
from firedoor.services import penalty
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter, Sign
from firedoor.services.order import Answer, Order
from firedoor.services.orders import Orders
from firedoor.services.preflight import Report
from firedoor.services.stores import GateRecords, JudgeRecords
from firedoor.services.supply import Refusal
from firedoor.services.train import Train
from firedoor.services.urgency import Urgency
from firedoor.wire.alerts import Alert, Courier, explained_at
from firedoor.wire.certificates import Certificates
from firedoor.wire.dressing import Dresser
from firedoor.wire.expiry import Expiry
from firedoor.wire.exploited import Exploited
from firedoor.wire.files import Files
from firedoor.wire.head import keep_head, set_aside
from firedoor.wire.mirroring import Mirror, Result
from firedoor.wire.pickings import Made, Pickings
from firedoor.wire.preflights import Preflights
from firedoor.wire.restored import KEPT_AGAIN, UNKEPT, Custody, Findings
from firedoor.wire.signing import Signatory
from firedoor.wire.supplying import lacking

_LOOK_EVERY_S = 0.05
_RETRY_S = 1.0
_NOTE_LIMIT = 500
_PROTECTING = ("shut", "hold")

# What people have been told of the head since it was last in order: bits of one number.
_TOLD = "head_told"
_TOLD_UNKEPT, _TOLD_MISSING, _TOLD_LOST = 1, 2, 4

_log = structlog.get_logger()


class _Stumbled(Exception):
    """An order met a mistake of ours; its number is told, the step is undone."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def new_nonce() -> str:
    """What makes the seed of a boarding its own: 128 random bits."""
    return secrets.token_hex(16)


class OrderSource(Numbered, Protocol):
    """Where orders come from. Raises Unavailable."""

    def version(self) -> int:
        """Changes whenever an order has come."""
        ...

    def after(self, number: int) -> list[tuple[int, Order]]:
        """Orders above a number, oldest first."""
        ...


class Court:
    """Judge, train and orders around one store."""

    def __init__(
        self,
        config: Config,
        files: Files,
        *,
        store: JudgeRecords,
        gate: GateRecords,
        signals: SignalSource,
        orders: OrderSource,
        mirror: Mirror,
        sign: Sign,
        root_key: Callable[[], bytes],
        signatory: Signatory,
        alert: Alert,
        clock: Clock,
        exploited: Exploited | None = None,
        storage: Callable[[LedgerWriter, Instant], None] = lambda *_: None,
        preflights: Preflights | None = None,
    ) -> None:
        """Put the parts together; ``run`` reads and writes."""
        self._exploited = exploited
        self._storage = storage
        self._config = config
        self._files = files
        self._store = store
        self._gate = gate
        self._signals = signals
        self._inbox = orders
        self._mirror = mirror
        self._sign = sign
        self._root_key = root_key
        self._courier = Courier(alert, store.cursor("alerted"))
        self._custody = Custody(files, store, gate, signals, orders)
        self._clock = clock
        self._expiry = Expiry(config.channels, store, mirror.read)
        self._dresser = Dresser(signatory, store, clock, self._expiry.arrived)
        self._certificates = Certificates(config, files, store, clock)
        self._waiting: list[Result] = []
        self._refused: list[Refusal] = []
        self._preflights = preflights
        self._looked: list[tuple[str, Report]] = []
        self._pickings = Pickings(config, store, mirror.blobs)
        self._picked: list[Made] = []
        self._inbox_seen = -1
        self._unkept = ""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set.

        A store that fails is tried again; nothing is admitted meanwhile: the leases run out.
        """
        while not stop.is_set():
            try:
                self._sit(stop)
            except _Stumbled as error:
                self._give_up_on(error.number)
            except Unavailable as error:
                _log.error("judge_cannot_write", error=str(error))
                stop.wait(_RETRY_S)

    def _sit(self, stop: threading.Event) -> None:
        self._load()
        bucket_s = self._config.time.bucket_ms / 1000
        due = time.monotonic()
        look_again = due + max(bucket_s, _RETRY_S)
        while not stop.is_set():
            orders = self._new_orders()
            self._collect()
            tick = time.monotonic() >= due
            if tick and self._custody.replaced():
                return  # Everything is loaded again, and what was replaced is dealt with there.
            if self._unkept and time.monotonic() >= look_again:
                return  # Likewise: a disk that is back may bring another head than it had.
            if tick:
                due = max(due + bucket_s, time.monotonic())
            news = self._refused or self._looked or (self._picked and not self._unkept)
            if tick or orders or news or (self._waiting and not self._unkept):
                self._step(orders, tick=tick)
                self._sign_anew()
                # Before the head: people are told even if its disk never comes back.
                self._send_alerts()
                if not self._unkept:
                    # A crash here leaves a head that is older than the ledger, which is no harm.
                    self._keep_head()
            stop.wait(min(_LOOK_EVERY_S, max(0.0, due - time.monotonic())))

    def _load(self) -> None:
        found = self._custody.look()
        with self._store.step():
            self._custody.begin_anew(found)
            # Before any other board is drawn up: its number would be the one the gate obeys.
            self._number_boards_above_the_gate()
            now = self._build()
            self._make_safe(found, now)
        self._send_alerts()
        self._head = -1
        # Not before the hold is durable: if that fails, the head must be there to tell again.
        self._unkept = found.unread or self._keep_anew(found)
        self._say_whether_kept(now)

    def _keep_anew(self, found: Findings) -> str:
        """Begin to keep the head; returns why it cannot be kept, or ""."""
        try:
            if found.lost_at is not None:
                set_aside(found.lost_at)
            self._keep_head()
        except Unavailable as error:
            return str(error)
        if self._files.ledger_head != self._files.own_head:
            self._files.own_head.unlink(missing_ok=True)
        return ""

    def _say_whether_kept(self, now: Instant) -> None:
        told = self._store.cursor(_TOLD)
        if self._unkept and not told & _TOLD_UNKEPT:
            _log.error("head_not_kept", error=self._unkept)
            with self._store.step():
                self._judge.ledger.note("", UNKEPT.format(why=self._unkept), now, alert=True)
                self._store.put_cursor(_TOLD, told | _TOLD_UNKEPT)
            self._send_alerts()
        elif told and not self._unkept:
            with self._store.step():
                if told & _TOLD_UNKEPT:
                    self._judge.ledger.note("", KEPT_AGAIN, now, alert=True)
                self._store.put_cursor(_TOLD, 0)
            self._send_alerts()
            self._keep_head()

    def _build(self) -> Instant:
        """Judge, train and orders from what is stored; returns the moment they are of."""
        times = self._config.time
        ledger = LedgerWriter(self._store, self._sign)
        pace = Pace(times.bucket_ms, times.silence_min_ms, times.settle_ms)
        self._judge = Judge(self._store, self._gate, self._signals, ledger, pace)
        self._urgency = Urgency(self._store, ledger)
        self._train = Train(
            self._judge,
            self._config,
            self._root_key,
            new_nonce,
            self._claim,
            whole=self._whole,
            looks=self._preflights,
        )
        self._orders = Orders(
            self._judge, self._train, self._config, self._mirror.sync, self._claim
        )
        now = self._clock.now()
        self._dresser.forget()
        self._judge.load(self._train.unfinished(), now)
        # The step that failed may have held orders: look for them again.
        self._inbox_seen = -1
        return now

    def _make_safe(self, found: Findings, now: Instant) -> None:
        """Records were lost: hold what may rest on them, and tell.

        Whom the lost ones exposed, and what they shut, is not known any more: nothing in flight
        goes on by itself, and nothing boards before a person resumes the channel.
        """
        last = self._store.entries(after=self._store.last_index() - 1)
        since = last[0].entry.time_ms if last else 0
        size, told = self._store.last_index() + 1, self._store.cursor(_TOLD)
        notes = found.notes(size, since)
        if found.must_hold:
            for flight in list(self._judge.flights.values()):
                for ring, door in flight.doors.items():
                    if door.state in (State.WAITING, State.OPENING) and not door.shadow:
                        hold = Hold(Reason.RESTORED, note=notes[0].text)
                        self._judge.apply(flight, ring, hold, now)
            for channel in self._config.channels:
                if self._config.policy_for(channel.name).mode is not Mode.SHADOW:
                    self._train.block(channel.name, found.block)
        # A head that cannot be put in order is found again at every look, and told once.
        news = replace(
            found,
            lost=None if told & _TOLD_LOST else found.lost,
            headless=found.headless and not told & _TOLD_MISSING,
        )
        for note in news.notes(size, since):
            _log.error("records_lost", note=note.text)
            if note.database:
                decks = self._custody.decks() if note.database == GATE_DB else []
                self._judge.ledger.lose(note.database, note.text, decks, now)
            else:
                self._judge.ledger.note("", note.text, now, alert=True)
        told |= _TOLD_LOST * (found.lost is not None) | _TOLD_MISSING * found.headless
        self._store.put_cursor(_TOLD, told)
        if found.orders_are_old:
            self._answer_old_orders(now)
        if notes:
            self._publish_board()

    def _number_boards_above_the_gate(self) -> None:
        """A gate that obeys a board of the lost records must not take a new one for that one."""
        obeyed, board = self._gate.obeyed(), self._store.board()
        if obeyed > board.version:
            self._store.put_board(replace(board, version=obeyed + 1))

    def _answer_old_orders(self, now: Instant) -> None:
        """Orders that may have been answered already: what protects is done again, no other."""
        body = {"error": "records were deleted or restored", "hint": "look, then ask again"}
        stale = Answer("Unavailable", msgspec.json.encode(body).decode())
        for number, order in self._new_orders():
            protects = order.verb in _PROTECTING
            answer = (self._obey(number, order, now) if protects else None) or stale
            self._store.put_cursor("request", number)
            self._store.put_answer(number, answer.status, answer.body)

    def _step(self, orders: list[tuple[int, Order]], *, tick: bool) -> None:
        now = self._clock.now()
        opens = not self._unkept
        results: list[Result] = []
        picked: list[Made] = []
        if opens:
            results, self._waiting = self._waiting, []
            picked = list(self._picked)
        with self._store.step():
            answers = [(number, self._obey(number, order, now)) for number, order in orders]
            self._orders.expire(now)
            for result in results:
                self._take_over(result)
            for made in picked:
                taken = self._pickings.take(made, self._train, self._judge.ledger, now)
                answers.append((made.number, taken))
            refused, self._refused = self._refused, []
            for refusal in refused:
                self._refuse(refusal, now)
            looked, self._looked = self._looked, []
            for name, report in looked:
                self._train.inspection.take(name, report, now)
            if tick:
                self._judge.tick(now, self._store.board().version, opens=opens)
                self._look_for_urgent(now)
                if opens:
                    self._store.put_tick(now.boot, now.mono_ms, now.wall_ms)
            for channel in self._config.channels:
                if opens:
                    self._train.advance(channel, now)
                    self._train.consider(channel, now)
                else:
                    self._train.fall_back(channel.name, now)
            self._expiry.look(self._judge.ledger, now)
            self._certificates.look(self._judge.ledger, now)
            self._storage(self._judge.ledger, now)
            board = self._publish_board()
            # With the board: nobody is given something older before it is signed anew.
            self._dresser.keep(self._dresser.anew(board, quick=True))
            self._store.put_cursor("alerted", self._courier.delivered)
            for number, _ in orders:
                self._store.put_cursor("request", number)
            for number, answer in answers:
                if answer is not None:
                    self._store.put_answer(number, answer.status, _with_board(answer, board))
        # Whoever asked waits for an answer: a step that fails must not lose it.
        del self._picked[: len(picked)]

    def _obey(self, number: int, order: Order, now: Instant) -> Answer | None:
        """The answer to an order; None where it comes later."""
        if self._unkept and order.verb not in _PROTECTING:
            error = f"the ledger's head is not kept: {self._unkept}"
            hint = "bring back the disk of [ledger] head; hold and shut are obeyed meanwhile"
            body = msgspec.json.encode({"error": error, "hint": hint}).decode()
            return Answer("Unavailable", body)
        try:
            if order.verb == "pick":
                return self._pickings.ask(number, order, self._train)
            return self._orders.obey(order, now)
        except Unavailable:
            raise
        except Exception as error:
            # One order that trips over a mistake of ours must not stop the judge for ever.
            _log.exception("order_failed", request=number, verb=order.verb)
            raise _Stumbled(number) from error

    def _claim(self, release: str) -> bool:
        stored = self._store.release(release)
        mine = (each for each in self._config.channels if stored and each.name == stored.channel)
        channel = next(mine, None)
        manifest = self._store.manifest(release)
        return self._mirror.claim(manifest, *(() if channel is None else (channel.may_lack,)))

    def _whole(self, channel: ChannelConfig, release: str, before: str) -> bool:
        """Whether all that has to be is held; what is not, is fetched meanwhile."""
        if not channel.is_lazy:
            return True
        old, new = self._store.manifest(before), self._store.manifest(release)
        wanted = lacking(channel, old, new, self._gate.asked(channel.name), self._mirror.has)
        for file in wanted:
            self._mirror.want(file)
        return not wanted

    def _refuse(self, refusal: Refusal, now: Instant) -> None:
        if self._store.refuse(refusal, now.wall_ms):
            note = f"upstream: {refusal.path} was asked for and not served: {refusal.error}"
            self._judge.ledger.note(
                refusal.channel, note[:_NOTE_LIMIT], now, alert=not refusal.gone
            )

    def _look_for_urgent(self, now: Instant) -> None:
        """Tell of releases that name what is exploited. No door is moved by it."""
        if self._exploited is None or not self._exploited.is_on:
            return
        flights = self._judge.flights.values()
        while not self._exploited.looks.empty():
            self._urgency.take_list(self._exploited.looks.get(), now)
        while not self._exploited.found.empty():
            self._urgency.take_search(self._exploited.found.get(), now)
        for channel, previous, release in self._urgency.unsearched(flights):
            self._exploited.want(channel, previous, release)
        self._urgency.tell(flights, now)

    def _give_up_on(self, number: int) -> None:
        body = {"error": "a mistake in Firedoor: the log of the judge says more", "hint": ""}
        with self._store.step():
            self._store.put_cursor("request", number)
            self._store.put_answer(number, "Unavailable", msgspec.json.encode(body).decode())

    def _take_over(self, result: Result) -> None:
        now = self._clock.now()
        if result.snapshot is None:
            self._train.failed(result.channel, result.error, now)
        else:
            self._train.arrived(
                self._config.channel(result.channel), result.snapshot, now, result.manifest
            )
            self._expiry.arrived()

    def _publish_board(self) -> Board:
        board, before = self._train.board(), self._store.board()
        if board.version != before.version:
            self._store.put_board(board)
        if board.benched != before.benched:
            self._judge.ledger.note("", penalty.sentence(board.benched), self._clock.now())
        return board

    def _new_orders(self) -> list[tuple[int, Order]]:
        try:
            seen = self._inbox.version()
            if seen == self._inbox_seen:
                return []
            orders = self._inbox.after(self._store.cursor("request"))
        except Unavailable:
            return []  # No console has run yet: nobody can have asked.
        self._inbox_seen = seen
        return orders

    def _collect(self) -> None:
        while not self._mirror.refused.empty():
            self._refused.append(self._mirror.refused.get())
        while self._preflights is not None and not self._preflights.reports.empty():
            self._looked.append(self._preflights.reports.get())
        self._picked += self._pickings.collect(self._dresser)
        while not self._mirror.results.empty():
            self._waiting.append(self._dresser.dressed(self._mirror.results.get()))

    def _sign_anew(self) -> None:
        """What the board names from now on has to be later than what machines have."""
        renewed = self._dresser.anew(self._store.board(), quick=False)
        if renewed:
            with self._store.step():
                self._dresser.keep(renewed)

    def _keep_head(self) -> None:
        last = self._store.last_index()
        if last < 0 or last == self._head:
            return
        (signed,) = self._store.entries(after=last - 1)
        keep_head(self._files.ledger_head, Head(last + 1, leaf_hash(signed.entry)))
        self._head = last

    def _send_alerts(self) -> None:
        """Hand new alerts to the courier: each is delivered at least once, after a crash twice."""
        for signed in self._store.entries(after=self._courier.offered - 1):
            entry = signed.entry
            alert = None
            if entry.body.get("alert"):
                alert = {
                    "index": entry.index,
                    "kind": entry.kind,
                    **_alert_body(entry.body),
                    **explained_at(entry.body.get("release"), self._config.console.listen),
                }
            self._courier.offer(entry.index, alert)


def _alert_body(body: Mapping[str, object]) -> dict[str, object]:
    wanted = ("channel", "release", "ring", "to", "reason", "by", "note")
    return {key: body[key] for key in wanted if key in body}


def _with_board(answer: Answer, board: Board) -> str:
    body = msgspec.json.decode(answer.body)
    return msgspec.json.encode({**body, "board": board.version}).decode()
