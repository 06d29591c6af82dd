"""Orders: what people ask of doors, carried out by the judge and answered on the record."""

from collections.abc import Callable

import msgspec

from firedoor.config import Config
from firedoor.core.door import Expedite, Hold, Pin, Reason, Resume, Shut, State, Supersede
from firedoor.core.errors import BadInput, FiredoorError, IllegalTransition, NotAllowed, NotFound
from firedoor.core.units import UnixMs
from firedoor.formats.cve import cve_id
from firedoor.ports import Instant
from firedoor.services.flight import Flight
from firedoor.services.judging import Judge
from firedoor.services.order import Answer, Moved, Order
from firedoor.services.seconds import Seconds
from firedoor.services.train import Train

VERBS = (
    *("hold", "resume", "shut", "expedite", "pin", "unpin", "approve", "note"),
    *("sync", "unblock", "pick"),
)
MOST_CVES = 50
MOST_PACKAGES = 50
"""Packages of one order. Whoever wants more of a release wants the release."""

SHORTEST_LANE_MS = 60_000
LONGEST_LANE_MS = 30 * 24 * 3_600_000
_NOTE_LIMIT = 500
_LARGEST_BUDGET = 1_000_000
_LEFT = (State.SHUT, State.SUPERSEDED)
_ACCUSED = (Reason.BUDGET_SPENT, Reason.WORSE, Reason.LATE_HARM, Reason.PREFLIGHT)


