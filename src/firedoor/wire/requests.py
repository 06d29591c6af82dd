"""How a person acts: an order for the judge, and the answer once it is decided and in force."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from firedoor.adapters.store.inbox import InboxWriter
from firedoor.adapters.store.judge import JudgeReader
from firedoor.config import Config
from firedoor.console.model import Outcome, Verb
from firedoor.core import errors
from firedoor.core.errors import BadInput, FiredoorError, NotFound, Rejected, Unavailable
from firedoor.ports import Clock
from firedoor.services.ledger import DOOR, NOTE
from firedoor.services.order import Order
from firedoor.wire.files import Files
from firedoor.wire.sources import Sources
from firedoor.wire.views import Views

_LOOK_EVERY_S: Final = 0.03
_ANSWER_WITHIN_S: Final = 5.0
_PICKED_WITHIN_S: Final = 55.0
_FORCE_WITHIN_S: Final = 2.0
_SHORT: Final = 12
_CHANNEL_VERBS: Final = frozenset({Verb.SYNC, Verb.RESUME_CHANNEL, Verb.PICK})
# Only these name their channel beside the release; of the others the judge finds it.
_PINS: Final = frozenset({Verb.PIN, Verb.UNPIN})
_RECORDED_AS_NOTE: Final = frozenset({"unpin", "unblock", "note", "pick"})

_DONE: Final[Mapping[Verb, str]] = {
    Verb.HOLD: "is held: nobody new gets it until a person resumes",
    Verb.RESUME: "goes on",
    Verb.SHUT: "is shut: nobody new gets it, and what only it has is refused",
    Verb.EXPEDITE: "is expedited",
    Verb.PIN: "is pinned: machines get it now, whatever the evidence says",
    Verb.UNPIN: "is pinned no more: the channel follows the evidence again",
    Verb.APPROVE: "is moved as two people asked",
    Verb.NOTE: "is noted to have to do with these CVEs: no door moves by it",
}


class _Moved(msgspec.Struct, frozen=True):
    ring: str
    state: str
    reason: str
    serves: str = ""
    whole: bool = True


class _Waits(msgspec.Struct, frozen=True):
    order: int
    until_ms: int


class _Answer(msgspec.Struct, frozen=True):
    """The body of an answer, of either sort; see ``orders.Orders.obey``."""

    board: int = 0
    doors: tuple[_Moved, ...] = ()
    waits: _Waits | None = None
    release: str = ""
    picked: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""


class Inbox:
    """Implements ``Requests``. Several may be under way at once, in one event loop."""

    def __init__(
        self,
        config: Config,
        files: Files,
        writer: InboxWriter,
        clock: Clock,
        *,
        answer_within_s: float = _ANSWER_WITHIN_S,
        force_within_s: float = _FORCE_WITHIN_S,
    ) -> None:
        """Nothing is opened yet.

        Args:
            config: Channels and rings.
            files: Where the stores of judge and gate lie.
            writer: Where orders go.
            clock: For the record of when they came.
            answer_within_s: How long the judge may take, > 0.
            force_within_s: How long the gate may take to act on it after that, > 0.
        """
        self._sources = Sources(files, clock)
        self._views = Views(config, files, clock)
        self._writer = writer
        self._clock = clock
        self._answer_within_s = answer_within_s
        self._force_within_s = force_within_s
        self._writing = asyncio.Lock()

    def close(self) -> None:
        """Close what was opened to read; the writer is the caller's."""
        self._sources.close()
        self._views.close()

    async def submit(
        self, verb: Verb, target: str, arguments: Mapping[str, object], by: str
    ) -> Outcome:
        """Ask for one thing; return when it is decided, durable and, if it can be, in force."""
        judge = self._sources.judge
        if judge is None:
            raise _no_judge()
        channel = _channel_of(judge, verb, target)
        order = _order(verb, target, channel, arguments, by)
        before = judge.last_index()
        async with self._writing:
            # It waits for the disk, which the event streams need not.
            number = await asyncio.to_thread(self._writer.put, order, self._clock.now().wall_ms)
        # Indices are read and written for it: seconds, where a distribution is large.
        within_s = _PICKED_WITHIN_S if verb is Verb.PICK else self._answer_within_s
        answer = await self._answer(judge, number, within_s)
        in_force = verb in _CHANNEL_VERBS or await self._in_force(answer.board)
        view = None if verb in _CHANNEL_VERBS else self._views.release(target)
        return Outcome(
            index=_recorded(judge, order, channel, before, moved=answer.waits is None),
            sentence=_sentence(verb, target, answer, in_force=in_force),
            channel=channel,
            release=answer.release if view is None else view.id,
            door={} if view is None or answer.waits is not None else view.door,
            order=0 if answer.waits is None else answer.waits.order,
        )

    async def _answer(self, judge: JudgeReader, number: int, within_s: float) -> _Answer:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while (found := judge.answer(number)) is None:
            if loop.time() >= until:
                raise _no_judge(number)
            await asyncio.sleep(_LOOK_EVERY_S)
        status, body = found
        answer = msgspec.json.decode(body, type=_Answer)
        if status != "ok":
            raise _refusal(status)(answer.error, hint=answer.hint)
        return answer

    async def _in_force(self, board: int) -> bool:
        """Wait until the gate acts on this board; say whether it does."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._force_within_s
        while True:
            gate = self._sources.gate
            if gate is not None and gate.obeyed() >= board:
                return True
            if loop.time() >= until:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)


def _no_judge(number: int = 0) -> Unavailable:
    if not number:
        return Unavailable(
            "the judge has never run here, so nobody can decide", hint="start it: firedoor up"
        )
    return Unavailable(
        f"the judge does not answer request {number}; it may still carry it out",
        hint="see whether the judge is running, then look at the ledger before you ask again",
    )


def _channel_of(judge: JudgeReader, verb: Verb, target: str) -> str:
    if verb in _CHANNEL_VERBS:
        return target
    stored = judge.release(target)
    if stored is None:
        raise NotFound(f"no release {target[:_SHORT]}", hint="firedoor release list")
    return stored.channel


def _order(
    verb: Verb, target: str, channel: str, arguments: Mapping[str, object], by: str
) -> Order:
    fields = {name: value for name, value in arguments.items() if value is not None}
    fields |= {
        "verb": "unblock" if verb is Verb.RESUME_CHANNEL else verb.value,
        "by": by,
        "channel": channel if verb in _CHANNEL_VERBS | _PINS else "",
    }
    if verb is not Verb.PICK:
        fields["release"] = "" if verb in _CHANNEL_VERBS else target
    try:
        return msgspec.convert(fields, Order)
    except msgspec.ValidationError as error:
        raise BadInput(f"{verb.value}: {error}") from error


def _refusal(status: str) -> type[FiredoorError]:
    """The class of error that the judge named; anything unknown changed nothing, so Rejected."""
    found = getattr(errors, status, None)
    return found if isinstance(found, type) and issubclass(found, FiredoorError) else Rejected


def _recorded(
    judge: JudgeReader, order: Order, channel: str, before: int, *, moved: bool
) -> int | None:
    """Ledger index of the decision: the last entry of this order that came since.

    Args:
        judge: Where the ledger is.
        order: What was asked for.
        channel: Its channel.
        before: Index of the last entry before it was asked for.
        moved: It was carried out; else it waits for a second person.
    """
    by_note = not moved or order.verb in _RECORDED_AS_NOTE
    index = None
    for signed in judge.entries(after=before):
        entry, body = signed.entry, signed.entry.body
        if by_note:
            ours = entry.kind == NOTE and body.get("channel") == channel
        else:
            ours = entry.kind == DOOR and body.get("release") == order.release
        # A second approver follows the name of the first.
        said = str(body.get("note" if entry.kind == NOTE else "by", ""))
        if ours and order.by in said:
            index = entry.index
    return index


def _sentence(verb: Verb, target: str, answer: _Answer, *, in_force: bool) -> str:
    if verb is Verb.SYNC:
        return f"the mirror looks at the upstream of {target} now"
    if verb is Verb.PICK:
        return (
            f"release {answer.release[:_SHORT]} is what machines have, with "
            f"{', '.join(answer.picked)}; it boards next: firedoor release show "
            f"{answer.release[:_SHORT]}"
        )
    if verb is Verb.RESUME_CHANNEL:
        return f"the next release of {target} may board again"
    if answer.waits is not None:
        until = datetime.fromtimestamp(answer.waits.until_ms / 1000, UTC)
        return (
            f"nothing has moved yet: the policy wants a second person. Order {answer.waits.order} "
            f"waits for one until {until:%H:%M}Z: "
            f"firedoor release approve {target[:_SHORT]} {answer.waits.order} --by NAME"
        )
    rings = ", ".join(
        f"ring {door.ring} is {door.state}" + (f" ({door.reason})" if door.reason else "")
        for door in answer.doors
    )
    said = f"release {target[:_SHORT]} {_DONE[verb]}"
    if not answer.doors:
        return said
    said = f"{said}; {rings}"
    if verb is Verb.SHUT:
        said = f"{said}; {', '.join(map(_what_is_left, answer.doors))}"
    if in_force:
        return said
    return (
        f"{said}; it is decided and on record, but the gate has not confirmed yet that it acts "
        "on it"
    )


def _what_is_left(door: _Moved) -> str:
    if not door.serves:
        return f"nothing is left to give ring {door.ring}: its machines are answered 503"
    broken = "" if door.whole else ", of which files are missing"
    return f"ring {door.ring} gets {door.serves[:_SHORT]}{broken}"
