"""Orders to pick packages: carried out beside the judge's steps, as an index takes seconds to read.

::

    order --> asked (who may, what of which releases) --> thread: pick --> taken (signed, on record)
"""

import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import structlog

from firedoor.config import ChannelConfig, Config
from firedoor.core.errors import BadInput, FiredoorError, IllegalTransition, NotFound, TooMuch
from firedoor.core.release import Manifest, id_prefix, release_id
from firedoor.core.ring import EVERYONE
from firedoor.ports import BlobStore, Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.lines import held_for_cause, in_flight, shut_releases
from firedoor.services.order import Answer, Order
from firedoor.services.orders import MOST_PACKAGES
from firedoor.services.records import PICKED
from firedoor.services.stores import JudgeRecords
from firedoor.services.train import Train
from firedoor.wire.dressing import Dresser
from firedoor.wire.picking import pick

_AT_ONCE: Final = 4
_NOTE_LIMIT: Final = 500
_NAMED: Final = 5
_SHORT: Final = 12

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Made:
    """An order that has been carried out so far, or why it cannot be.

    Attributes:
        number: Of the order.
        order: The order.
        base: Id of the release that machines have.
        newer: Id of the release that the packages are from.
        manifest: The release that was made.
        sources: What was picked: each source and its version.
        error: Why there is none.
    """

    number: int
    order: Order
    base: str
    newer: str
    manifest: Manifest = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    error: FiredoorError | None = None


