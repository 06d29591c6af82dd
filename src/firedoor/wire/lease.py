"""The board as one gate reads it: the leave to deal is for the gate.db that the judge has read."""

from pathlib import Path

from firedoor.adapters.store import gate
from firedoor.adapters.store.judge import JudgeReader


class LeasedBoard(JudgeReader):
    """The judge's store. A gate with other records than the judge knows gets no lease from it.

    It may not remember who drew the first cards of the decks on the board, and would deal them
    again; the judge withdraws them as soon as it has seen that this gate.db is another one.
    """

    def __init__(self, data: Path, records: str) -> None:
        """Open ``judge.db`` for the gate whose ``gate.db`` has this identity."""
        super().__init__(data)
        self._records = records

    def last_tick(self) -> tuple[str, int, int] | None:
        """(boot, monotonic ms, wall ms) of the judge's last tick, None if it is for another."""
        # "" is a judge of an earlier version, which did not say.
        read = self.source(gate.NAME)
        return super().last_tick() if read in ("", self._records) else None
