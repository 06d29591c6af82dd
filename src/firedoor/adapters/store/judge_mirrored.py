"""What judge.db keeps of the mirror's work: what was seen, not fetched, and looked at first."""

from firedoor.adapters.store.reader import Reader
from firedoor.services.preflight import Report, Result
from firedoor.services.supply import Refusal

_DAY_MS = 24 * 3_600_000


class MirroredReader(Reader):
    """Reading it, from any process."""

    def last_snapshot(self, channel: str) -> bytes:
        """The channel's last good snapshot in its stored form, empty before the first."""
        rows = self._rows("SELECT snapshot FROM looked WHERE channel = ?", channel)
        return bytes(rows[0][0]) if rows else b""

    def refusals_after(self, number: int) -> list[Refusal]:
        """Files that were not fetched lately, above a row, oldest first."""
        sql = "SELECT channel, path, sha256, gone, error, id FROM refusal WHERE id > ? ORDER BY id"
        rows = self._rows(sql, number)
        return [Refusal(r[0], r[1], r[2], bool(r[3]), r[4], r[5]) for r in rows]

    def preflight(self, release: str) -> Report | None:
        """What a preflight found of a release, None while none has ended."""
        sql = "SELECT release, result, sentence, took_ms, at_ms FROM preflight WHERE release = ?"
        rows = self._rows(sql, release)
        return Report(rows[0][0], Result(rows[0][1]), *rows[0][2:]) if rows else None


class MirroredStore(MirroredReader):
    """The judge's own side: within a step."""

    def put_last_snapshot(self, channel: str, snapshot: bytes) -> None:
        """Store a snapshot; nothing is written where it is the same."""
        sql = """INSERT INTO looked VALUES (?1,?2) ON CONFLICT (channel)
            DO UPDATE SET snapshot = ?2 WHERE snapshot != ?2"""
        self._db.execute(sql, (channel, snapshot))

    def put_preflight(self, report: Report) -> None:
        """Store what a preflight found; what was found before counts no more."""
        self._db.execute(
            "INSERT OR REPLACE INTO preflight VALUES (?,?,?,?,?)",
            (report.release, report.result, report.sentence, report.took_ms, report.at_ms),
        )

    def refuse(self, refusal: Refusal, at_ms: int) -> bool:
        """Note why a file was not fetched; say whether that is news. Kept for a day."""
        self._db.execute("DELETE FROM refusal WHERE at_ms < ?", (at_ms - _DAY_MS,))
        same = refusal.channel, refusal.path, refusal.sha256, refusal.gone, refusal.error
        known = self._rows("SELECT 1 FROM refusal WHERE sha256 = ? AND error = ?", *same[2::2])
        self._db.execute("INSERT INTO refusal VALUES (NULL,?,?,?,?,?,?)", (*same, at_ms))
        return not known
