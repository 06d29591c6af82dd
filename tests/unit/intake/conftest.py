import pytest
from tests.unit.intake.posting import World


@pytest.fixture
def world(tmp_path):
    """Real register, real store, a clock in the hand."""
    made = World(tmp_path)
    yield made
    made.close()
