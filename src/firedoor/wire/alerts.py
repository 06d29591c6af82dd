"""The alert hook: a door that is held or shut at a site without staff must not be invisible."""

import queue
import subprocess
import threading
from collections.abc import Callable, Mapping

import msgspec
import structlog
import urllib3

from firedoor.config.model import AlertConfig
from firedoor.config.values import Listen

_SECONDS = 10.0
_SHORT_ID = 12
_log = structlog.get_logger()

Alert = Callable[[Mapping[str, object]], None]


class Courier:
    """Delivers alerts on a thread of its own, in order: a slow hook must not stop the judge.

    Attributes:
        offered: Ledger entries below this index have been handed to it.
        delivered: Those below this index need no further delivery.
    """

    def __init__(self, alert: Alert, delivered: int) -> None:
        """Go on after what was delivered in an earlier life."""
        self.offered = self.delivered = delivered
        self._alert = alert
        self._queue: queue.SimpleQueue[tuple[int, Mapping[str, object] | None]]
        self._queue = queue.SimpleQueue()
        threading.Thread(target=self._deliver, name="alerts", daemon=True).start()

    def offer(self, index: int, alert: Mapping[str, object] | None) -> None:
        """Hand over a ledger entry; None for one that alerts nobody."""
        self._queue.put((index, alert))
        self.offered = index + 1

    def _deliver(self) -> None:
        while True:
            index, alert = self._queue.get()
            if alert is not None:
                self._alert(alert)
            self.delivered = index + 1


def hook(config: AlertConfig) -> Alert:
    """What is called with an alert.

    A webhook (POST, JSON), a command (JSON on its input), or only a line in the log. A hook that
    fails is logged; nothing waits for it twice.
    """
    if config.webhook is not None:
        return _webhook(config.webhook)
    if config.command is not None:
        return _command(config.command)
    return lambda alert: _log.warning("alert", **alert)


def explained_at(release: object, console: Listen) -> dict[str, str]:
    """Where somebody who is woken by an alert reads what it means, and what can be done.

    Args:
        release: The release id, or what an entry without one has there.
        console: Where the console listens.

    Returns:
        ``{"explain": address}``; a command where the console takes any free port, and nothing
        for an alert that concerns no release.
    """
    if not isinstance(release, str) or not release:
        return {}
    if not console.port:
        return {"explain": f"firedoor verdict explain {release[:_SHORT_ID]}"}
    return {"explain": f"http://{console}/releases/{release}/explain"}


def _webhook(url: str) -> Alert:
    pool = urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(3, backoff_factor=0.5))

    def post(alert: Mapping[str, object]) -> None:
        try:
            reply = pool.request(
                "POST",
                url,
                body=msgspec.json.encode(alert),
                headers={"Content-Type": "application/json"},
            )
        except urllib3.exceptions.HTTPError as error:
            # The address may hold a secret: its class says enough.
            _log.error("alert_not_delivered", hook="webhook", error=type(error).__name__)
            return
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's own border
            _log.error("alert_not_delivered", hook="webhook", status=reply.status)

    return post


def _command(argv: tuple[str, ...]) -> Alert:
    def run(alert: Mapping[str, object]) -> None:
        try:
            # The operator's own command from their own configuration, without a shell.
            subprocess.run(  # noqa: S603
                argv, input=msgspec.json.encode(alert), timeout=_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            _log.error("alert_not_delivered", hook="command", error=type(error).__name__)

    return run
