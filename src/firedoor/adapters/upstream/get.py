"""One request, done politely: timeouts, few retries with growing pauses, Retry-After honoured.

Every fault of the conversation ends as one of the project's errors, and a body that arrives is
known to be whole: its length was announced, or its end was marked, or the caller has a digest.
"""

import datetime as dt
import math
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from firedoor.adapters.upstream import index
from firedoor.adapters.upstream.watch import POOLS, Watch
from firedoor.core.errors import Unavailable, Untrusted
from firedoor.ports import Clock

_T = TypeVar("_T")

_CHUNK_BYTES: Final = 1 << 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PARTIAL: Final = 206
_NOT_MODIFIED: Final = 304
_TOO_MANY_REQUESTS: Final = 429
_SERVER_FAULTS: Final = 500
# "Not implemented" will be as true a second later: servers say it to methods they do not know.
_NOT_IMPLEMENTED: Final = 501
# A buggy header must not silence a channel for good; the longest that vendors mean is a day.
_QUIET_MAX_S: Final = 24 * 3600.0
_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class Manners:
    """How long and how often an upstream is asked.

    Attributes:
        attempts: Requests made for one file before giving up, >= 1.
        pause_s: Pause after the first failure, doubled after each further one, seconds.
        pause_max_s: Longest pause, and longest ``Retry-After`` that is waited for; a longer one
            ends the request at once, and nothing is asked until it is over.
        connect_s: Limit for a connection to be made, seconds.
        silence_s: Limit for the next byte to arrive, seconds.
        reply_s: Limit for one request from the connection to the last byte, redirects included,
            seconds: headers and bodies that trickle must end too.
        redirects: Redirects followed for one request.
        redirect_hosts: Hosts, besides upstream's own, that a redirect may lead to.
    """

    attempts: int = 4
    pause_s: float = 0.5
    pause_max_s: float = 30.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    reply_s: float = 3600.0
    redirects: int = 5
    redirect_hosts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Quiet:
    """How long one upstream asked to be left alone.

    Attributes:
        until_ms: Monotonic time before which nothing is asked.
    """

    until_ms: float = -math.inf


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that speaks of no passing fault and is no redirect that is followed.

    Attributes:
        url: What was asked for, before any redirect.
        status: HTTP status.
        headers: Header fields, read without regard to case.
        chunks: The body, to be read at most once and only inside ``take``. It raises what makes
            ``Getter.get`` try again if the body breaks off.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]

    @property
    def length(self) -> int | None:
        """The length in bytes that was announced, or None."""
        return _natural(self.headers.get("Content-Length", ""))

    @property
    def marks_its_end(self) -> bool:
        """Whether a body that broke off would be noticed."""
        coding = self.headers.get("Transfer-Encoding", "")
        return self.length is not None or coding.lower() == "chunked"


