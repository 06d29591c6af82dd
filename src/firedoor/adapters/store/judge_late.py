"""What judge.db keeps of machines that show late what a release does."""

from firedoor.adapters.store.judge_rows import late_of
from firedoor.adapters.store.reader import Reader
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.late import Late, Wait
from firedoor.services.records import StoredEffect


class LateReader(Reader):
    """Reading it, from any process."""

    def late(self, channel: str, number: int) -> list[Late]:
        """Treated members that had not installed when they were looked at, and still count."""
        sql = (
            "SELECT place, machine, ring, deck, cls, beating, boot, since_ms, counted, wait  "
            "FROM late WHERE channel = ? AND number = ? ORDER BY place"
        )
        rows = self._rows(sql, channel, number)
        return [late_of(row) for row in rows]

    def effects(self, channel: str, number: int) -> list[StoredEffect]:
        """Restarts by which a boarding has taken effect, by machine."""
        sql = (
            "SELECT machine, boot, mono_ms, wall_ms FROM effect "
            "WHERE channel = ? AND number = ? ORDER BY machine"
        )
        return [
            StoredEffect(machine, Instant(boot, mono_ms, UnixMs(wall_ms)))
            for machine, boot, mono_ms, wall_ms in self._rows(sql, channel, number)
        ]


class LateStore(LateReader):
    """The judge's own side: within a step."""

    def put_late(self, channel: str, number: int, late: Late) -> None:
        """Note where a late machine stands; one that is over is forgotten."""
        if late.wait is Wait.OVER:
            self._db.execute("DELETE FROM late WHERE place = ?", (late.row,))
            return
        row = (
            late.row,
            channel,
            number,
            late.machine,
            late.ring,
            late.deck,
            late.cls,
            late.beating,
            late.boot,
            late.since_ms,
            late.counted,
            late.wait.value,
        )
        self._db.execute("INSERT OR REPLACE INTO late VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", row)

    def add_effect(self, channel: str, number: int, effect: StoredEffect) -> None:
        """Note that a boarding has taken effect on a machine."""
        at = effect.at
        row = channel, number, effect.machine, at.boot, at.mono_ms, at.wall_ms
        self._db.execute("INSERT OR IGNORE INTO effect VALUES (?,?,?,?,?,?)", row)

    def drop_effect(self, channel: str, number: int, machine: int) -> None:
        """Note that it has not any more: the machine has got another file of it."""
        row = channel, number, machine
        self._db.execute("DELETE FROM effect WHERE channel = ? AND number = ? AND machine = ?", row)
