"""What a configuration may say, and reading one.

Three stages (fragment, merged, validated): ``fragment`` checks one file key by key against the
table in ``keys``, ``settings`` is what all files together wrote and where, ``model`` is the frozen
result that the roles are built from. ``checks`` holds what only the whole can tell.
"""

from importlib.resources import files

from firedoor.config.explain import explain, explain_policy, notices
from firedoor.config.fragment import Source
from firedoor.config.model import (
    AlertConfig,
    AptConfig,
    ChannelConfig,
    ClamavConfig,
    Config,
    ConsoleConfig,
    GateConfig,
    IntakeConfig,
    LedgerConfig,
    RpmConfig,
    TimeConfig,
    TlsConfig,
    TufConfig,
)
from firedoor.config.read import compose, defaults, from_text, load
from firedoor.config.values import Listen, show

__all__ = [
    "AlertConfig",
    "AptConfig",
    "ChannelConfig",
    "ClamavConfig",
    "Config",
    "ConsoleConfig",
    "GateConfig",
    "IntakeConfig",
    "LedgerConfig",
    "Listen",
    "RpmConfig",
    "Source",
    "TimeConfig",
    "TlsConfig",
    "TufConfig",
    "compose",
    "defaults",
    "explain",
    "explain_policy",
    "from_text",
    "load",
    "notices",
    "template",
]


def template(data: str | None = None) -> str:
    """The commented file that ``firedoor init`` writes; every key stands in it with its default.

    Args:
        data: Directory to write as ``data``; left at the default, as a comment, if None.
    """
    text = (files("firedoor.config") / "template.toml").read_text(encoding="utf-8")
    if data is None:
        return text
    return text.replace('#data = "/var/lib/firedoor"\n', f"data = {show(data)}\n", 1)
