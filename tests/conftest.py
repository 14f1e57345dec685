"""What every test file shares: the marker of slow tests, hypothesis without the clock, the count of planted faults."""

from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[2] / "shared" / "data"

settings.register_profile("minigrad", deadline=None, derandomize=True)
settings.load_profile("minigrad")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found, missed = (
        sum("test_planted" in r.nodeid for r in terminalreporter.stats.get(how, [])) for how in ("passed", "failed")
    )
    if found or missed:
        terminalreporter.write_line(f"faults planted: {found + missed}, found: {found}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora beside the project; tests that use it skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the real corpora are not there: {SHARED}")
    return SHARED
