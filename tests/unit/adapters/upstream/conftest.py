"""A vendor that says what it is told, and a reader of it."""

import pytest
from tests.servers import ToldVendor, serving
from tests.unit.adapters.upstream.reading import Time, reading

from firedoor.adapters.blobs.disk import DiskBlobs


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def vendor():
    with ToldVendor(serving({}), None) as told:
        yield told


@pytest.fixture
def upstream(vendor, time):
    return reading(vendor.url, time)
