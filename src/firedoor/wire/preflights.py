"""The threads of preflight: one for each release that is looked at, one release for a channel.

They end with the process; what they ran dies with it, and is asked for again.
"""

import queue
import threading
from collections.abc import Callable

import structlog

from firedoor.adapters.preflight.examination import Means, examine
from firedoor.adapters.preflight.look import failed
from firedoor.adapters.preflight.sandbox import Limits
from firedoor.adapters.preflight.stage import cleared
from firedoor.config import Config
from firedoor.ports import BlobStore, Clock
from firedoor.services.preflight import Check, Job, Report
from firedoor.wire.files import Files

_log = structlog.get_logger()


class Preflights:
    """Implements ``Looks``.

    Attributes:
        reports: (channel, what was found), for the judge.
    """

    def __init__(self, look: Callable[[Job], list[Check]], clock: Clock) -> None:
        """Nothing runs before it is wanted.

        Args:
            look: Asks all tools; slow.
            clock: For how long that takes.
        """
        self.reports: queue.SimpleQueue[tuple[str, Report]] = queue.SimpleQueue()
        self._look = look
        self._clock = clock
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: Config, files: Files, blobs: BlobStore, clock: Clock) -> "Preflights":
        """As the configuration says; what a judge left that was killed is deleted."""
        cleared(files.preflight)
        wanted = config.preflight
        limits = Limits(wanted.time_ms, wanted.memory_bytes)
        means = Means(blobs, clock, files.preflight, limits, wanted.clean)
        return cls(lambda job: examine(job, means), clock)

    def want(self, channel: str, job: Callable[[], Job]) -> None:
        """Look at a release soon, unless its channel has one under way. Never waits."""
        with self._lock:
            if channel in self._busy:
                return
        # Only the judge's thread asks, so nobody else begins meanwhile.
        wanted = job()
        with self._lock:
            self._busy.add(channel)
        name = f"preflight {channel}"
        threading.Thread(target=self._run, args=(wanted,), name=name, daemon=True).start()

    def _run(self, job: Job) -> None:
        begun = self._clock.monotonic_ms()
        try:
            checks = self._look(job)
        except Exception as error:  # noqa: BLE001 - a release nobody looks at must not board as one that passed
            _log.exception("preflight_failed", channel=job.channel.name, release=job.release)
            checks = [failed(f"a mistake in Firedoor: {type(error).__name__}: {error}")]
        took = max(0, self._clock.monotonic_ms() - begun)
        report = Report.of(job.release, checks, took, self._clock.now().wall_ms)
        _log.info("preflight", channel=job.channel.name, release=job.release, result=report.result)
        self.reports.put((job.channel.name, report))
        with self._lock:
            self._busy.discard(job.channel.name)
