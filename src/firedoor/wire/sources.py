"""The other roles' databases as the console reads them: each opened when it first exists."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.errors import Unavailable
from firedoor.ports import Clock
from firedoor.wire.files import Files


class _Store(Protocol):
    def close(self) -> None: ...


_S = TypeVar("_S", bound=_Store)


class Sources:
    """Read-only. One thread at a time.

    Each property is None until its role has made its database, and a reader from then on.
    """

    def __init__(self, files: Files, clock: Clock) -> None:
        """Nothing is opened before it is asked for."""
        self._judge = _Late(lambda: JudgeReader(files.data))
        self._gate = _Late(lambda: GateReader(files.data))
        self._signals = _Late(lambda: SignalReader(files.signals))
        self._register = _Late(lambda: MachineRegister(files.register, clock, read_only=True))

    @property
    def judge(self) -> JudgeReader | None:
        """What has been decided."""
        return self._judge.get()

    @property
    def gate(self) -> GateReader | None:
        """Who got what."""
        return self._gate.get()

    @property
    def signals(self) -> SignalReader | None:
        """What machines said."""
        return self._signals.get()

    @property
    def register(self) -> MachineRegister | None:
        """Which machines there are."""
        return self._register.get()

    def versions(self) -> tuple[int, ...]:
        """Other numbers whenever judge, gate or register have written; a few microseconds.

        The intake is left out: it writes with every heartbeat, and what is told of heartbeats
        may be as old as the gate's last bucket.
        """
        stores = (self.judge, self.gate, self.register)
        return tuple(-1 if store is None else store.version() for store in stores)

    @contextmanager
    def snapshot(self) -> Iterator[JudgeReader | None]:
        """The judge's database; everything read of it within is of one moment."""
        judge = self.judge
        if judge is None:
            yield None
        else:
            with judge.snapshot():
                yield judge

    def close(self) -> None:
        """Close what was opened."""
        for late in (self._judge, self._gate, self._signals, self._register):
            late.close()


class _Late(Generic[_S]):
    """Opens a store the first time that it can be opened."""

    def __init__(self, opening: Callable[[], _S]) -> None:
        self._opening = opening
        self._store: _S | None = None

    def get(self) -> _S | None:
        if self._store is None:
            try:
                self._store = self._opening()
            except Unavailable:
                return None
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
