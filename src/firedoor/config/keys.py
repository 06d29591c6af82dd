"""Every key a configuration may hold: its name, what it takes and what it is when left out.

This table is the only place that knows. The reader checks files against it, the printout walks
it, and tests hold the template of ``firedoor init`` and the reference page to it.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from firedoor.config import values
from firedoor.core.channel import Kind, check_channel_name
from firedoor.core.errors import BadConfig, BadInput
from firedoor.core.release import check_path
from firedoor.core.terms import DEFAULT_STRATA, MOST_SERVICES, MOST_STRATA, Mode, TakesEffect

T = TypeVar("T")

Pairs = tuple[tuple[str, tuple[str, ...]], ...]
"""Attributes and the values that will do."""

IDENTITIES: Final = ("certificate", "basic", "path", "address")
"""The ways a machine may say who it is."""


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key.

    Attributes:
        name: As written in a file.
        read: Takes what TOML gave; returns the value or raises ``values.Unfit``.
        default: The value when the key is left out. Meaningless when ``needed``.
        written: The default as a file would say it, or "" where no word stands for it.
        show: Prints a value as a file would say it.
        needed: Whether it has to be written.
    """

    name: str
    read: Callable[[object], T]
    default: T
    written: str = ""
    show: Callable[[T], str] = values.show
    needed: bool = False


def _key(
    name: str,
    read: Callable[[object], T],
    written: str,
    show: Callable[[T], str] = values.show,
) -> Key[T]:
    """A key whose default is what a file saying ``written`` would give."""
    default = read(tomllib.loads(f"default = {written}")["default"])
    return Key(name, read, default, written, show)


def _optional(
    name: str, read: Callable[[object], T], show: Callable[[T], str] = values.show
) -> Key[T | None]:
    """A key that stands for nothing when it is left out."""
    return Key(name, read, None, "", lambda value: "" if value is None else show(value))


def _list(name: str, read: Callable[[object], tuple[str, ...]]) -> Key[tuple[str, ...]]:
    """A list that is empty when it is left out."""
    return Key(name, read, (), "", lambda value: values.show(value) if value else "")


def _needed(name: str, read: Callable[[object], T], absent: T) -> Key[T]:
    """A key that has to be written; ``absent`` only fills the place until that is checked."""
    return Key(name, read, absent, needed=True)


def _auto_duration(name: str) -> Key[int | None]:
    return _key(
        name,
        values.auto_or(values.some_duration),
        '"auto"',
        lambda ms: '"auto"' if ms is None else values.show_duration(ms),
    )


def _channel_name(value: object) -> str:
    try:
        return check_channel_name(values.text(value))
    except BadConfig as error:
        raise values.Unfit("the name of a channel", hint=error.hint) from None


def _ring_name(value: object) -> str:
    try:
        return check_channel_name(values.text(value))
    except BadConfig as error:
        raise values.Unfit("the name of a ring", hint=error.hint) from None


def _kind(value: object) -> Kind:
    if value not in list(Kind):
        served = " or ".join(f'"{kind}"' for kind in Kind)
        hint = 'content that clients fetch as plain files can be served as kind "files"'
        raise values.Unfit(f"a kind of updater: {served}", hint=hint)
    return Kind(str(value))


def _mode(value: object) -> Mode:
    return Mode(values.one_of(*Mode)(value))


def _takes_effect(value: object) -> TakesEffect:
    return TakesEffect(values.one_of(*TakesEffect)(value))


def _identities(value: object) -> tuple[str, ...]:
    ways = values.words(value)
    for way in ways:
        if way not in IDENTITIES:
            raise values.Unfit(f"a list from {', '.join(IDENTITIES)}", found=values.describe(way))
    return ways


def _feeds(value: object) -> tuple[str, ...]:
    names = values.words(value)
    for name in names:
        try:
            check_path(name)
        except BadInput as error:
            raise values.Unfit("a list of names below the upstream", hint=str(error)) from None
    return names


def _folder(value: object) -> str:
    name = values.text(value)
    try:
        return "." if name == "." else check_path(name.rstrip("/"))
    except BadInput as error:
        hint = f'{error}; "." is the upstream itself'
        raise values.Unfit("a directory below the upstream", hint=hint) from None


def _strata(value: object) -> tuple[str, ...]:
    names = () if value == [] else values.words(value)
    if len(names) > MOST_STRATA:
        raise values.Unfit(f"a list of at most {MOST_STRATA} attributes", found=f"{len(names)}")
    return names


def _services(value: object) -> tuple[str, ...]:
    names = values.words(value)
    if len(names) > MOST_SERVICES:
        raise values.Unfit(f"a list of at most {MOST_SERVICES} services", found=f"{len(names)}")
    return names


