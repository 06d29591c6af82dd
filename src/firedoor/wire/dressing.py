"""Dressing: what arrives and what the board names is signed as clients are to read it."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from firedoor.core.board import Board
from firedoor.core.errors import Unavailable
from firedoor.core.release import Manifest
from firedoor.ports import Clock
from firedoor.services.stores import JudgeRecords
from firedoor.wire.mirroring import Result
from firedoor.wire.signing import Renewed, Signatory

_log = structlog.get_logger()


class Dresser:
    """Signs for the court, and keeps what it signed. One thread at a time."""

    def __init__(
        self,
        signatory: Signatory,
        store: JudgeRecords,
        clock: Clock,
        kept: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is signed yet.

        Args:
            signatory: Has the keys.
            store: Where manifests are.
            clock: Of the dates.
            kept: Called when manifests were put in place of others.
        """
        self._signatory = signatory
        self._store = store
        self._clock = clock
        self._kept = kept

    def forget(self) -> None:
        """What was signed may not have been kept: sign it again."""
        self._signatory.forget()

    def dressed(self, result: Result) -> Result:
        """The snapshot as clients are to read it; a failure, where it cannot be signed."""
        if result.snapshot is None:
            return result
        try:
            manifest = self.sign(result.channel, result.snapshot.manifest)
        except Unavailable as error:
            return replace(result, snapshot=None, error=f"it cannot be signed anew: {error}")
        return replace(result, manifest=manifest)

    def sign(self, channel: str, manifest: Manifest) -> Manifest:
        """A release that was put together here, as clients are to read it.

        Raises:
            Unavailable: It cannot be signed now.
        """
        try:
            return self._signatory.arrived(channel, manifest, self._clock.now())
        except OSError as error:
            raise Unavailable(f"it cannot be signed: {error}") from error

    def anew(self, board: Board, *, quick: bool) -> list[Renewed]:
        """What has to be signed again now that the board is this one; nothing where it fails.

        Args:
            board: What is served to whom.
            quick: Only of channels that are signed in milliseconds.
        """
        try:
            return list(self._signatory.renewed(board, self._clock.now(), quick=quick))
        except (Unavailable, OSError) as error:
            _log.error("not_signed_anew", error=str(error))
            return []

    def keep(self, renewed: list[Renewed]) -> None:
        """Put what was signed in its place, within the caller's step."""
        for release, manifest in renewed:
            self._store.renew_release(release, manifest)
        if renewed:
            for cursor, date in self._signatory.dates().items():
                self._store.put_cursor(cursor, date)
            self._kept()
