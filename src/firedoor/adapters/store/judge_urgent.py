"""What judge.db keeps of what is urgent: orders that wait, and known-exploited vulnerabilities."""

from firedoor.adapters.store.reader import Reader


class UrgentReader(Reader):
    """Reading it, from any process."""

    def asked(self) -> list[str]:
        """Orders that wait for a second person, oldest first, JSON."""
        return [row[0] for row in self._rows("SELECT body FROM asked ORDER BY number")]


class UrgentStore(UrgentReader):
    """The judge's own side: within a step."""

    def put_asked(self, number: int, body: str) -> None:
        """Let an order wait."""
        self._db.execute("INSERT INTO asked VALUES (?,?)", (number, body))

    def drop_asked(self, number: int) -> None:
        """It waits no more."""
        self._db.execute("DELETE FROM asked WHERE number = ?", (number,))