DATA: Final = _key("data", values.text, '"/var/lib/firedoor"')

BUCKET: Final = _key("bucket", values.some_duration, '"60s"', values.show_duration)
HEARTBEAT: Final = _key("heartbeat", values.some_duration, '"60s"', values.show_duration)
SILENCE_MIN: Final = _key("silence_min", values.some_duration, '"5m"', values.show_duration)
SETTLE: Final = _key("settle", values.duration, '"60s"', values.show_duration)

GATE_LISTEN: Final = _key("listen", values.listen, '"0.0.0.0:8080"')
IDENTIFY: Final = _key("identify", _identities, '["certificate", "basic", "path"]')

CERTIFICATE: Final = _optional("certificate", values.absolute)
PRIVATE_KEY: Final = _optional("key", values.absolute)
CLIENT_CA: Final = _optional("client_ca", values.absolute)
LISTEN_PLAIN: Final = _optional("listen_plain", values.listen)
PROXIES: Final = _list("proxies", values.networks)

INTAKE_LISTEN: Final = _key("listen", values.listen, '"0.0.0.0:8081"')
DEFINITIONS: Final = _optional("definitions", values.absolute)
MAX_BODY: Final = _key("max_body", values.size, '"8MiB"', values.show_size)

CONSOLE_LISTEN: Final = _key("listen", values.listen, '"127.0.0.1:8082"')

BUDGET: Final = _key("budget", values.auto_or(values.machines), '"auto"')
ALPHA_HARM: Final = _key("alpha_harm", values.auto_or(values.share), '"auto"')
ALPHA_WARN: Final = _key("alpha_warn", values.share, "0.05")
ALPHA_CLEAR: Final = _key("alpha_clear", values.share, "0.05")
DELTA: Final = _key("delta", values.auto_or(values.share), '"auto"')
CONTROL: Final = _key("control", values.share_or_none, "0.10")
SOAK: Final = _key("soak", values.duration, '"1h"', values.show_duration)
PATIENCE: Final = _key("patience", values.some_duration, '"7d"', values.show_duration)
INSTALL_WAIT: Final = _auto_duration("install_wait")
TAKES_EFFECT: Final = _key("takes_effect", _takes_effect, '"install"')
RESTART_OF: Final = _list("restart_of", _services)
MODE: Final = _key("mode", _mode, '"enforce"')
EXPEDITE_NEEDS_TWO: Final = _key("expedite_needs_two", values.yes_no, "false")
BUDGET_GROWTH: Final = _key("budget_growth", values.share_or_none, "0")
RATIO: Final = _key(
    "ratio",
    values.ratio_or_off,
    '"off"',
    lambda ratio: '"off"' if ratio is None else values.show(ratio),
)
CLUSTER: Final = _key("cluster", values.machines, "1")
LIARS: Final = _key("liars", values.liars, "0")
STRATA: Final = _key("strata", _strata, values.show(DEFAULT_STRATA))

BANDWIDTH: Final = _optional("bandwidth", values.size, values.show_size)

STORAGE_BUDGET: Final = _optional("budget", values.size, values.show_size)
STORAGE_RESERVE: Final = _key(
    "reserve",
    values.auto_or(values.size),
    '"auto"',
    lambda size: '"auto"' if size is None else values.show_size(size),
)

HEAD: Final = _key("head", values.text, '"ledger.head"')

FEED: Final = _optional("feed", values.feed)
FEED_POLL: Final = _key("poll", values.some_duration, '"6h"', values.show_duration)

WEBHOOK: Final = _optional("webhook", values.hook_address, values.show_hook_address)
COMMAND: Final = _optional("command", values.command)

PREFLIGHT_TIME: Final = _key("time", values.some_duration, '"15m"', values.show_duration)
PREFLIGHT_MEMORY: Final = _key("memory", values.size, '"4GiB"', values.show_size)
CLEAN: Final = _key("clean", values.files_or_none, '["/usr/bin", "/usr/sbin"]')

CHANNEL_NAME: Final = _needed("name", _channel_name, "")
KIND: Final = _needed("kind", _kind, Kind.FILES)
UPSTREAM: Final = _needed("upstream", values.source, "")
POLL: Final = _key("poll", values.some_duration, '"10m"', values.show_duration)
FIRST: Final = _key("first", values.one_of("adopt"), '"adopt"')
UNKNOWN: Final = _key("unknown", values.one_of("refuse", "hold"), '"refuse"')
KEEP: Final = _key("keep", values.releases, "5")
SESSION_IDLE: Final = _optional("session_idle", values.some_duration, values.show_duration)
SESSION_MAX: Final = _optional("session_max", values.some_duration, values.show_duration)
PREFLIGHT: Final = _key("preflight", values.yes_no, "true")
PREFLIGHT_COMMAND: Final = _optional("preflight_command", values.command)

