"""Inspection: a release is looked at before it boards, and what was found is on the record."""

from dataclasses import replace

from firedoor.config import ChannelConfig, Config
from firedoor.core.ledger.canonical import Json
from firedoor.core.terms import Mode
from firedoor.ports import Instant
from firedoor.services.ledger import PREFLIGHT, LedgerWriter
from firedoor.services.preflight import Job, Looks, Report, Result
from firedoor.services.records import Block, Seen
from firedoor.services.stores import JudgeRecords

_SHORT = 12


class Inspection:
    """Asks for what has not been looked at. One thread at a time, within the judge's steps."""

    def __init__(
        self, store: JudgeRecords, ledger: LedgerWriter, config: Config, looks: Looks | None
    ) -> None:
        """Nothing is read yet; without ``looks`` every preflight is off."""
        self._store = store
        self._ledger = ledger
        self._config = config
        self._looks = looks

    def of(self, channel: ChannelConfig, release: str, before: str) -> Report | None:
        """What is known of a release; None until it has been looked at, which begins now.

        Args:
            channel: Its channel.
            release: Its id.
            before: The release that is served now, "" for none.
        """
        if self._looks is None or not channel.is_preflighted:
            return Report(release, Result.OFF)
        report = self._store.preflight(release)
        if report is None:
            read = self._store.manifest
            self._looks.want(
                channel.name, lambda: Job(channel, release, read(release), read(before))
            )
        return report

    def holds(self, channel: ChannelConfig, report: Report) -> bool:
        """Whether what was found holds a release: in shadow mode nothing does."""
        shadow = self._config.policy_for(channel.name).mode is Mode.SHADOW
        return report.result is Result.FAILED and not shadow

    def take(self, channel: str, report: Report, now: Instant) -> None:
        """A look at a release has ended."""
        if self._store.preflight(report.release) is not None:
            return  # It was asked twice, and is on record.
        self._store.put_preflight(report)
        facts: dict[str, Json] = {
            "release": report.release,
            PREFLIGHT: {
                "result": report.result.value,
                "sentence": report.sentence,
                "took_ms": report.took_ms,
            },
        }
        said = f"preflight of release {report.release[:_SHORT]}: {report.result}"
        note = f"{said}: {report.sentence}"
        bad = report.result is Result.FAILED
        self._ledger.note(channel, note, now, alert=bad, facts=facts)

    def may_adopt(self, channel: ChannelConfig, seen: Seen) -> bool:
        """Whether a channel's first release may go to everybody; else a person is waited for.

        A later release that does not fail needs nobody.
        """
        state = self._store.channel(channel.name)
        if state.blocked not in (Block.NONE, Block.PREFLIGHT):
            return False  # A restored judge does not know what was shut: a person looks first.
        report = self.of(channel, seen.release, "")
        if report is None:
            return False
        overruled = self._store.cursor(_overruled(channel.name)) == seen.seq
        block = self.holds(channel, report) and not overruled
        why = Block.PREFLIGHT if block else Block.NONE
        if state.blocked is not why:
            self._store.put_channel(replace(state, blocked=why))
        return not block

    def overrule(self, channel: str) -> None:
        """A person lets a channel's first release through that failed."""
        seen = self._store.snapshots(channel)
        if seen and self._store.channel(channel).blocked is Block.PREFLIGHT:
            self._store.put_cursor(_overruled(channel), seen[-1].seq)


def _overruled(channel: str) -> str:
    return f"overruled:{channel}"
