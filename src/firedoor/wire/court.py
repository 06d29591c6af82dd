"""The judge's process: orders, snapshots and ticks, each in one durable step."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import msgspec
import structlog

from firedoor.config import Config
from firedoor.core.board import Board
from firedoor.core.door import Hold, Reason, State
from firedoor.core.errors import Unavailable
from firedoor.core.ledger.chain import Head
from firedoor.core.ledger.entry import leaf_hash
from firedoor.core.terms import Mode
from firedoor.ports import Clock, Instant, Numbered, SignalSource
from firedoor.services.judging import Judge, Pace
from firedoor.services.ledger import LedgerWriter, Sign
from firedoor.services.orders import Answer, Order, Orders
from firedoor.services.records import GateRecords, JudgeRecords
from firedoor.services.train import Train
from firedoor.wire.alerts import Alert, Courier
from firedoor.wire.files import Files
from firedoor.wire.head import keep_head, set_aside
from firedoor.wire.mirroring import Mirror, Result
from firedoor.wire.restored import Custody, Findings

_LOOK_EVERY_S = 0.05
_RETRY_S = 1.0
_PROTECTING = ("shut", "hold")
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
        alert: Alert,
        clock: Clock,
    ) -> None:
        """Put the parts together; ``run`` reads and writes."""
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
        self._waiting: list[Result] = []
        self._inbox_seen = -1

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
        while not stop.is_set():
            orders = self._new_orders()
            self._collect()
            tick = time.monotonic() >= due
            if tick and self._custody.replaced():
                return  # Everything is loaded again, and what was replaced is dealt with there.
            if tick:
                due = max(due + bucket_s, time.monotonic())
            if tick or orders or self._waiting:
                self._step(orders, tick=tick)
                self._send_alerts()
            stop.wait(min(_LOOK_EVERY_S, max(0.0, due - time.monotonic())))

    def _load(self) -> None:
        found = self._custody.look()
        with self._store.step():
            self._custody.begin_anew(found)
            # Before any other board is drawn up: its number would be the one the gate obeys.
            self._number_boards_above_the_gate()
            now = self._build()
            self._make_safe(found, now)
        # Not before the hold is durable: if that fails, the head must be there to tell again.
        if found.lost_at is not None:
            set_aside(found.lost_at)
        self._head = -1
        self._keep_head()
        if self._files.ledger_head != self._files.own_head:
            self._files.own_head.unlink(missing_ok=True)

    def _build(self) -> Instant:
        """Judge, train and orders from what is stored; returns the moment they are of."""
        times = self._config.time
        ledger = LedgerWriter(self._store, self._sign)
        pace = Pace(times.bucket_ms, times.silence_min_ms, times.settle_ms)
        self._judge = Judge(self._store, self._gate, self._signals, ledger, pace)
        self._train = Train(self._judge, self._config, self._root_key, new_nonce)
        self._orders = Orders(
            self._judge, self._train, self._config, self._mirror.sync, self._claim
        )
        now = self._clock.now()
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
        notes = found.notes(self._store.last_index() + 1, since)
        if found.must_hold:
            for flight in list(self._judge.flights.values()):
                for ring, door in flight.doors.items():
                    if door.state in (State.WAITING, State.OPENING) and not door.shadow:
                        hold = Hold(Reason.RESTORED, note=notes[0])
                        self._judge.apply(flight, ring, hold, now)
            for channel in self._config.channels:
                if self._config.policy_for(channel.name).mode is not Mode.SHADOW:
                    self._train.block(channel.name)
        for note in notes:
            _log.error("records_lost", note=note)
            self._judge.ledger.note("", note, now, alert=True)
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
            answer = self._obey(number, order, now) if protects else stale
            self._store.put_cursor("request", number)
            self._store.put_answer(number, answer.status, answer.body)

    def _step(self, orders: list[tuple[int, Order]], *, tick: bool) -> None:
        now = self._clock.now()
        results, self._waiting = self._waiting, []
        with self._store.step():
            answers = [(number, self._obey(number, order, now)) for number, order in orders]
            for result in results:
                self._take_over(result)
            if tick:
                self._judge.tick(now, self._store.board().version)
                self._store.put_tick(now.boot, now.mono_ms, now.wall_ms)
            for channel in self._config.channels:
                self._train.advance(channel, now)
                self._train.consider(channel, now)
            board = self._publish_board()
            self._store.put_cursor("alerted", self._courier.delivered)
            for number, answer in answers:
                self._store.put_cursor("request", number)
                self._store.put_answer(number, answer.status, _with_board(answer, board))
        # A crash here leaves a head that is older than the ledger, which is no harm.
        self._keep_head()

    def _obey(self, number: int, order: Order, now: Instant) -> Answer:
        try:
            return self._orders.obey(order, now)
        except Unavailable:
            raise
        except Exception as error:
            # One order that trips over a mistake of ours must not stop the judge for ever.
            _log.exception("order_failed", request=number, verb=order.verb)
            raise _Stumbled(number) from error

    def _claim(self, release: str) -> bool:
        return self._mirror.claim(self._store.manifest(release).values())

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
            self._train.arrived(self._config.channel(result.channel), result.snapshot, now)

    def _publish_board(self) -> Board:
        board = self._train.board()
        if board.version != self._store.board().version:
            self._store.put_board(board)
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
        while not self._mirror.results.empty():
            self._waiting.append(self._mirror.results.get())

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
                alert = {"index": entry.index, "kind": entry.kind, **_alert_body(entry.body)}
            self._courier.offer(entry.index, alert)


def _alert_body(body: Mapping[str, object]) -> dict[str, object]:
    wanted = ("channel", "release", "ring", "to", "reason", "by", "note")
    return {key: body[key] for key in wanted if key in body}


def _with_board(answer: Answer, board: Board) -> str:
    body = msgspec.json.decode(answer.body)
    return msgspec.json.encode({**body, "board": board.version}).decode()