class AskAgainError(Exception):
    """This attempt failed in a way that a later one may not. Raised within ``take`` alone."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class _NoRestError(AskAgainError):
    """The rest of a file cannot be had: all of it has to be asked for again."""


class Getter:
    """Asks one upstream.

    Args:
        rng: Spreads the pauses, so that many Firedoors do not come back in step.
        clock: Measures how long to leave upstream alone, and tells when ``until_ms`` has come.
        manners: How long and how often to ask.
        ca_file: Certificates to trust instead of the system's, PEM; empty: the system's.
        proxy: URL of an HTTP proxy; empty: none.
        sleep: Waits for some seconds.
        until_ms: Monotonic time at which everything ends, in the middle of a reply too.
        quiet: How long upstream asked to be left alone; written too.
        throttle: Told of bytes that came; it waits where they are more than there may be.
        at_once: Threads that may ask at the same time, >= 1.
    """

    def __init__(
        self,
        rng: random.Random,
        clock: Clock,
        manners: Manners,
        *,
        ca_file: str = "",
        proxy: str = "",
        sleep: Callable[[float], None] = time.sleep,
        until_ms: float = math.inf,
        quiet: Quiet | None = None,
        throttle: Callable[[int], None] = lambda _: None,
        at_once: int = 1,
    ) -> None:
        self._rng = rng
        self._manners = manners
        self._sleep = sleep
        self._clock = clock
        self._until_ms = until_ms
        self._quiet = Quiet() if quiet is None else quiet
        self._throttle = throttle
        timeout = urllib3.Timeout(connect=manners.connect_s, read=manners.silence_s)
        self._headers = {
            "User-Agent": f"firedoor/{version('firedoor')}",
            "Accept": "*/*",
            # The bytes of the file, not a packed form of them: they are what is hashed.
            "Accept-Encoding": "identity",
            # A cache on the way must ask upstream: an index and its files have to be of one time.
            "Cache-Control": "no-cache",
        }
        ca_certs = ca_file or None
        self._pool: urllib3.PoolManager = (
            urllib3.ProxyManager(proxy, timeout=timeout, ca_certs=ca_certs, maxsize=at_once)
            if proxy
            else urllib3.PoolManager(timeout=timeout, ca_certs=ca_certs, maxsize=at_once)
        )
        self._pool.pool_classes_by_scheme = POOLS

    def get(
        self,
        url: str,
        take: Callable[[Reply], _T],
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        method: str = "GET",
    ) -> _T:
        """Ask for ``url`` and hand the reply to ``take``; return what it returns.

        ``take`` may be called several times: when a body breaks off, everything is done again.

        Raises:
            Unavailable: Nobody answered, or not now; after all attempts. Or time is up.
            Untrusted: The certificate is not valid, or a redirect leads where it may not.
        """
        wait = self._quiet.until_ms / 1000 - self._monotonic_s()
        if wait > 0:
            raise Unavailable(f"{url} asked to be left alone for {wait:.0f} more seconds")
        for attempt in range(1, self._manners.attempts):
            try:
                return self._once(method, url, headers, take)
            except AskAgainError as fault:
                self._pause(url, attempt, fault)
        try:
            return self._once(method, url, headers, take)
        except AskAgainError as fault:
            self._leave_alone(fault.after_s or 0.0)
            raise Unavailable(
                f"{url} failed {self._manners.attempts} times, last: {fault}",
                hint="it is asked again at the next poll",
            ) from fault

    def whole(self, reply: Reply, size: int) -> Iterator[bytes]:
        """The body of a reply within ``take``; where it breaks off, only its rest is asked for.

        Whoever reads has a digest: what was put together of two bodies may be neither.

        Args:
            reply: The reply.
            size: How long the file is, bytes.

        Raises:
            AskAgainError: It broke off, and its rest cannot be had.
        """
        got, attempt = 0, 0
        body = reply.chunks
        while True:
            try:
                for chunk in body:
                    got += len(chunk)
                    yield chunk
            except _NoRestError:
                raise
            except (HTTPError, AskAgainError) as error:
                attempt += 1
                if not 0 < got < size or attempt >= self._manners.attempts:
                    raise AskAgainError(str(error)) from error
                after_s = error.after_s if isinstance(error, AskAgainError) else None
                self._pause(reply.url, attempt, AskAgainError(str(error), after_s))
                body = self._rest(reply, got)
            else:
                return

    def _rest(self, reply: Reply, got: int) -> Iterator[bytes]:
        """A file from some byte on."""
        headers = {**self._headers, "Range": f"bytes={got}-"}
        etag = reply.headers.get("ETag", "")
        if etag.startswith('"'):
            headers["If-Range"] = etag
        left_s = self._until_ms / 1000 - self._monotonic_s()
        with Watch(min(self._manners.reply_s, left_s)) as watch:
            response = self._follow("GET", reply.url, headers, watch)
            try:
                at = response.headers.get("Content-Range", "")
                if _may_pass(response.status):
                    after_s = _retry_after_s(response.headers)
                    raise AskAgainError(f"answered {response.status}", after_s)
                if response.status != _PARTIAL or not at.startswith(f"bytes {got}-"):
                    raise _NoRestError(f"answered {response.status} to a part of a file")
                yield from self._body(response, watch)
            finally:
                response.close()

    def _body(self, response: urllib3.BaseHTTPResponse, watch: Watch) -> Iterator[bytes]:
        """The bytes as they come, to an end that is really theirs."""
        # read1 returns whatever has come: read would wait for a full chunk.
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            self._throttle(len(chunk))
            yield chunk
        _expect_in_time(watch)

    def _monotonic_s(self) -> float:
        return self._clock.now().mono_ms / 1000

    def _pause(self, url: str, attempt: int, fault: AskAgainError) -> None:
        longest = self._manners.pause_max_s
        pause = min(self._manners.pause_s * 2 ** (attempt - 1), longest) * self._rng.uniform(
            0.5, 1.5
        )
        asked = fault.after_s or 0.0
        if asked > longest:
            self._leave_alone(asked)
            raise Unavailable(
                f"{url}: {fault}, and asks to come back in {asked:.0f} seconds",
                hint="upstream is busy, or allows fewer requests: make poll longer",
            )
        index.check_time(url, self._clock, self._until_ms)
        self._sleep(max(pause, asked))

    def _leave_alone(self, asked_s: float) -> None:
        if asked_s > 0:
            until_s = self._monotonic_s() + min(asked_s, _QUIET_MAX_S)
            self._quiet.until_ms = until_s * 1000

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], take: Callable[[Reply], _T]
    ) -> _T:
        index.check_time(url, self._clock, self._until_ms)
        left_s = self._until_ms / 1000 - self._monotonic_s()
        with Watch(min(self._manners.reply_s, left_s)) as watch:
            try:
                return self._converse(method, url, headers, take, watch)
            except HTTPError as error:
                _expect_in_time(watch)
                certificate = isinstance(error, SSLError) and any(
                    isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args
                )
                if certificate:
                    raise Untrusted(
                        f"{url}: the certificate is not valid: {error}",
                        hint="check the address and this host's clock and certificates",
                    ) from error
                raise AskAgainError(str(error)) from error

    def _converse(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        take: Callable[[Reply], _T],
        watch: Watch,
    ) -> _T:
        response = self._follow(method, url, {**self._headers, **headers}, watch)
        try:
            if _may_pass(response.status):
                raise AskAgainError(f"answered {response.status}", _retry_after_s(response.headers))
            if response.status == _NOT_MODIFIED or method == "HEAD":
                response.drain_conn()
            body = self._body(response, watch)
            return take(Reply(url, response.status, response.headers, body))
        finally:
            # A body that was read to its end has given its connection back already.
            response.close()

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], watch: Watch
    ) -> urllib3.BaseHTTPResponse:
        at = url
        for _ in range(self._manners.redirects + 1):
            response = self._pool.request(
                method, at, headers=headers, redirect=False, retries=False, preload_content=False
            )
            location = response.headers.get("Location")
            if watch.over or (response.status in _REDIRECTS and location is not None):
                response.close()
            # http.client takes headers that broke off for headers that ended.
            _expect_in_time(watch)
            if response.status not in _REDIRECTS or location is None:
                return response
            at = self._allowed(at, location)
        raise Untrusted(
            f"{url} redirects more than {self._manners.redirects} times",
            hint="point the channel at the address it ends at",
        )

    def _allowed(self, origin: str, location: str) -> str:
        """The target of a redirect, if it stays with the vendor."""
        try:
            target = urljoin(origin, location)
            old, new = urlsplit(origin), urlsplit(target)
        except ValueError as error:
            raise Untrusted(f"{origin} redirects to no address: {error}") from error
        hosts = {old.hostname, *self._manners.redirect_hosts}
        safe = new.scheme == "https" or (new.scheme == "http" and old.scheme == "http")
        if safe and new.hostname in hosts and not new.username:
            return target
        raise Untrusted(
            f"{origin} redirects to {new.scheme}://{new.hostname}, which is not allowed",
            hint="if the vendor really serves from there, point the channel there",
        )


def _expect_in_time(watch: Watch) -> None:
    if watch.over:
        raise AskAgainError(f"the reply took longer than {watch.within_s:.3g} s")


def _may_pass(status: int) -> bool:
    """Whether a status speaks of a fault that may be over soon."""
    busy = status == _TOO_MANY_REQUESTS
    return busy or (status >= _SERVER_FAULTS and status != _NOT_IMPLEMENTED)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After``, which has two forms; None if there is none that makes sense.

    A date is measured against the same reply's ``Date``: both are the server's clock.
    """
    text = headers.get("Retry-After", "")
    seconds = _natural(text)
    if seconds is not None:
        return float(seconds)
    until, sent = date_of(text), date_of(headers.get("Date", ""))
    return (until - sent).total_seconds() if until and sent else None


def date_of(text: str) -> dt.datetime | None:
    """The moment an HTTP date names, or None if it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is UTC by the standard's intent, and could not be compared otherwise.
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _natural(text: str) -> int | None:
    """The number a header field holds, or None; no field of ours needs more digits."""
    bare = text.strip()
    sane = bare.isascii() and bare.isdigit() and len(bare) <= _DIGITS_MAX
    return int(bare) if sane else None