class Orders:
    """Carries out orders within the judge's step. One thread at a time."""

    def __init__(
        self,
        judge: Judge,
        train: Train,
        config: Config,
        sync: Callable[[str], None],
        claim: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Put the parts together.

        Args:
            judge: Moves doors.
            train: Knows what has boarded.
            config: Channels, rings and policies.
            sync: Asks the mirror to look at a channel's upstream now.
            claim: Says whether all bytes of a release are held, and keeps them from being swept.
        """
        self._judge = judge
        self._train = train
        self._config = config
        self._sync = sync
        self._claim = claim
        self._seconds = Seconds(judge.store, judge.ledger)

    def obey(self, order: Order, now: Instant) -> Answer:
        """Carry out one order; a refusal is an answer too."""
        try:
            body = self._obeyed_or_kept(order, now)
        except FiredoorError as error:
            refusal = {"error": str(error), "hint": error.hint}
            return Answer(type(error).__name__, msgspec.json.encode(refusal).decode())
        return Answer("ok", msgspec.json.encode(body).decode())

    def expire(self, now: Instant) -> None:
        """Drop orders that no second person has approved in time; tell of each."""
        self._seconds.expire(now)

    def _obeyed_or_kept(self, order: Order, now: Instant) -> dict[str, object]:
        try:
            return {"doors": self._obey(order, now)}
        except _SecondWanted:
            asked = self._seconds.keep(order, self._doors_of(order, now), now)
            return {"doors": [], "waits": {"order": asked.number, "until_ms": asked.until_ms}}

    def _obey(self, order: Order, now: Instant) -> list[Moved]:
        if not order.by.strip():
            raise BadInput("say who asks", hint="--by NAME")
        if max(len(order.reason), len(order.by), len(order.approved_by)) > _NOTE_LIMIT:
            raise BadInput(f"a name or reason is longer than {_NOTE_LIMIT} characters")
        match order.verb:
            case "sync":
                self._sync(self._config.channel(order.channel).name)
                return []
            case "unblock":
                channel = self._config.channel(order.channel).name
                self._train.unblock(channel, order.by, order.reason, now)
                return []
            case "pin":
                return self._pin(order, now)
            case "unpin":
                return self._unpin(order, now)
            case "note":
                return self._note(order, now)
            case "approve":
                return self._approve(order, now)
            case "hold" | "resume" | "shut" | "expedite":
                return self._move(order, now)
            case _:
                raise BadInput(f"no such order: {order.verb}", hint=f"one of {', '.join(VERBS)}")

    def _note(self, order: Order, now: Instant) -> list[Moved]:
        """A person says what a release has to do with. No door moves."""
        boarding = self._flight(order.release, now).boarding
        cves = sorted({cve_id(each) for each in order.cves[: MOST_CVES + 1]})
        if not 1 <= len(cves) <= MOST_CVES:
            raise BadInput(f"a note names 1 to {MOST_CVES} CVEs", hint="--cve CVE-2021-44228")
        self._judge.store.add_named(order.release, dict.fromkeys(cves, order.by.strip()))
        note = f"{order.by} on release {boarding.number}: {', '.join(cves)}; {order.reason}"
        facts = {"release": order.release, "cves": cves}
        self._judge.ledger.note(boarding.channel, note, now, facts=facts)
        return []

    def _approve(self, order: Order, now: Instant) -> list[Moved]:
        """A second person lets an order be carried out that waits for one."""
        asked = self._seconds.waiting(order.order, order.release, now)
        if _is_one_person(order.by, asked.order.by):
            raise NotAllowed(
                f"order {asked.number} is {asked.order.by}'s own: another person has to approve it",
                hint="--by NAME",
            )
        if self._doors_of(asked.order, now) != asked.doors:
            # What was asked for was asked of doors that stood elsewhere.
            raise IllegalTransition(
                f"the doors have moved since {asked.order.by} asked",
                hint="look at them, and ask again: firedoor release show",
            )
        moved = self._obey(msgspec.structs.replace(asked.order, approved_by=order.by), now)
        self._seconds.done(asked, order, now)
        return moved

    def _doors_of(self, order: Order, now: Instant) -> tuple[tuple[str, str, int], ...]:
        doors = self._flight(order.release, now).doors
        return tuple((ring, door.state.value, door.since_ms) for ring, door in doors.items())

    def _move(self, order: Order, now: Instant) -> list[Moved]:
        flight = self._flight(order.release, now)
        rings = self._rings(order, flight)
        if order.verb == "expedite":
            self._expect_bytes(order.release, flight.boarding.channel)
        accused = any(flight.doors[ring].reason in _ACCUSED for ring in rings)
        if order.verb == "resume" and accused:
            # Asked before the first door moves: a refusal changes nothing.
            self._ask_for_two(order, flight.boarding.channel)
        moved: list[Moved] = []
        refused: IllegalTransition | None = None
        for ring in rings:
            try:
                moved.append(self._apply(order, flight, ring, now))
            except IllegalTransition as error:
                refused = error
        # With several rings an order moves those it applies to; it fails if it moved none.
        if not moved and refused is not None:
            raise refused
        if order.verb == "shut":
            self._train.fall_back(flight.boarding.channel, now)
            for each in moved:
                each["serves"], each["whole"] = self._train.served(
                    flight.boarding.channel, each["ring"]
                )
        return moved

    def _apply(self, order: Order, flight: Flight, ring: str, now: Instant) -> Moved:
        by, note = order.who, order.reason
        match order.verb:
            case "hold":
                event: Hold | Resume | Shut | Expedite = Hold(Reason.PERSON, by, note)
            case "resume":
                fresh = flight.boarding.terms[ring].budget
                blocked = self._train.is_blocked(ring, flight.doors)
                event = Resume(by, note, fresh, blocked)
            case "shut":
                event = Shut(by, note)
            case _:
                event = self._expedite(order, flight, now)
                self._refuse_if_overtaken(flight, ring)
        door = self._judge.apply(flight, ring, event, now)
        self._judge.publish(flight, now)
        return {"ring": ring, "state": door.state.value, "reason": door.reason.value}

    def _expedite(self, order: Order, flight: Flight, now: Instant) -> Expedite:
        channel, number = flight.boarding.channel, flight.boarding.number
        if not order.reason.strip():
            raise BadInput("expedite wants a reason", hint="--reason TEXT")
        if order.all == (order.budget is not None):
            raise BadInput("expedite wants either a budget or all", hint="--budget N or --all")
        if order.budget is not None and order.budget < 1:
            raise BadInput(f"a budget of {order.budget} machines admits nobody")
        if order.budget is not None and order.budget > _LARGEST_BUDGET:
            raise BadInput("that is no budget any more", hint="--all admits everybody")
        ends_ms = None if order.lasts_ms is None else _end_of_lane(order, order.lasts_ms, now)
        if order.budget is not None and self._judge.store.seed(channel, number):
            raise IllegalTransition(
                "the seed of this boarding is public: who would be treated next is no secret",
                hint="expedite --all, or pin the release",
            )
        self._ask_for_two(order, channel)
        return Expedite(order.who, order.reason, None if order.all else order.budget, ends_ms)

    def _ask_for_two(self, order: Order, channel: str) -> None:
        if not self._config.policy_for(channel).expedite_needs_two:
            return
        if not order.approved_by:
            raise _SecondWanted
        # A blank is nobody: a script's variable was empty, and the first person may not know.
        if not order.approved_by.strip() or _is_one_person(order.by, order.approved_by):
            raise NotAllowed("the policy wants a second person", hint="--approved-by NAME")

    def _pin(self, order: Order, now: Instant) -> list[Moved]:
        channel = self._config.channel(order.channel).name
        lines = self._train.lines[channel]
        numbers = [n for n, line in lines.items() if line.boarding.release == order.release]
        if not numbers:
            raise NotFound(
                f"release {order.release[:12]} has never boarded {channel}",
                hint="firedoor release list shows those that have",
            )
        self._expect_bytes(order.release, channel)
        number = max(numbers)
        target = self._train.flight(channel, number, now)
        known = {ring.name for ring in self._config.rings}
        rings = [ring for ring in self._rings(order, target) if ring in known]
        if any(target.doors[ring].state is not State.OPEN for ring in rings):
            # Back to what is open is a revert; anything else gives a ring what no evidence opened.
            self._ask_for_two(order, channel)
        moved: list[Moved] = []
        for ring in rings:
            door = self._judge.apply(target, ring, Pin(order.who, order.reason), now)
            for other, line in lines.items():
                state = line.doors[ring].state if ring in line.doors else None
                undecided = state in (State.WAITING, State.OPENING, State.HELD)
                # What is newer and open is left behind; what is older stays as it was.
                if other != number and (undecided or (state is State.OPEN and other > number)):
                    event = Supersede(Reason.PINNED, order.by, order.reason)
                    left = self._train.flight(channel, other, now)
                    self._judge.apply(left, ring, event, now)
            self._judge.store.put_pin(channel, ring, number)
            moved.append({"ring": ring, "state": door.state.value, "reason": door.reason.value})
        return moved

    def _unpin(self, order: Order, now: Instant) -> list[Moved]:
        channel = self._config.channel(order.channel).name
        pinned = self._judge.store.pins(channel)
        # Also of a ring that has left the configuration: its pin would stay for ever.
        rings = [ring for ring in pinned if order.ring in ("", ring)]
        if not rings:
            which = f"ring {order.ring!r}" if order.ring else "no ring"
            raise NotFound(f"{which} of {channel} is {'not ' if order.ring else ''}pinned")
        for ring in rings:
            self._judge.store.put_pin(channel, ring, 0)
            note = f"ring {ring} unpinned by {order.by}: {order.reason}"
            self._judge.ledger.note(channel, note, now)
        self._train.look_again(channel)
        return [{"ring": ring, "state": "unpinned", "reason": ""} for ring in rings]

    def _expect_bytes(self, release: str, channel: str) -> None:
        if not self._claim(release):
            raise NotFound(
                f"bytes of release {release[:12]} are missing: they rotted, or were deleted, as "
                f"{channel} keeps {self._config.channel(channel).keep} past releases",
                hint=f"if upstream offers it again: firedoor channel sync {channel}",
            )

    def _refuse_if_overtaken(self, flight: Flight, ring: str) -> None:
        """One release at a time: what is newer, in flight or open, would win all the same."""
        channel, number = flight.boarding.channel, flight.boarding.number
        for newer, line in self._train.lines[channel].items():
            door = line.doors.get(ring)
            if newer > number and door is not None and door.state not in _LEFT:
                raise IllegalTransition(
                    f"a newer release is {door.state} in ring {ring!r}",
                    hint="pin this one: firedoor release pin",
                )

    def _flight(self, release: str, now: Instant) -> Flight:
        for channel, lines in self._train.lines.items():
            numbers = [n for n, line in lines.items() if line.boarding.release == release]
            if numbers:
                return self._train.flight(channel, max(numbers), now)
        raise NotFound(f"no release {release[:12]} has boarded", hint="firedoor release list")

    def _rings(self, order: Order, flight: Flight) -> list[str]:
        if not order.ring:
            return list(flight.doors)
        ring = self._config.ring(order.ring).name
        if ring not in flight.doors:
            raise NotFound(
                f"ring {ring!r} did not exist when {flight.boarding.release[:12]} boarded",
                hint="its machines get what ring everyone gets until the next release boards",
            )
        return [ring]


class _SecondWanted(Exception):
    """The policy wants a second person, and the order names none. Nothing has moved."""


def _is_one_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _end_of_lane(order: Order, lasts_ms: int, now: Instant) -> UnixMs:
    if order.all:
        raise BadInput(
            "everybody gets it at once, so nothing is left that could end",
            hint="--budget N may be as large as the fleet, and ends after --for",
        )
    if not SHORTEST_LANE_MS <= lasts_ms <= LONGEST_LANE_MS:
        raise BadInput("a fast lane lasts a minute at least, and 30 days at most", hint="--for 4h")
    return UnixMs(now.wall_ms + lasts_ms)
