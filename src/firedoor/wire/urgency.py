"""What is urgent about a release, as the console shows it."""

from firedoor.adapters.store.judge import JudgeReader
from firedoor.console.urgent import ExploitedView, WaitingOrder
from firedoor.services.seconds import read
from firedoor.services.urgency import read_entry


def waiting(judge: JudgeReader, release: str) -> tuple[WaitingOrder, ...]:
    """Orders about a release that wait for a second person, oldest first."""
    found = (read(body) for body in judge.asked())
    return tuple(
        WaitingOrder(
            number=each.number,
            verb=each.order.verb,
            by=each.order.by,
            reason=each.order.reason,
            ring=each.order.ring,
            budget=each.order.budget,
            lasts_s=None if each.order.lasts_ms is None else each.order.lasts_ms // 1000,
            until_ms=each.until_ms,
        )
        for each in found
        if each.order.release == release
    )


def exploited(judge: JudgeReader, release: str) -> tuple[ExploitedView, ...]:
    """Vulnerabilities that a release names and that are known to be exploited."""
    found = []
    for cve, source, body in judge.exploited_of(release):
        entry = read_entry(body)
        found.append(
            ExploitedView(
                cve=cve,
                name=entry.name,
                added=entry.added,
                ransomware=entry.ransomware,
                source=source,
            )
        )
    return tuple(found)
