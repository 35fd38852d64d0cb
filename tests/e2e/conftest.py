"""Fixtures of the tests with a fleet: each test gets one in which all clients run the first commit.

The onboarding is done once; its folder is copied for each test, to the same path, since hosts and
configuration name absolute ones.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lib.fleet import CheckServer, Fleet, copy_tree, tell  # noqa: E402


@pytest.fixture(name="checks", scope="session")
def serve_checks():
    with CheckServer() as server:
        yield server


@pytest.fixture(name="fleets", scope="session")
def make_folder():
    """Not below pytest's folder: the service's socket has a path of at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="aviary-test-fleet-")).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="onboarded", scope="session")
def onboard(fleets, checks):
    """Folder of a fleet whose service has stopped after the onboarding."""
    fleet = Fleet(fleets / "live", checks).make()
    try:
        fleet.start().settle()
        fleet.service.stop()
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()
    (fleets / "live").rename(fleets / "onboarded")
    return fleets / "onboarded"


def lend(fleet, request):
    """Yield a fleet to a test; on failure show what happened."""
    yield fleet
    if getattr(request.node, "failed", False):
        tell(fleet)
    try:
        fleet.close()
    finally:
        shutil.rmtree(fleet.folder)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Fixtures see whether their test failed."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        item.failed = True


@pytest.fixture(name="idle_fleet")
def copy_onboarded(onboarded, fleets, checks, request):
    """Onboarded; the service is not started yet."""
    copy_tree(onboarded, fleets / "live")
    checks.reset()
    fleet = Fleet(fleets / "live", checks)
    fleet.put("activations", "")
    fleet.service.log_file.unlink()
    yield from lend(fleet, request)


@pytest.fixture(name="fleet")
def start_fleet(idle_fleet):
    """Onboarded, and the service runs."""
    idle_fleet.start().settle()
    return idle_fleet


@pytest.fixture(name="fresh_fleet")
def make_fresh(fleets, checks, request):
    """Nothing was deployed yet; the service is not started."""
    checks.reset()
    yield from lend(Fleet(fleets / "fresh", checks).make(), request)
