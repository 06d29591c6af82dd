"""What holds, and why: every effective value with its origin, and what deserves a remark."""

from firedoor.config import keys
from firedoor.config.keys import AnyKey
from firedoor.config.model import ChannelConfig, Config
from firedoor.config.settings import DEFAULT, Settings, Where, policy_layers, shown_path
from firedoor.config.values import show_duration
from firedoor.core.channel import traits
from firedoor.core.ring import EVERYONE

Row = tuple[str, str, str]
"""Key path, value as TOML would write it, origin: a file's name or "default"."""


def explain(config: Config) -> list[Row]:
    """Every effective value and where it came from.

    Policy keys stand under a channel or ring only where that channel or ring sets them;
    ``explain_policy`` tells what results. A webhook is shown without its path.
    """
    settings = config.settings
    rows = [_row(settings, (), keys.DATA)]
    for table, known in keys.TABLES.items():
        rows += [_row(settings, (table,), key) for key in known]
    for channel in config.channels:
        where = ("channel", channel.name)
        usual = traits(channel.kind)
        kinds = {
            keys.SESSION_IDLE.name: usual.session_idle_ms,
            keys.SESSION_MAX.name: usual.session_max_ms,
        }
        for key in keys.LISTS["channel"]:
            if key.name in kinds and settings.setting(where, key) is None:
                shown = show_duration(kinds[key.name])
                rows.append(
                    (shown_path(where, key.name), shown, f"{DEFAULT} of kind {channel.kind}")
                )
            elif key not in keys.POLICY or settings.setting(where, key):
                rows.append(_row(settings, where, key))
    for name in settings.names("ring"):
        where = ("ring", name)
        written = [key for key in keys.LISTS["ring"] if settings.setting(where, key)]
        rows += [_row(settings, where, key) for key in written]
    return [row for row in rows if row[1]]


def explain_policy(config: Config, channel: str, ring: str = EVERYONE) -> list[Row]:
    """The policy of a channel in a ring; each row's path is that of the key that decided.

    Raises:
        NotFound: There is no such channel or ring.
    """
    config.policy_for(channel, ring)
    layers = policy_layers(channel, ring)
    rows = []
    for key in keys.POLICY:
        decided = config.settings.deciding(key, layers)
        rows.append(_row(config.settings, decided.where if decided else ("policy",), key))
    return rows


def notices(config: Config) -> list[str]:
    """What is allowed and deserves a remark of ``firedoor config check``."""
    found = []
    if not config.channels:
        found.append("there is no [[channel]]: the gate has nothing to serve")
    # Of the default nobody expects anything yet.
    chosen = config.settings.setting(("gate",), keys.IDENTIFY) is not None
    tls = config.gate.tls
    certifies = tls is not None and tls.client_ca is not None
    if chosen and "certificate" in config.gate.identify and not certifies:
        found.append(
            'gate.identify: "certificate" needs gate.certificate, gate.key and gate.client_ca; '
            "it is skipped"
        )
    if certifies and "certificate" not in config.gate.identify:
        found.append('gate.client_ca: of no use, as gate.identify does not name "certificate"')
    if "address" in config.gate.identify:
        found.append(
            'gate.identify: machines known by "address" only share one identity and take no part '
            "in the evidence"
        )
        found += [
            f'{shown_path(("channel", channel.name), keys.UNKNOWN.name)}: "refuse" does nothing '
            'while "address" is in gate.identify: whoever is not enrolled is known by address'
            for channel in config.channels
            if channel.unknown == "refuse"
        ]
    if config.gate.identify == ("certificate",) and not certifies:
        found.append("gate.identify: no way to identify a machine is left, so none will be served")
    found += [
        f"{shown_path(('channel', channel.name), keys.UPSTREAM.name)}: nothing proves that what "
        f"comes over http is the vendor's: {_proofs(channel)}"
        for channel in config.channels
        if channel.upstream.startswith("http://") and _is_known_by_address(channel)
    ]
    if config.alert.webhook is None and config.alert.command is None:
        found.append("there is no [alert]: a hold would be seen on the console alone")
    return found


def _is_known_by_address(channel: ChannelConfig) -> bool:
    """Whether nothing but its address tells that an upstream is the vendor's."""
    return bool(channel.feeds) or (channel.rpm is not None and not channel.rpm.trust)


def _proofs(channel: ChannelConfig) -> str:
    return "use https" if channel.feeds else "use https, or name its keys as trust"


def _row(settings: Settings, where: Where, key: AnyKey) -> Row:
    setting = settings.setting(where, key)
    value = key.show(settings.get(where, key))
    return shown_path(where, key.name), value, setting.origin if setting else DEFAULT
