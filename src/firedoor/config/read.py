"""From files to a configuration: fragments, merged, validated.

The main file comes first, then the drop-ins of ``config.d`` beside it in the order of their
names. A later file wins key by key; ``[[channel]]`` and ``[[ring]]`` entries of the same name are
one entry; a list or an inline table is replaced as a whole.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firedoor.config import keys
from firedoor.config.checks import contradictions, missing, rings_written
from firedoor.config.fragment import Fragment, Source, read_fragment
from firedoor.config.model import (
    AlertConfig,
    AptConfig,
    ChannelConfig,
    ClamavConfig,
    Config,
    ConsoleConfig,
    ExploitedConfig,
    GateConfig,
    IntakeConfig,
    LedgerConfig,
    MirrorConfig,
    PreflightConfig,
    RpmConfig,
    StorageConfig,
    TimeConfig,
    TlsConfig,
    TufConfig,
)
from firedoor.config.problem import Problem, refusal
from firedoor.config.settings import Setting, Settings, Where, policy_layers
from firedoor.core.channel import Kind, traits
from firedoor.core.errors import BadConfig
from firedoor.core.ring import with_everyone

DROP_INS: Final = "config.d"
"""Directory beside the main file that holds the drop-ins."""

COMMAND_LINE: Final = "command line"
"""Origin of a value given as an option."""

_DROP_IN: Final = re.compile(r"[0-9]{2}-[^/]*\.toml")


def load(path: Path, *, data: Path | None = None) -> Config:
    """Read a configuration file and its drop-ins.

    Args:
        path: The main file.
        data: Overrides ``data``, as an option of the command line does.

    Raises:
        BadConfig: A file cannot be read, or says something it may not. All problems are told at
            once, each with file, line, key path and a hint.
    """
    base = path.absolute().parent
    sources = [_source(path, path.name, base)]
    sources += [_source(drop_in, f"{DROP_INS}/{drop_in.name}", base) for drop_in in _drop_ins(base)]
    return compose(sources, data=data)


def defaults() -> Config:
    """What an empty file says."""
    return compose([])


def from_text(text: str, *, base: Path | None = None, origin: str = "configuration") -> Config:
    """A configuration from one text, for programs that make their own.

    Args:
        text: TOML.
        base: Directory that a relative ``data`` is relative to; the current one if left out.
        origin: What to call the text in messages.

    Raises:
        BadConfig: It says something it may not.
    """
    return compose([Source(origin, text, base or Path.cwd())])


def compose(sources: Sequence[Source], *, data: Path | None = None) -> Config:
    """Check, merge and validate texts; the later one wins.

    Raises:
        BadConfig: They say something they may not.
    """
    fragments = [read_fragment(source) for source in sources]
    if data is not None:
        given = Setting((), keys.DATA, str(data.absolute()), COMMAND_LINE, ())
        fragments.append(Fragment(settings=(given,)))
    settings = Settings(setting for fragment in fragments for setting in fragment.settings)
    problems = [problem for fragment in fragments for problem in fragment.problems]
    if not any(problem.line for problem in problems):  # what a broken file held is unknown
        problems += missing(settings)
    # Contradictions of values that are wrong anyway would only confuse.
    problems = problems or list(contradictions(settings))
    if problems:
        raise refusal(problems, {source.origin: source.text for source in sources})
    return _config(settings)


def _config(settings: Settings) -> Config:
    rings = with_everyone(rings_written(settings))
    channels = tuple(_channel(settings, name) for name in settings.names("channel"))
    data = Path(settings.get((), keys.DATA))
    return Config(
        data=data,
        time=TimeConfig(
            bucket_ms=settings.get(("time",), keys.BUCKET),
            heartbeat_ms=settings.get(("time",), keys.HEARTBEAT),
            silence_min_ms=settings.get(("time",), keys.SILENCE_MIN),
            settle_ms=settings.get(("time",), keys.SETTLE),
        ),
        gate=GateConfig(
            listen=settings.get(("gate",), keys.GATE_LISTEN),
            identify=settings.get(("gate",), keys.IDENTIFY),
            tls=_tls(settings, ("gate",)),
            proxies=settings.get(("gate",), keys.PROXIES),
        ),
        intake=IntakeConfig(
            listen=settings.get(("intake",), keys.INTAKE_LISTEN),
            max_body_bytes=settings.get(("intake",), keys.MAX_BODY),
            tls=_tls(settings, ("intake",)),
            definitions=_path(settings.get(("intake",), keys.DEFINITIONS)),
        ),
        console=ConsoleConfig(listen=settings.get(("console",), keys.CONSOLE_LISTEN)),
        policy=settings.policy(policy_layers()),
        mirror=MirrorConfig(bandwidth=settings.get(("mirror",), keys.BANDWIDTH)),
        storage=StorageConfig(
            budget=settings.get(("storage",), keys.STORAGE_BUDGET),
            reserve=settings.get(("storage",), keys.STORAGE_RESERVE),
        ),
        ledger=LedgerConfig(head=data / settings.get(("ledger",), keys.HEAD)),
        exploited=ExploitedConfig(
            feed=settings.get(("exploited",), keys.FEED),
            poll_ms=settings.get(("exploited",), keys.FEED_POLL),
        ),
        alert=AlertConfig(
            webhook=settings.get(("alert",), keys.WEBHOOK),
            command=settings.get(("alert",), keys.COMMAND),
        ),
        preflight=PreflightConfig(
            time_ms=settings.get(("preflight",), keys.PREFLIGHT_TIME),
            memory_bytes=settings.get(("preflight",), keys.PREFLIGHT_MEMORY),
            clean=settings.get(("preflight",), keys.CLEAN),
        ),
        channels=channels,
        rings=rings,
        policies=MappingProxyType(
            {
                (channel.name, ring.name): settings.policy(policy_layers(channel.name, ring.name))
                for channel in channels
                for ring in rings
            }
        ),
        settings=settings,
    )


def _tls(settings: Settings, where: Where) -> TlsConfig | None:
    certificate = settings.get(where, keys.CERTIFICATE)
    key = settings.get(where, keys.PRIVATE_KEY)
    if certificate is None or key is None:
        return None
    return TlsConfig(
        certificate=Path(certificate),
        key=Path(key),
        client_ca=_path(settings.get(where, keys.CLIENT_CA)),
        listen_plain=settings.get(where, keys.LISTEN_PLAIN),
    )


def _path(written: str | None) -> Path | None:
    return None if written is None else Path(written)


def _channel(settings: Settings, name: str) -> ChannelConfig:
    where: Where = ("channel", name)
    kind = settings.get(where, keys.KIND)
    usual = traits(kind)
    return ChannelConfig(
        name=name,
        kind=kind,
        upstream=settings.get(where, keys.UPSTREAM),
        poll_ms=settings.get(where, keys.POLL),
        keep=settings.get(where, keys.KEEP),
        first=settings.get(where, keys.FIRST),
        unknown=settings.get(where, keys.UNKNOWN),
        session_idle_ms=settings.get(where, keys.SESSION_IDLE) or usual.session_idle_ms,
        session_max_ms=settings.get(where, keys.SESSION_MAX) or usual.session_max_ms,
        apt=_apt(settings, where) if kind is Kind.APT else None,
        clamav=(ClamavConfig(settings.get(where, keys.DATABASES)) if kind is Kind.CLAMAV else None),
        rpm=_rpm(settings, where) if kind is Kind.RPM else None,
        feeds=settings.get(where, keys.FEEDS),
        preflight=settings.get(where, keys.PREFLIGHT),
        preflight_command=settings.get(where, keys.PREFLIGHT_COMMAND),
        tuf=_tuf(settings, where) if kind is Kind.TUF else None,
    )


def _apt(settings: Settings, where: Where) -> AptConfig:
    sign = settings.get(where, keys.SIGN)
    return AptConfig(
        suites=settings.get(where, keys.SUITES),
        components=settings.get(where, keys.COMPONENTS),
        architectures=settings.get(where, keys.ARCHITECTURES),
        packages=settings.get(where, keys.PACKAGES),
        trust=tuple(Path(file) for file in settings.get(where, keys.TRUST)),
        sign=None if sign is None else Path(sign),
        lazy=settings.get(where, keys.POOL) != "eager",
        eager=settings.get(where, keys.EAGER),
    )


def _rpm(settings: Settings, where: Where) -> RpmConfig:
    return RpmConfig(
        architectures=settings.get(where, keys.ARCHITECTURES),
        packages=settings.get(where, keys.PACKAGES),
        trust=tuple(Path(file) for file in settings.get(where, keys.TRUST)),
        lazy=settings.get(where, keys.POOL) != "eager",
        eager=settings.get(where, keys.EAGER),
    )


def _tuf(settings: Settings, where: Where) -> TufConfig:
    sign = settings.get(where, keys.SIGN)
    return TufConfig(
        trust=Path(settings.get(where, keys.TRUST)[0]),
        sign=None if sign is None else Path(sign),
        metadata=settings.get(where, keys.METADATA) or "metadata",
        targets=settings.get(where, keys.TARGETS) or "targets",
    )


def _source(path: Path, origin: str, base: Path) -> Source:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadConfig(
            f"there is no configuration at {path}", hint="firedoor init writes one"
        ) from None
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    try:
        # Editors of some systems begin every file with a byte order mark.
        return Source(origin, content.decode("utf-8-sig").replace("\r\n", "\n"), base)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(origin, (), "", "not UTF-8", "save the file as UTF-8", line)
        raise refusal([problem], {}) from None


def _drop_ins(base: Path) -> list[Path]:
    directory = base / DROP_INS
    try:
        found = sorted(entry for entry in directory.iterdir() if entry.suffix == ".toml")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadConfig(f"{directory} cannot be read: {error.strerror}") from error
    drop_ins = [entry for entry in found if not entry.name.startswith(".")]
    # Left out silently, a policy somebody believes to be in force would not be.
    for entry in drop_ins:
        if _DROP_IN.fullmatch(entry.name) is None:
            raise BadConfig(
                f"{DROP_INS}/{entry.name} would never be read: drop-ins are named NN-name.toml",
                hint=f"rename it, for example to 50-{entry.name}",
            )
    return drop_ins
