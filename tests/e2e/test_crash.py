"""kill -9 at the n-th change of the world, counted in system calls (tests/tools/kill_at.c), in a
rollout over six clients of which one gets a version that does not start. Whatever n is, the restarted
service ends where an undisturbed one does - on the same state folder and on an empty one, with the
children of the dead service alive and dead.

The same with a remote that declines a push, is slow, or dies in the middle of one: alone, and with
a kill in the same run.

`make test` runs a sample, from a seed that it prints; `make crash` (AVIARY_CRASH=all) each n, on
both kinds of state folder. AVIARY_CRASH=SEED runs the sample of that seed again.
"""

import fcntl
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lib.faulty import ROOT, Site, final_results, scratch_folder, wait_until
from tests.lib.gitserver import set_hook
from tests.lib.outcome import forget_reasons, outcome, settle

AT_ONCE = 6  # they mostly wait
ASKED = os.environ.get("AVIARY_CRASH", "")
SEED = int(ASKED) if ASKED.isdigit() else random.SystemRandom().randrange(1 << 32)
SAMPLE, SAMPLE_TROUBLED = 60, 8
KILLS_PER_TROUBLE = 12  # of `make crash`
MODES = [(children, state) for children in ("alone", "all") for state in ("same", "empty")]
OTHERS = ("beta", "delta", "epsilon", "gamma", "zeta")
AGAIN = 1  # activations: of one client at a time, only what was interrupted may be done again
TOOL = str(ROOT / Path(os.environ.get("AVIARY_BUILD", "build")) / "tests/kill_at")
NOT_PERMITTED = 125

# The push number $N of the status branch: declined, slow, or its receiver dies, before or after
TROUBLES = {
    "declined": ("update", 'echo "not now" >&2; exit 1'),
    "slow": ("update", "sleep 1"),
    "dies-before": ("update", "kill -9 $PPID"),
    "dies-after": ("post-receive", "kill -9 $PPID"),
}
COUNTED = r"""case "$*$(cat)" in *refs/heads/deployments*) ;; *) exit 0;; esac
n=$(($(cat pushes 2>/dev/null || echo 0) + 1)); echo $n > pushes
[ $n != %d ] || { %s; }
"""


def served(site, at=0, children="alone"):
    """The service under the counting killer."""
    site.poll = "2s"
    options = ["--all"] if children == "all" else []
    # a leak check can't be made under ptrace
    return site.serve({"ASAN_OPTIONS": "detect_leaks=0"},
                      [TOOL, *options, str(at), str(site.folder / "calls")])


def is_free(lock):
    """A child between fork and exec holds the lock of the dead service for a moment longer."""
    if not lock.exists():
        return True
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False


def result(site):
    found = {part: forget_reasons(value) for part, value in outcome(site).items()}
    found["finals"] = sorted((client, final) for (_, client), final
                             in final_results(site.facts()).items())
    return found


class Fleet:
    """Six clients on 1.0.0, and a commit that wants 2.0.0 of them, which does not start for epsilon."""

    def __init__(self, folder):
        self.folder = folder
        self.site = Site.make(folder / "0", OTHERS, verify_timeout="60s")
        for hook in ("update", "post-receive"):  # gates, which are not needed here
            (self.site.bare / "hooks" / hook).unlink()
        first = self.site.commit("1.0.0")
        with self.site.serve() as service:
            settle(self.site, service, first)
            assert service.stop() == 0
        self.site.commit_file("host_vars/epsilon.yml", 'web_version: "2.0.0-unfit"\n')
        self.commit = self.site.commit("2.0.0")
        self.site.close()
        done = self.site.copy(folder / "done")
        set_hook(done.bare, "update", COUNTED % (0, "exit 1"))
        with served(done) as service:
            settle(done, service, self.commit)
            self.permitted = service.stop() != NOT_PERMITTED
        done.close()
        self.expected = result(done)
        self.calls = int((done.folder / "calls").read_text().split()[0]) if self.permitted else 0
        self.pushes = int((done.bare / "pushes").read_text())

    def run(self, at, children, state, trouble=None):
        """Kill at the n-th change, go on, and return what came of it. trouble: (kind, push)."""
        name = "-".join(map(str, (at, children, state, *(trouble or ()))))
        site = self.site.copy(self.folder / name)
        if trouble:
            self.make_trouble(site, *trouble)
        with served(site, at, children) as service:
            wait_until(f"change {at}, or the end", lambda: service.process.poll() is not None
                       or site.ends_of(self.commit))
            if service.process.poll() is None:
                service.stop()  # told to end through its wrapper, which sees it end
        lock = site.folder / "state/lock"
        wait_until(f"{lock} to be free", lambda: is_free(lock))
        if state == "empty":
            site.forget_state()
        with site.serve() as service:
            settle(site, service, self.commit)
            assert service.stop() == 0, site.log_text()
        return self.ended(site)

    def trouble(self, kind, at):
        """The at-th push of the status branch meets trouble."""
        site = self.site.copy(self.folder / f"{kind}-{at}")
        self.make_trouble(site, kind, at)
        site.poll = "200ms"
        with site.serve() as service:
            settle(site, service, self.commit)
            assert service.stop() == 0, site.log_text()
        return self.ended(site)

    @staticmethod
    def make_trouble(site, kind, at):
        hook, text = TROUBLES[kind]
        set_hook(site.bare, hook, COUNTED % (at, text))

    @staticmethod
    def ended(site):
        site.close()
        found = result(site), {client: site.diary(client) for client in ("alpha", *OTHERS)}, \
            site.log_text()
        shutil.rmtree(site.folder)  # all of them together would take as long as their runs
        return found