class Pickings:
    """Asked by the court's thread alone."""

    def __init__(self, config: Config, store: JudgeRecords, blobs: BlobStore) -> None:
        """Nothing is asked yet.

        Args:
            config: Channels.
            store: Releases and snapshots.
            blobs: Has the indices; what is made goes there.
        """
        self._config = config
        self._store = store
        self._blobs = blobs
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="picking")
        self._made: queue.SimpleQueue[Made] = queue.SimpleQueue()
        self._under_way: set[int] = set()

    def ask(self, number: int, order: Order, train: Train) -> Answer | None:
        """Begin to carry out an order; a refusal is an answer, else it comes later."""
        if number in self._under_way:
            return None  # The step in which it was asked has failed, and is done again.
        try:
            made = self._begun(number, order, train)
            if len(self._under_way) >= _AT_ONCE:
                raise TooMuch("others are being picked", hint="ask again in a minute")
        except FiredoorError as error:
            return _refusal(error)
        base, newer = self._store.manifest(made.base), self._store.manifest(made.newer)
        self._under_way.add(number)
        self._thread.submit(self._pick, made, base, newer)
        return None

    def collect(self, dresser: Dresser) -> list[Made]:
        """What has been made since, as clients are to read it."""
        found = []
        while not self._made.empty():
            made = self._made.get()
            self._under_way.discard(made.number)
            found.append(self._dressed(made, dresser))
        return found

    def take(self, made: Made, train: Train, ledger: LedgerWriter, now: Instant) -> Answer:
        """Take over what was made, within the caller's step."""
        try:
            return self._taken(made, train, ledger, now)
        except FiredoorError as error:
            return _refusal(error)

    def _begun(self, number: int, order: Order, train: Train) -> Made:
        channel = self._config.channel(order.channel)
        if channel.apt is None or channel.apt.sign is None:
            raise BadInput(
                f"channel {channel.name} has indices that are not ours to sign",
                hint="single packages can be picked where a channel of kind apt has a key: sign",
            )
        if not order.by.strip():
            raise BadInput("say who asks", hint="--by NAME")
        if not order.reason.strip():
            raise BadInput("pick wants a reason", hint="--reason TEXT")
        if max(len(order.reason), len(order.by)) > _NOTE_LIMIT:
            raise BadInput(f"a name or reason is longer than {_NOTE_LIMIT} characters")
        if not 1 <= len(order.packages) <= MOST_PACKAGES:
            raise BadInput(f"pick names 1 to {MOST_PACKAGES} packages")
        base = self._base(channel.name, train)
        if not base:
            raise IllegalTransition(f"{channel.name} serves no release yet that could get them")
        if why := self._store.channel(channel.name).blocked:
            raise IllegalTransition(
                f"nothing boards {channel.name} before a person resumes it ({why})",
                hint=f"firedoor release resume {channel.name}",
            )
        if pinned := train.pinned(channel.name):
            raise IllegalTransition(
                f"ring {pinned[0]} is pinned, so nothing boards", hint="firedoor release unpin"
            )
        _expect_no_hold(channel.name, train)
        return Made(number, order, base, self._newer(channel, order))

    def _base(self, channel: str, train: Train) -> str:
        """Id of what is to get the packages: what machines have, or what was picked for them.

        A second pick that left out the first one, which is still being tried, would undo it.
        """
        lines = train.lines[channel]
        number = in_flight(lines)
        tried = lines[number].boarding.release if number else ""
        for seen in reversed(self._store.snapshots(channel)):
            if seen.state == PICKED or (seen.is_picked and seen.release == tried):
                return seen.release
        return train.served(channel, EVERYONE)[0]

    def _newer(self, channel: ChannelConfig, order: Order) -> str:
        """Id of the release that the packages are to be from."""
        if not order.release:
            offered = [s for s in self._store.snapshots(channel.name) if not s.is_picked]
            if not offered:
                raise NotFound(f"upstream of {channel.name} has offered nothing yet")
            return offered[-1].release
        prefix = id_prefix(order.release)
        found = [each for each in self._store.matching(prefix) if each.channel == channel.name]
        if len(found) != 1:
            which = "more than one release" if found else f"no release of {channel.name}"
            raise NotFound(f"{which} begins with {prefix}", hint="firedoor release list")
        return found[0].id

    def _pick(self, made: Made, base: Manifest, newer: Manifest) -> None:
        try:
            picked = pick(base, newer, made.order.packages, self._blobs)
            made = replace(made, manifest=picked.manifest, sources=picked.sources)
        except FiredoorError as error:
            made = replace(made, error=error)
        except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
            _log.exception("picking_failed", request=made.number)
            made = replace(made, error=BadInput(f"{type(error).__name__}: {error}"))
        self._made.put(made)

    def _dressed(self, made: Made, dresser: Dresser) -> Made:
        if made.error is not None:
            return made
        try:
            return replace(made, manifest=dresser.sign(made.order.channel, made.manifest))
        except FiredoorError as error:
            return replace(made, error=error)

    def _taken(self, made: Made, train: Train, ledger: LedgerWriter, now: Instant) -> Answer:
        if made.error is not None:
            raise made.error
        channel, order = self._config.channel(made.order.channel), made.order
        if self._base(channel.name, train) != made.base:
            raise IllegalTransition(
                f"what machines of {channel.name} have has changed meanwhile", hint="ask again"
            )
        _expect_no_hold(channel.name, train)
        release = release_id(channel.name, channel.kind, made.manifest)
        if release in shut_releases(train.lines[channel.name]):
            raise IllegalTransition(f"that is release {release[:_SHORT]}, which was shut")
        train.picked(channel, release, made.manifest, now)
        more = f" and {len(made.sources) - _NAMED}" if len(made.sources) > _NAMED else ""
        what = f"{', '.join(made.sources[:_NAMED])}{more}"
        note = (
            f"{order.by} picked {what} of release {made.newer[:_SHORT]}: release "
            f"{release[:_SHORT]} is {made.base[:_SHORT]} with it; {order.reason}"
        )
        facts = {
            "release": release,
            "base": made.base,
            "newer": made.newer,
            "picked": list(made.sources),
        }
        ledger.note(channel.name, note, now, facts=facts)
        body = {"doors": [], "release": release, "picked": list(made.sources)}
        return Answer("ok", msgspec.json.encode(body).decode())


def _expect_no_hold(channel: str, train: Train) -> None:
    """Refuse to put anything before a release that waits for a person's decision."""
    number = in_flight(train.lines[channel])
    held = held_for_cause(train.lines[channel][number]) if number else None
    if held is not None:
        short = held.release[:_SHORT]
        raise IllegalTransition(
            f"release {short} is held ({held.reason}); it would board again after the pick, as if "
            "nothing had been found",
            hint=f"decide about it first: once it is shut, --from {short} still picks of it",
        )


def _refusal(error: FiredoorError) -> Answer:
    body = msgspec.json.encode({"error": str(error), "hint": error.hint}).decode()
    return Answer(type(error).__name__, body)
