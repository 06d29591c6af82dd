"""A site with a day behind it, for all commands that only read."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.cli.desk import Desk


@dataclass(frozen=True)
class Day:
    """Three releases: adopted, walked open by every machine, shut as harmful."""

    desk: Desk
    adopted: str
    good: str
    bad: str


@pytest.fixture(scope="session")
def day(tmp_path_factory) -> Iterator[Day]:
    """Read only: it is shared by all tests."""
    desk = Desk(tmp_path_factory.mktemp("day"))
    adopted, good = desk.adopt_and_walk()
    bad = desk.brick("3")
    desk.keep_head()
    yield Day(desk, adopted, good, bad)
    desk.site.close()


@pytest.fixture
def copy(day: Day, tmp_path: Path) -> Path:
    """The same day as files that a test may spoil; the path of the configuration."""
    # What lies in the logs of the databases belongs to them.
    shutil.copytree(day.desk.path.parent, tmp_path / "site")
    return tmp_path / "site" / "firedoor.toml"
