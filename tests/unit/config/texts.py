"""Configurations as text: a channel, two rings, and ways to have them read or refused."""

from pathlib import Path
from textwrap import dedent

import pytest

from firedoor.config import (
    from_text,
)
from firedoor.core.errors import BadConfig

TOOLS = """
[[channel]]
name = "tools"
kind = "files"
upstream = "https://vendor.example/tools/"
"""

RINGS = """
[[ring]]
name = "lab"
machines = { site = ["lab"] }
budget = 2

[[ring]]
name = "offices"
machines = { site = ["prague", "brno"] }
after = "lab"
soak = "3h"
"""


def refused(text: str) -> BadConfig:
    """The error a text is refused with."""
    with pytest.raises(BadConfig) as caught:
        from_text(dedent(text), origin="firedoor.toml")
    return caught.value


def written(directory: Path, **files: str) -> Path:
    """Write ``firedoor.toml`` and drop-ins; return the main file's path."""
    (directory / "config.d").mkdir()
    for name, text in files.items():
        path = "firedoor" if name == "main" else f"config.d/{name[1:].replace('_', '-')}"
        (directory / f"{path}.toml").write_text(dedent(text), encoding="utf-8")
    return directory / "firedoor.toml"
