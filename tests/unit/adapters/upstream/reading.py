"""A vendor's files and a reader of them whose clock goes only as far as somebody sleeps."""

import hashlib
import random

from firedoor.adapters.upstream.get import Manners
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.core.units import Digest, UnixMs
from firedoor.ports import Instant, Listed

BODY = b"rule one\nrule two\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
ABSURD = "Fri, 02 Jan 2026 00:00:00 +99999999999999999"


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


FILE = Listed("rules.txt", None, None)
PROMISED = Listed("rules.txt", digest_of(BODY), len(BODY))
HTML = {"Content-Type": "text/html"}


class Time:
    """A clock that goes only as far as somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._at = 1000.0

    def now(self) -> Instant:
        """As the port says."""
        return Instant("boot", int(self._at * 1000), UnixMs(0))

    def monotonic_ms(self) -> int:
        """As the port says."""
        return self.now().mono_ms

    def sleep(self, seconds: float) -> None:
        """Go on, at once."""
        self.slept.append(seconds)
        self._at += seconds


def reading(url, time, limits=None, ca_file="", **manners):
    return HttpUpstream(
        url,
        random.Random(7),
        time,
        limits=limits,
        manners=Manners(silence_s=2.0, **manners),
        ca_file=ca_file,
        sleep=time.sleep,
    )


def in_turn(*answers):
    """Each request gets the next answer, the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def stored(tmp_path):
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
