"""What the tests of the gate's store have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firedoor.adapters.store.gate import GateReader, GateWriter


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[GateWriter]:
    """The gate's side of a store of its own."""
    opened = GateWriter(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path: Path, writer: GateWriter) -> Iterator[GateReader]:  # noqa: ARG001 - the writer makes the file
    """Everybody else's."""
    opened = GateReader(tmp_path)
    yield opened
    opened.close()