SUITES: Final = _list("suites", values.words)
COMPONENTS: Final = _list("components", values.words)
ARCHITECTURES: Final = _list("architectures", values.words)
PACKAGES: Final = _list("packages", values.words)
TRUST: Final = _list("trust", values.files)
SIGN: Final = _optional("sign", values.absolute)
POOL: Final = _optional("pool", values.one_of("lazy", "eager"))
EAGER: Final = _list("eager", values.words)

DATABASES: Final = _list("databases", values.databases)
FEEDS: Final = _list("feeds", _feeds)

METADATA: Final = _optional("metadata", _folder)
TARGETS: Final = _optional("targets", _folder)

RING_NAME: Final = _needed("name", _ring_name, "")
MACHINES: Final[Key[Pairs]] = Key("machines", values.attributes, (), "", values.show_attributes)
AFTER: Final = _optional("after", _ring_name)

# A table of keys of different types: what each key holds is checked where it is used.
AnyKey = Key[Any]

OF_KIND: Final[dict[Kind, tuple[AnyKey, ...]]] = {
    Kind.APT: (SUITES, COMPONENTS, ARCHITECTURES, PACKAGES, TRUST, SIGN, POOL, EAGER),
    Kind.RPM: (ARCHITECTURES, PACKAGES, TRUST, POOL, EAGER),
    Kind.CLAMAV: (DATABASES,),
    Kind.SURICATA: (FEEDS,),
    Kind.TUF: (TRUST, SIGN, METADATA, TARGETS),
}
"""Keys of a channel that only some kinds have."""

NEEDED_BY: Final[dict[Kind, tuple[AnyKey, ...]]] = {
    Kind.APT: (SUITES, TRUST),
    Kind.SURICATA: (FEEDS,),
    Kind.TUF: (TRUST,),
}
"""Those of them that it cannot do without."""

POLICY: Final[tuple[AnyKey, ...]] = (
    BUDGET, ALPHA_HARM, ALPHA_WARN, ALPHA_CLEAR, DELTA, CONTROL,
    SOAK, PATIENCE, INSTALL_WAIT, TAKES_EFFECT, RESTART_OF, MODE, EXPEDITE_NEEDS_TWO, STRATA,
    BUDGET_GROWTH, RATIO, CLUSTER, LIARS,
)  # fmt: skip

RING_POLICY: Final[tuple[AnyKey, ...]] = (
    BUDGET, BUDGET_GROWTH, ALPHA_CLEAR, DELTA, CONTROL, SOAK, INSTALL_WAIT,
)  # fmt: skip
"""What a ring may override. The rest belongs to a release as a whole, over all its rings."""

TLS: Final[tuple[AnyKey, ...]] = (CERTIFICATE, PRIVATE_KEY, CLIENT_CA, LISTEN_PLAIN)
"""What a listening socket needs to speak TLS."""

TABLES: Final[dict[str, tuple[AnyKey, ...]]] = {
    "time": (BUCKET, HEARTBEAT, SILENCE_MIN, SETTLE),
    "gate": (GATE_LISTEN, *TLS, IDENTIFY, PROXIES),
    "intake": (INTAKE_LISTEN, *TLS, MAX_BODY, DEFINITIONS),
    "console": (CONSOLE_LISTEN,),
    "policy": POLICY,
    "mirror": (BANDWIDTH,),
    "storage": (STORAGE_BUDGET, STORAGE_RESERVE),
    "ledger": (HEAD,),
    "exploited": (FEED, FEED_POLL),
    "alert": (WEBHOOK, COMMAND),
    "preflight": (PREFLIGHT_TIME, PREFLIGHT_MEMORY, CLEAN),
}
"""Tables that stand once, in the order they are printed."""

LISTS: Final[dict[str, tuple[AnyKey, ...]]] = {
    "channel": (
        CHANNEL_NAME, KIND, UPSTREAM, POLL, KEEP, FIRST, UNKNOWN, SESSION_IDLE, SESSION_MAX,
        PREFLIGHT, PREFLIGHT_COMMAND,
        *dict.fromkeys(key for known in OF_KIND.values() for key in known), *POLICY,
    ),
    "ring": (RING_NAME, MACHINES, AFTER, *RING_POLICY),
}  # fmt: skip
"""Tables that stand once for each name, ``[[channel]]`` and ``[[ring]]``."""
