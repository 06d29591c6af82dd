"""What every test has in common."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from tests.gnupg import end_agents

# A thread that outlives its test must not log into what the next one takes for its answer.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

# No deadline: a test that fails when the machine is busy tells nothing about the code.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# On CI the same examples every time: a landing must not hang on luck. New ones are looked for
# by whoever runs the tests by hand.
settings.register_profile("ci", parent=settings.get_profile("house"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")

_E2E = Path(__file__).parent / "e2e"


@pytest.fixture(autouse=True)
def _no_agents_left() -> Iterator[None]:
    """No agent of GnuPG outlives the test that started it."""
    yield
    end_agents()


@pytest.fixture(scope="session", autouse=True)
def _none_of_others_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor do those that dnf has started for its caches outlive the run."""
    yield
    # `os.walk` passes over what vanishes meanwhile, as sockets of what is ending do.
    for home, folders, _ in os.walk(tmp_path_factory.getbasetemp()):
        if "private-keys-v1.d" in folders:
            end_agents(Path(home))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, so that ``-m "not e2e"`` means what it says."""
    for item in items:
        if _E2E in item.path.parents:
            item.add_marker(pytest.mark.e2e)
