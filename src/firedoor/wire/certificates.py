"""When TLS certificates expire: weeks before, a person is told.

A server whose certificate has expired serves nobody, and to the judge a whole fleet that cannot
fetch looks like a fleet that is silent.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import structlog

from firedoor.adapters.keys.authority import expiry_of
from firedoor.adapters.store.register import MachineRegister
from firedoor.config import Config
from firedoor.core.errors import FiredoorError
from firedoor.core.units import UnixMs
from firedoor.ports import Clock, Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.stores import JudgeRecords
from firedoor.wire.files import Files

WARN_MS: Final = 21 * 24 * 3_600_000
"""How long before a certificate expires a person is told."""

_LOOK_MS: Final = 600_000
_NAMED: Final = 10
_log = structlog.get_logger()


class Certificates:
    """Looks at the files and at what was issued to machines. Within the judge's steps."""

    def __init__(self, config: Config, files: Files, store: JudgeRecords, clock: Clock) -> None:
        """Nothing is read yet."""
        self._files = files
        self._store = store
        self._clock = clock
        self._looked_ms = -_LOOK_MS
        self._paths = {
            path: role
            for role, tls in (("gate", config.gate.tls), ("intake", config.intake.tls))
            if tls is not None
            for path in (tls.certificate, tls.client_ca)
            if path is not None
        }

    def look(self, ledger: LedgerWriter, now: Instant) -> None:
        """Every ten minutes: tell of every certificate that expires soon, once, and once after."""
        if now.mono_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now.mono_ms
        for key, note in self._due(now.wall_ms):
            if not self._store.cursor(key):
                self._store.put_cursor(key, 1)
                ledger.note("", note, now, alert=True)

    def _due(self, now_ms: UnixMs) -> Iterator[tuple[str, str]]:
        for path, role in self._paths.items():
            try:
                until = expiry_of(path)
            except FiredoorError as error:
                _log.warning("certificate_not_read", path=str(path), error=str(error))
                continue
            if until - now_ms < WARN_MS:
                over = until <= now_ms
                yield (
                    f"tls:{path}:{until}:{over}",
                    (
                        f"the TLS certificate {path} of the {role} {_when(until, over=over)}; "
                        "put a new one in its place (firedoor ca renew, if it is from firedoor "
                        "ca): it is noticed without a restart"
                    ),
                )
        if self._paths:
            yield from self._machines(now_ms)

    def _machines(self, now_ms: UnixMs) -> Iterator[tuple[str, str]]:
        """One note for all machines whose certificates end on one day."""
        try:
            register = MachineRegister(self._files.register, self._clock, read_only=True)
        except FiredoorError as error:
            _log.warning("register_not_read", error=str(error))
            return
        try:
            issued = register.issued()
        finally:
            register.close()
        days: dict[str, list[str]] = {}
        for each in issued:
            if each.expires - now_ms < WARN_MS:
                days.setdefault(_day(each.expires), []).append(each.machine)
        for day, names in days.items():
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield (
                f"tls-machines:{day}",
                (
                    f"the client certificates of {', '.join(names[:_NAMED])}{more} end on {day}: "
                    "firedoor machine enroll NAME --rotate --certificate, for each"
                ),
            )


def _when(until: UnixMs, *, over: bool) -> str:
    moment = f"{datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M}Z"
    return f"has expired on {moment}" if over else f"expires on {moment}"


def _day(until: UnixMs) -> str:
    return f"{datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d}"
