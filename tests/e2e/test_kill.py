"""kill -9 at each place of a rollout where the world can see it: before and after each push, at the
begin and the end of each activation, in each verification. Whatever is killed, the restarted service
ends where an undisturbed one does.

The world is stopped by gates in hooks, activate and checks (tests/lib/faulty.py), so that a point is
exact. Each point is killed twice: with all children and the state folder kept, and the service alone
- a push may land after its death, an activation goes on - with the state folder lost.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lib.faulty import Site, final_results, scratch_folder, wait_until
from tests.lib.outcome import forget_reasons, outcome, settle

AT_ONCE = 8  # they mostly wait

START, BAKING = "rollout: started", "rollout: stage canary baking"
CANARY_GOOD = "rollout: stage canary succeeded"


def both(*subjects):
    return [f"{side}:{subject}" for subject in subjects for side in ("before", "after")]


def on_host(client, version):
    return [f"activate-begin:{client}:{version}", f"activate-end:{client}:{version}",
            f"check:{client}:{version}"]


UP = "web 1.0.0 -> 2.0.0"
DOWN = "web 3.0.0-bad -> 2.0.0"
SCENARIOS = {  # name: (version asked for, points); facts of one push have one point
    "onboarding": ("1.0.0", [
        *both(START), *on_host("alpha", "1.0.0"), *both(BAKING, CANARY_GOOD),
        *on_host("beta", "1.0.0"), *both("onboard(gamma): web 1.0.0: started"),
        *both("rollout: succeeded")]),
    "upgrade": ("2.0.0", [
        *both(START, "tag rollback/alpha"), *on_host("alpha", "2.0.0"), *both(BAKING, CANARY_GOOD),
        *both("tag rollback/beta"), *on_host("beta", "2.0.0"),
        *both(f"deploy(gamma): {UP}: started", "tag rollback/gamma"), *on_host("gamma", "2.0.0"),
        *both("rollout: succeeded", "tag deploy")]),
    "bad": ("3.0.0-bad", [
        *both(START, "tag rollback/alpha"), *on_host("alpha", "3.0.0-bad"),
        *on_host("alpha", "2.0.0"), *both(f"rollback(alpha): {DOWN}: going back"),
        *both(f"rollback(alpha): {DOWN}", "rollout: failed")]),
}
CASES = [(name, point, mode) for name, (_, points) in SCENARIOS.items() for point in points
         for mode in ("all-die", "service-dies")
         if mode == "all-die" or not point.startswith("check")]
# the other two of the four, where a child matters
CASES += [(name, point, mode) for name, (_, points) in SCENARIOS.items() for point in points
          if point.startswith("activate") for mode in ("all-die-empty", "service-dies-same")]


# ---- the runs -------------------------------------------------------------------------------

@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("kill") as folder:
        yield folder


class Bench:
    """The three installations to start from, and what becomes of each undisturbed."""

    def __init__(self, folder):
        self.folder = folder
        self.ready, self.commits, self.expected, self.traces = {}, {}, {}, {}
        site = Site.make(folder / "0", verify_timeout="6s")
        for name, (version, _) in SCENARIOS.items():
            self.commits[name] = site.commit(version)
            site.close()
            self.ready[name] = site
            site = site.copy(folder / f"{name}-done")
            with site.serve() as service:
                settle(site, service, self.commits[name])
                assert service.stop() == 0
            self.expected[name] = outcome(site)
            self.traces[name] = set(site.trace())
        site.close()

    def run(self, name, point, mode):
        site = self.ready[name].copy(self.folder / re.sub(r"\W+", "-", f"{name}-{point}-{mode}"))
        try:
            self.interrupt(site, point, mode)
            with site.serve() as service:
                if mode.startswith("service-dies") and point.startswith("activate"):
                    wait_until("the rollout to go on", lambda: "rollout goes on" in site.log_text())
                    service.looked()
                    site.leave()
                settle(site, service, self.commits[name])
                found, diaries = outcome(site), {client: site.diary(client)
                                                 for client in ("alpha", "beta", "gamma")}
                results, log = final_results(site.facts()), site.log_text()
                assert service.stop() == 0
            status, whole = site.aviary("history", "--verify", "-c", str(site.config))
            assert status == 0, whole
            for rollout in site.records("rollouts"):
                status, story = site.aviary("replay", rollout.removesuffix(".yaml"), "-c", str(site.config))
                assert status == 0, story
        finally:
            site.close()
        return found, diaries, results, log

    def interrupt(self, site, point, mode):
        all_die = mode.startswith("all-die")
        site.arm(point)
        with site.serve() as service:
            site.wait_gate(service)
            service.kill(children=all_die)
        if not all_die and not point.startswith("activate"):
            refs = site.git("for-each-ref")
            site.leave()
            if point.startswith("before"):  # the push lands, though nobody waits for it any more
                wait_until(f"{point} to land", lambda: site.git("for-each-ref") != refs)
        if mode in ("service-dies", "all-die-empty"):
            site.forget_state()


@pytest.fixture(name="bench", scope="module")
def make_bench(folder):
    return Bench(folder)


@pytest.fixture(name="runs", scope="module")
def start_runs(bench, request):
    """{case: future}, of the cases that are asked for."""
    wanted = [item.callspec.params["case"] for item in request.session.items
              if item.module is request.module and hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {case: pool.submit(bench.run, *case) for case in wanted}
        yield runs
        for run in runs.values():
            run.cancel()


def may_repeat(point):
    """(client, version) whose activation the kill may have interrupted."""
    if point.startswith("activate"):
        return tuple(point.split(":")[1:])
    # recorded while the host goes back
    return ("alpha", "2.0.0") if "going back" in point else None


def without_reason(name, point):
    """Was it killed before the way back, and with it the reason, was recorded?"""
    return name == "bad" and (":alpha:2.0.0" in point or
                              point.startswith("before:") and "going back" in point)


@pytest.mark.parametrize("case", CASES, ids=["-".join(case) for case in CASES])
def test_a_kill_changes_nothing_in_the_end(bench, runs, case):
    name, point, _ = case
    found, diaries, results, log = runs[case].result()
    expected = bench.expected[name]
    for part, value in expected.items():
        if without_reason(name, point):
            value, found[part] = forget_reasons(value), forget_reasons(found[part])
        assert found[part] == value, log
    assert all(len(final) == 1 for final in results.values()), results
    for client, diary in diaries.items():
        assert ("overlap",) not in diary
        begins = [(version, action, rollout) for kind, version, action, rollout in diary
                  if kind == "begin"]
        for begin in set(begins):
            most = 2 if (client, begin[0]) == may_repeat(point) else 1
            assert begins.count(begin) <= most, (client, diary, log)


def test_the_points_are_those_that_a_rollout_passes(bench):
    """A place that is new in the code must become a point here."""
    for name, (_, points) in SCENARIOS.items():
        missing = set(points) - bench.traces[name]
        assert not missing
    assert len(CASES) > 100


def test_a_new_state_folder_is_new_until_it_has_led(bench, folder):
    """A kill before its leadership is accepted must not leave it yielding to an instance that is
    gone."""
    site = bench.ready["upgrade"].copy(folder / "new-leader")
    site.forget_state()
    site.arm("before:leader: epoch 2")
    with site.serve() as service:
        site.wait_gate(service)
        service.kill()
    with site.serve() as service:
        settle(site, service, bench.commits["upgrade"])
        assert service.request("GET", "/readyz")[0] == 200
    site.close()
    assert outcome(site)["hosts"] == bench.expected["upgrade"]["hosts"]