def cases(calls):
    """(n, children, state) of this run."""
    if ASKED == "all":
        return [(at, MODES[(at * 2 + i) % 4][0], state) for at in range(1, calls + 1)
                for i, state in enumerate(("same", "empty"))]
    every = [(at, *mode) for at in range(1, calls + 1) for mode in MODES]
    return random.Random(SEED).sample(every, SAMPLE)


def troubled_cases(calls, pushes):
    """(n, children, state, (kind, push)) of this run."""
    dice, every = random.Random(SEED), []
    for kind in TROUBLES:
        for push in range(1, pushes + 1):
            every += [(dice.randint(1, calls), *MODES[i % 4], (kind, push))
                      for i in range(KILLS_PER_TROUBLE)]
    return every if ASKED == "all" else dice.sample(every, SAMPLE_TROUBLED)


def complain(fleet, case, run):
    """What is wrong with the end of a run; '' if nothing."""
    found, diaries, log = run
    for part, value in fleet.expected.items():
        if found[part] != value:
            return f"{case}: {part} is\n{found[part]}\nnot\n{value}\n{log}"
    again = 0
    for client, diary in diaries.items():
        begins = [entry[1:] for entry in diary if entry[0] == "begin"]
        if ("overlap",) in diary:
            return f"{case}: two activations at once on {client}: {diary}\n{log}"
        again += len(begins) - len(set(begins))
    return f"{case}: {again} activations again: {diaries}\n{log}" if again > AGAIN else ""


def complaint_of(fleet, case, run):
    """As complain(); what a run that got stuck says, too."""
    try:
        return complain(fleet, case, run())
    except AssertionError as stuck:
        return f"{case}: {stuck}"


def check(fleet, cases_and_runs):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        complaints = list(filter(None, pool.map(
            lambda each: complaint_of(fleet, *each), cases_and_runs)))
    names = [text.split(": ")[0] for text in complaints]
    assert not complaints, f"{len(complaints)} of {len(cases_and_runs)}, seed {SEED}: {names}\n" \
        + "\n\n".join(complaints[:3])


@pytest.fixture(name="fleet", scope="module")
def make_fleet():
    with scratch_folder("crash") as folder:
        yield Fleet(folder)


def killed(fleet, wanted):
    if not fleet.permitted:
        pytest.skip("ptrace is not permitted here")
    print(f"seed {SEED}, {fleet.calls} changes, {fleet.pushes} pushes, {len(wanted)} runs")
    assert fleet.calls > 100
    check(fleet, [(case, lambda case=case: fleet.run(*case)) for case in wanted])


def test_a_kill_at_any_change_of_the_world_changes_nothing_in_the_end(fleet):
    killed(fleet, cases(fleet.calls))


def test_a_kill_besides_a_push_that_meets_trouble_changes_nothing_in_the_end(fleet):
    killed(fleet, troubled_cases(fleet.calls, fleet.pushes))


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_push_that_meets_trouble_changes_nothing_in_the_end(fleet, kind):
    pushes = range(1, fleet.pushes + 1)
    if ASKED != "all":
        pushes = random.Random(SEED).sample(pushes, 3)
    check(fleet, [((kind, at), lambda at=at: fleet.trouble(kind, at)) for at in pushes])
