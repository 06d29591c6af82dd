"""Crowds: whose connection goes first when there are as many as there may be.

Who has many gives before who has few, so one address cannot push out the others, however it
keeps its connections busy. Counts are rounded to powers of two for this: who has a few more than
others is their equal. Among equals the connection goes whose loss is the smallest, and none that
is in use.

A choice costs the same however many there are: of small crowds some are looked at, in turn, and
a large one is looked through once a second at most.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import islice
from operator import itemgetter
from typing import Final, Generic, TypeVar

_M = TypeVar("_M")

_FEW_BITS: Final = 4
"""Fewer connections than 16 make no difference between addresses: updaters open several."""

_FEW: Final = (1 << _FEW_BITS) - 1
_TRIED: Final = 32

Loss = Callable[[_M], int | None]
"""How much is lost with a member, the less the sooner it goes; None: it is in use."""


class _Crowd(Generic[_M]):
    __slots__ = ("looked", "members", "queue")

    def __init__(self) -> None:
        self.members: dict[_M, None] = {}
        self.queue: list[_M] = []
        self.looked = -1


class Crowds(Generic[_M]):
    """Open connections by the address they come from."""

    def __init__(self, loss: Loss[_M], nothing: int = 0) -> None:
        """Begin with none.

        Args:
            loss: Asked only while somebody has to go.
            nothing: A loss below this is none: such a member goes, whatever its address has,
                before one that is in use.
        """
        self._loss = loss
        self._nothing = nothing
        self._crowds: dict[str, _Crowd[_M]] = {}
        self._levels: dict[int, dict[str, None]] = {}
        self._of: dict[_M, str] = {}

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._of)

    def __iter__(self) -> Iterator[_M]:
        """All of them."""
        return iter(self._of)

    def __contains__(self, member: object) -> bool:
        """Whether it is open."""
        return member in self._of

    def enter(self, member: _M, address: str) -> None:
        """A connection was opened from an IP address."""
        key = self._of[member] = _origin(address)
        crowd = self._crowds.setdefault(key, _Crowd())
        crowd.members[member] = None
        self._place(key, len(crowd.members) - 1, len(crowd.members))

    def leave(self, member: _M) -> None:
        """It was closed; nothing happens if that is known."""
        key = self._of.pop(member, None)
        if key is None:
            return
        crowd = self._crowds[key]
        members = crowd.members
        del members[member]
        self._place(key, len(members) + 1, len(members))
        if not members:
            del self._crowds[key]
        elif len(crowd.queue) > 2 * len(members):
            # Each time it is half as long: those that have gone must not be kept by their places.
            crowd.queue = [each for each in crowd.queue if each in members]

    def gives(self, address: str, second: int) -> _M | None:
        """The connection that makes room for another one from this address.

        Args:
            address: IP address of the one that wants in.
            second: Now, of any clock that does not go back.

        Returns:
            None where the newcomer has no better claim than anybody: all are in use, and nobody
            has many more.
        """
        key = _origin(address)
        own = self._crowds.get(key)
        level = _level(1 + (len(own.members) if own else 0))
        most = max(self._levels, default=-1)
        if own is not None and level > most:
            return self._least(own, second)
        first = next(iter(self._levels.get(most, ())), "")
        found, _ = self._least_of(most, second)
        if found is None and most > level:
            for lower in sorted(self._levels, reverse=True)[1:]:
                found, loss = self._least_of(lower, second)
                if found is not None and loss < self._nothing:
                    return found
            return next(iter(self._crowds[first].members))
        return found

    def nobody_has_many(self) -> bool:
        """Whether all addresses have as few as updaters open."""
        return max(self._levels, default=0) == 0

    def _least_of(self, level: int, second: int) -> tuple[_M | None, int]:
        """Of some crowds of a level the member whose loss is the smallest, and that loss."""
        crowds = self._levels.get(level, {})
        best, found = 0, None
        for each in list(islice(crowds, _TRIED)):
            # In turn: others are looked at the next time.
            crowds[each] = crowds.pop(each)
            member = self._least(self._crowds[each], second)
            loss = None if member is None else self._loss(member)
            if loss is not None and (found is None or loss < best):
                best, found = loss, member
        return found, best

    def has_few(self, address: str) -> bool:
        """Whether another one from this address would be among few, as an updater opens them."""
        own = self._crowds.get(_origin(address))
        return own is None or _level(1 + len(own.members)) == 0

    def _least(self, crowd: _Crowd[_M], second: int) -> _M | None:
        """The member whose loss is the smallest, as far as is known; None: all are in use."""
        if len(crowd.members) <= _FEW:
            crowd.queue = self._by_loss(crowd)
        elif not self._pruned(crowd) and crowd.looked != second:
            crowd.looked = second
            crowd.queue = self._by_loss(crowd)
        return crowd.queue[-1] if self._pruned(crowd) else None

    def _pruned(self, crowd: _Crowd[_M]) -> list[_M]:
        """The queue, without those at its end that have gone or are in use again."""
        queue = crowd.queue
        while queue and (queue[-1] not in crowd.members or self._loss(queue[-1]) is None):
            queue.pop()
        return queue

    def _by_loss(self, crowd: _Crowd[_M]) -> list[_M]:
        """Who is not in use, the smallest loss last; of the same loss who came first."""
        losses = [(self._loss(each), each) for each in reversed(crowd.members)]
        waiting = [(loss, each) for loss, each in losses if loss is not None]
        waiting.sort(key=itemgetter(0), reverse=True)
        return [each for _, each in waiting]

    def _place(self, key: str, before: int, after: int) -> None:
        old, new = _level(before), _level(after)
        if old == new:
            return
        if old >= 0:
            del self._levels[old][key]
            if not self._levels[old]:
                del self._levels[old]
        if new >= 0:
            self._levels.setdefault(new, {})[key] = None


def _level(count: int) -> int:
    """Crowds of the same level are equals; -1: there is nobody."""
    return max(0, count.bit_length() - _FEW_BITS) if count else -1


def _origin(address: str) -> str:
    """What one person has at the least: an IPv4 address, or a network of IPv6."""
    if ":" not in address:
        return address
    shown = ip_address(address.partition("%")[0])
    mapped = getattr(shown, "ipv4_mapped", None)
    return str(mapped) if mapped else shown.exploded[:19]
