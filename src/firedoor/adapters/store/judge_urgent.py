"""What judge.db keeps of what is urgent: orders that wait, and known-exploited vulnerabilities."""

from collections.abc import Mapping

from firedoor.adapters.store.reader import Reader


class UrgentReader(Reader):
    """Reading it, from any process."""

    def asked(self) -> list[str]:
        """Orders that wait for a second person, oldest first, JSON."""
        return [row[0] for row in self._rows("SELECT body FROM asked ORDER BY number")]

    def feed(self) -> str:
        """State of the list of exploited vulnerabilities, JSON; "" before the first look."""
        rows = self._rows("SELECT body FROM feed")
        return str(rows[0][0]) if rows else ""

    def named(self, release: str) -> list[tuple[str, str]]:
        """Vulnerabilities that a release names, and who or what says so, by identifier."""
        sql = "SELECT cve, source FROM named WHERE release = ? ORDER BY cve"
        return self._rows(sql, release)

    def exploited_of(self, release: str) -> list[tuple[str, str, str]]:
        """Those of them that are known to be exploited: identifier, source and entry, JSON."""
        sql = """SELECT cve, source, body FROM named JOIN exploited USING (cve)
            WHERE release = ? ORDER BY cve"""
        return self._rows(sql, release)

    def urgent(self) -> set[str]:
        """Releases that name a vulnerability that is known to be exploited."""
        rows = self._rows("SELECT DISTINCT release FROM named JOIN exploited USING (cve)")
        return {row[0] for row in rows}

    def searched(self, release: str) -> str | None:
        """None before a release was searched, "" after it was, or why it could not be."""
        rows = self._rows("SELECT error FROM searched WHERE release = ?", release)
        return str(rows[0][0]) if rows else None


class UrgentStore(UrgentReader):
    """The judge's own side: within a step."""

    def put_asked(self, number: int, body: str) -> None:
        """Let an order wait."""
        self._db.execute("INSERT INTO asked VALUES (?,?)", (number, body))

    def drop_asked(self, number: int) -> None:
        """It waits no more."""
        self._db.execute("DELETE FROM asked WHERE number = ?", (number,))

    def put_feed(self, body: str) -> None:
        """Store the state of the list."""
        self._db.execute("INSERT OR REPLACE INTO feed VALUES (1,?)", (body,))

    def put_exploited(self, entries: Mapping[str, str]) -> None:
        """Replace the list: identifier -> entry, JSON."""
        self._db.execute("DELETE FROM exploited")
        self._db.executemany("INSERT INTO exploited VALUES (?,?)", entries.items())

    def add_named(self, release: str, cves: Mapping[str, str]) -> None:
        """Note what a release names: identifier -> who or what says so. The first to say stays."""
        rows = [(release, cve, source) for cve, source in cves.items()]
        self._db.executemany("INSERT OR IGNORE INTO named VALUES (?,?,?)", rows)

    def put_searched(self, release: str, error: str) -> None:
        """Note that a release was searched, or why it could not be."""
        self._db.execute("INSERT OR REPLACE INTO searched VALUES (?,?)", (release, error))
