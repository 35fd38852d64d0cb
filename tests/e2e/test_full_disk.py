"""A disk that is full: the service's and that of a client's host, really (a small tmpfs, where the
tests may mount one) and write by write. Nothing crashes, nothing is half-written, the error says
what, and once there is room it goes on.
"""

import contextlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lib.faulty import Site, final_results, scratch_folder, wait_until

CLIENTS = ("alpha", "beta")
AT_ONCE = 4
MOST_WRITES = 60  # of a whole `apply`; those that it does not make do not fail


@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("disk") as folder:
        yield folder


@pytest.fixture(name="ready", scope="module")
def make_ready(folder):
    """Everyone runs 1.0.0, 2.0.0 is wanted."""
    site = Site.make(folder / "ready", clients=["beta"], verify_timeout="1s")
    commit = site.commit("1.0.0")
    assert site.apply()[0] == 0
    assert site.ends_of(commit) == ["succeeded"]
    site.commit("2.0.0")
    site.close()
    return site


def assert_whole(site):
    """What is current is a whole release, and its state can be read."""
    for client in CLIENTS:
        host = site.folder / "hosts" / client
        assert site.running(client) in ("1.0.0", "2.0.0")
        for name in ("client", "activate", "check"):
            assert (host / "current" / name).stat().st_size > 0
        assert site.host_state(client)["phase"] in ("active", "activating")


def assert_finished(site):
    for client in CLIENTS:
        assert site.running(client) == "2.0.0"
        assert site.host_state(client)["phase"] == "active"
    assert all(len(results) == 1 for results in final_results(site.facts()).values())


def upgrade_with_fault(ready, folder, number):
    """From the number-th write on all fail; then there is room again. Returns whether any failed."""
    site = ready.copy(folder / f"w{number}")
    commit = site.tip("main")
    status, output = site.apply(environment={"AVIARY_FAULT": f"write:{number}+"})
    assert 0 <= status <= 4, (number, output)  # no signal
    ends = site.ends_of(commit)
    assert_whole(site)
    if status == 0:
        assert ends == ["succeeded"], (number, output)
    elif not ends:
        assert "No space left" in output, (number, output)
        status_then, output = site.apply()
        assert status_then == 0, (number, output)
        assert_finished(site)
    else:
        # a host without room is a failed deployment like any other, back where it was
        assert ends == ["failed"], (number, ends)
        told = [fact.reason for fact in site.facts() if fact.result in ("rolled-back", "failed")]
        assert any("No space left" in reason for reason in told), (number, told)
        last = site.commit("2.0.1")
        status_then, output = site.apply()
        assert status_then == 0, (number, output)
        assert site.ends_of(last) == ["succeeded"]
    site.close()
    shutil.rmtree(site.folder)
    return status != 0


def test_each_write_of_an_upgrade_may_fail(ready, folder):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(1, MOST_WRITES, AT_ONCE):
            failed = list(pool.map(lambda number: upgrade_with_fault(ready, folder, number),
                                   range(first, first + AT_ONCE)))
            if not any(failed):
                break
    assert first > AT_ONCE
    assert not any(failed), f"an upgrade makes more than {MOST_WRITES} writes"


# ---- really full -----------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(place, size):
    """A tmpfs of so many bytes at a folder, whose content is kept; skipped where forbidden."""
    kept = place.with_name(place.name + "-kept")
    place.rename(kept)
    place.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", place],
                             stderr=subprocess.DEVNULL, check=False).returncode == 0
    if not mounted:
        pytest.skip("these tests may not mount a tmpfs")
    try:
        shutil.copytree(kept, place, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    """Until not a byte goes in; returns the file to delete."""
    ballast = place / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return ballast


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_in_the_state_folder(ready, folder):
    site = ready.copy(folder / "state-full")
    commit = site.tip("main")
    with small_disk(site.folder / "state", "8m"):
        ballast = fill(site.folder / "state")
        with site.serve() as service:
            problem = service.wait_problem("o space left")
            assert "state" in problem or "mirror" in problem or "write" in problem, problem
            assert service.request("GET", "/healthz")[0] == 200
            assert service.request("GET", "/readyz")[0] == 503
            assert_whole(site)
            assert site.running("alpha") == "1.0.0"
            ballast.unlink()
            assert site.wait_ended(commit, service=service) == "succeeded"
            wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)
            assert service.stop() == 0
        assert_finished(site)
    site.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_of_the_canary(ready, folder):
    """Its deployment fails and says why, it keeps what it ran, production is not touched."""
    site = ready.copy(folder / "host-full")
    commit = site.tip("main")
    with small_disk(site.folder / "hosts/alpha", "1m"):
        ballast = fill(site.folder / "hosts/alpha")
        with site.serve() as service:
            assert site.wait_ended(commit, service=service) == "failed"
            assert_whole(site)
            assert site.running("alpha") == site.running("beta") == "1.0.0"
            last = [fact for fact in site.facts() if fact.client == "alpha" and fact.result in
                    ("failed", "rolled-back", "skipped")][-1]
            assert "o space left" in last.reason, last.trailers
            assert not site.diary("beta")[2:]
            ballast.unlink()
            again = site.commit("2.0.1")
            assert site.wait_ended(again, service=service) == "succeeded"
            assert service.stop() == 0
        assert site.running("alpha") == site.running("beta") == "2.0.1"
    site.close()
