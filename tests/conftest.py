"""What every test file shares: the marker of slow tests, hypothesis without the clock, the count of planted faults."""

import atexit
import gc
import importlib.util
import os
import shutil
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
from hypothesis import settings

from minigrad.viz import command

# Numba compiles a third faster without optimizing, which few tests are about: NUMBA_OPT=3 tests that too.
os.environ.setdefault("NUMBA_OPT", "0")
# Compiled code is not kept in the folder of whoever runs the tests; the processes of xdist share it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    COMPILED = TemporaryDirectory()
    atexit.register(COMPILED.cleanup)
    os.environ["NUMBA_CACHE_DIR"] = COMPILED.name
# See sampling.py; set here, before the processes of xdist start, which have to collect the same tests.
os.environ.setdefault("SAMPLE", "0")

# A shell lets what it starts in the background ignore Ctrl-C; the programs that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"

settings.register_profile("minigrad", deadline=None, derandomize=True)
settings.load_profile("minigrad")


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "fail, do not skip, where Graphviz's dot, a browser or a type checker is missing"
    parser.addoption("--tools-required", action="store_true", help=help)


def missing(request: pytest.FixtureRequest, name: str, installer: str) -> NoReturn:
    """End a test that needs something which is not installed."""
    message = f"needs {name}, which is not installed: {installer} install {name}"
    pytest.fail(message) if request.config.getoption("--tools-required") else pytest.skip(message)


def program(request: pytest.FixtureRequest, name: str, package: str) -> str:
    """Where a program is that some tests need; they skip without it."""
    return shutil.which(name) or missing(request, package, "apt")


@pytest.fixture(scope="session", params=["mypy", "basedpyright"])
def type_checker(request: pytest.FixtureRequest) -> str:
    """Each of the type checkers, as a module to run."""
    name: str = request.param
    return name if importlib.util.find_spec(name) else missing(request, name, "pip")


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> str:
    """The browser that tests open pages in: where it is installed the one without windows, which is twice as fast."""
    return shutil.which("chromium-headless-shell") or program(request, "chromium", "chromium")


@pytest.fixture(scope="session")
def dot(request: pytest.FixtureRequest) -> str:
    """Graphviz itself, where graphviz-pure is not enough."""
    return program(request, "dot", "graphviz")


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Graphviz: graphviz-pure, which comes with the tests, draws."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def no_graphviz(no_dot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing draws."""
    monkeypatch.setattr(command.sysconfig, "get_path", lambda _: "")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds")
    config.addinivalue_line("markers", "gpu: runs where CuPy finds a GPU")


def pytest_collection_finish() -> None:
    """What pytest keeps of twenty thousand tests lives on: no collection of garbage, of which tests ask for hundreds,
    need go through it."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"sample of the cases of ops: SAMPLE={os.environ['SAMPLE']}")
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
