"""A site whose files are closed afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.wire.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()
