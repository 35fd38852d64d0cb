"""A whole installation in one folder, made to be broken: bare remote, service, hosts, and gates.

    site = Site.make(tmp_path, clients=["beta", "gamma"])       # canary alpha is always there
    first = site.commit(version="1.0.0")
    with site.serve() as service:
        site.wait_ended(first)

A gate is a place in the remote's hooks, in `activate` or in a check where the test can stop the
world: `site.arm("after:deploy(alpha): ...")` and then `site.wait_gate()`. Every gate that is passed
is written to `gate/trace`. The folder may be copied (`site.copy()`): nothing in it is absolute but
aviary.yaml, since the hosts are named through /proc/self/cwd.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.lib.fleet import PATIENCE_S
from tests.lib.gitserver import ENVIRONMENT, commit_file, git, make_bare, set_hook

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
FINAL = ("succeeded", "failed", "rolled-back", "skipped", "superseded")
ENDS = r"rollout\(([^)]*)\): (succeeded|failed|refused|superseded|aborted)"

FLEET = """version: 1
inventory: inventory.yml
stages:
  - {name: canary, group: canary, bake: 100ms}
  - {name: production, group: production, batch: 1}
release:
  files:
    - {from: version.txt, to: version}
    - {from: client.txt, to: client}
    - {from: activate, to: activate, mode: "0755", template: false}
    - {from: check, to: check, mode: "0755", template: false}
driver:
  kind: local
  root: "/proc/self/cwd/hosts/{{client_name}}"
  activate: [./activate]
  activate_timeout: 30s
checks:
  web: {command: [./check], timeout: 20s}
verify: {interval: 100ms, healthy: 2, timeout: VERIFY_TIMEOUT}
"""

# Passing a gate leaves a line in the trace. An armed one says so, and waits for leave to go on.
GATE = r"""gate() {
	printf '%s\n' "$1" >> "$G/trace"
	[ -e "$G/armed" ] && [ "$(cat "$G/armed")" = "$1" ] || return 0
	mv "$G/armed" "$G/hit" 2>/dev/null || return 0
	printf '%s\n' "$1" > "$G/reached"
	read -r leave < "$G/go"
}
# what a commit says, without the id of its rollout or instance
subjects() { git log --reverse --format=%s "$@" | sed -E 's/^(rollout|leader)\([^)]*\)/\1/'; }
each() { while read -r line; do gate "$1:$line" < /dev/null; done; }
"""

UPDATE = r"""G=$PWD/../gate; . "$G/gate.sh"
case "$2" in *[!0]*) range="$2..$3";; *) range="$3";; esac
case "$1" in
refs/heads/deployments) subjects "$range" > "$G/before.$$"; each before < "$G/before.$$";;
refs/tags/rollback/*) name=${1#refs/tags/}; gate "before:tag ${name%/*}";;
refs/tags/*) gate "before:tag deploy";;
esac
[ ! -e "$G/no" ] || { cat "$G/no" >&2; exit 1; }
"""

POST_RECEIVE = r"""G=$PWD/../gate; . "$G/gate.sh"
while read -r old new ref; do
	case "$old" in *[!0]*) range="$old..$new";; *) range="$new";; esac
	case "$ref" in
	refs/heads/deployments) subjects "$range" > "$G/after.$$"; each after < "$G/after.$$";;
	refs/tags/rollback/*) name=${ref#refs/tags/}; gate "after:tag ${name%/*}";;
	refs/tags/*) gate "after:tag deploy";;
	esac
done
"""

# One line per begin and end in the host's own diary; two at once on a host leave `overlap`.
ACTIVATE = r"""#!/bin/sh
G=$(cd -P . && cd ../../../../gate && pwd); . "$G/gate.sh"
version=$(cat version) diary=../../diary
if [ -e ../../pid ] && grep -q activate "/proc/$(cat ../../pid)/cmdline" 2>/dev/null; then
	echo overlap >> $diary  # a zombie that nobody reaps has no command line
fi
echo $$ > ../../pid
echo "begin $version $AVIARY_ACTION $AVIARY_ROLLOUT" >> $diary
gate "activate-begin:$AVIARY_CLIENT:$version"
echo "$version" > ../../running
case "$version" in *unfit*) rm ../../pid; echo "version $version does not start"; exit 1;; esac
gate "activate-end:$AVIARY_CLIENT:$version"
rm ../../pid
echo "end $version $AVIARY_ACTION $AVIARY_ROLLOUT" >> $diary
"""

CHECK = r"""#!/bin/sh
G=$(cd -P . && cd ../../../../gate && pwd); . "$G/gate.sh"
version=$(cat version)
gate "check:$(cat client):$version"
case "$version" in *bad*) echo "version $version is broken"; exit 1;; esac
[ ! -e ../../sick ] || { echo "the host is sick"; exit 1; }
[ "$(cat ../../running)" = "$version" ]
"""


class Fact:
    """A commit of the status branch."""

    def __init__(self, text):
        self.id, self.subject, trailers = (text + "\n\n").split("\n", 2)
        self.trailers = dict(line.split(": ", 1) for line in trailers.splitlines()
                             if ": " in line)

    def __getattr__(self, name):
        return self.trailers.get(name.replace("_", "-").title(), "")

    def __repr__(self):
        return f"<{self.subject} [{self.result}]>"


def wait_until(what, condition, patience_s=PATIENCE_S):
    """Look until condition() is true and return it; what: for the message, text or function."""
    until = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"waited in vain for {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


def descendants(pid):
    """Processes below a process, itself last."""
    children = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = entry.read_text().rpartition(")")
            children.setdefault(int(tail.split()[1]), []).append(int(head.split()[0]))
    found = []

    def walk(parent):
        for child in children.get(parent, []):
            walk(child)
        found.append(parent)
    walk(pid)
    return found


def is_alive(pid):
    """Does the process run? Whoever waits for its status only does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextlib.contextmanager
def folder_name(folder):
    """A short name of a folder: a socket's path has at most 107 bytes."""
    fd = os.open(folder, os.O_PATH)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


class Service:
    """`aviary serve` as a process. Its log is site.log."""

    def __init__(self, site, environment=None, wrapper=()):
        self.site = site
        with open(site.log, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, AVIARY, "serve", "-c", str(site.config)], cwd=site.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "AVIARY_TEST": "1", **(environment or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def kill(self, children=True):
        """SIGKILL; with everything that it started, or alone, which leaves orphans at work."""
        pids = descendants(self.process.pid)
        # the service first of all, so that it cannot answer the end of its children
        doomed = [self.process.pid] + (pids if children else [])
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        # behind a wrapper the service is no child of ours: its socket and lock live as long as it
        wait_until(f"the end of {doomed}", lambda: not any(map(is_alive, doomed)))

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def request(self, method, path):
        """(status, body) over the unix socket; None while nobody listens."""
        assert self.process.poll() is None, "the service ended:\n" + self.site.log_text()
        with socket.socket(socket.AF_UNIX) as peer, folder_name(self.site.folder) as folder:
            peer.settimeout(PATIENCE_S)
            answer = b""
            try:
                peer.connect(f"{folder}/s")
                peer.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
                while chunk := peer.recv(65536):
                    answer += chunk
            except (ConnectionError, FileNotFoundError):
                return None
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]), body.decode()) if head else None

    def status(self):
        """GET /api/v1/status, or {}."""
        answer = self.request("GET", "/api/v1/status")
        return json.loads(answer[1]) if answer and answer[0] == 200 else {}

    def wait_status(self, what, condition):
        """Wait until condition(status) holds for a status; returns that."""
        seen = {}

        def look():
            seen["status"] = self.status()
            return seen["status"] if condition(seen["status"]) else None
        return wait_until(lambda: f"{what}; status {json.dumps(seen['status'])[:3000]}\nlog:\n"
                          f"{self.site.log_text()}", look)

    def wait_problem(self, *parts):
        """Wait until the status names a problem with these parts; returns the text."""
        status = self.wait_status(f"a problem with {parts}", lambda now: all(
            part in (now.get("problem") or "") for part in parts))
        return status["problem"]

    def poke(self):
        """As a webhook: look again."""
        return wait_until("an answer to a poke", lambda: self.request("POST", "/api/v1/reconcile"))

    def looked(self):
        """Poke, and wait for a look that began after it."""
        before = self.wait_status("a status", bool)["looks"]
        self.poke()
        # one look may be under way already: the second one from here is surely ours
        self.wait_status("two looks", lambda now: now and (now["looks"] >= before + 2 or (
            now["looks"] > before and now["idle"])))


class Site:
    """See above. Socket `s`, state folder `state`, remote `infra.git`, hosts `hosts/<client>`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.bare = self.folder / "infra.git"
        self.gates = self.folder / "gate"
        self.config = self.folder / "aviary.yaml"
        self.log = self.folder / "log"
        self.url = str(self.bare)
        self.extra = ""    # more lines of repository:
        self.poll = "100ms"
        self.reached_fd = self.go_fd = -1

    @classmethod
    def make(cls, folder, clients=("beta", "gamma"), verify_timeout="10s"):
        site = cls(folder)
        site.folder.mkdir(exist_ok=True, parents=True)
        make_bare(site.bare)
        site.write_hooks()
        site.gates.mkdir()
        (site.gates / "gate.sh").write_text(GATE)
        (site.folder / "hosts").mkdir()
        files = {"fleet.yaml": FLEET.replace("VERIFY_TIMEOUT", verify_timeout),
                 "activate": ACTIVATE, "check": CHECK, "version.txt": "{{web_version}}\n",
                 "client.txt": "{{client_name}}\n", "inventory.yml": inventory(clients)}
        for name, text in files.items():
            commit_file(site.bare, "main", name, text.encode(), f"Add {name}")
        site.open()
        return site

    @classmethod
    def make_ready(cls, folder):
        """Everyone runs 1.0.0, and the service is at rest: to be copied."""
        site = cls.make(folder, verify_timeout="1s")
        commit = site.commit("1.0.0")
        with site.serve() as service:
            site.wait_ended(commit, service=service)
            service.wait_status("rest", lambda now: now.get("idle"))
            assert service.stop() == 0
        site.close()
        return site

    def copy(self, folder):
        """The same installation, at rest, at another place."""
        shutil.copytree(self.folder, folder, symlinks=True,
                        ignore=lambda _, names: {"s", "reached", "go"} & set(names))
        site = Site(folder)
        site.open()
        return site

    @contextlib.contextmanager
    def copy_for(self, request):
        """A copy beside it for one test, open while `with` lasts."""
        site = self.copy(self.folder.parent / f"{abs(hash(request.node.name)):x}")
        try:
            yield site
        finally:
            site.close()

    def open(self):
        for name in ("reached", "go"):
            os.mkfifo(self.gates / name)
        # read-write: opening never waits, and a gate that speaks is never told of a broken pipe
        self.reached_fd = os.open(self.gates / "reached", os.O_RDWR | os.O_CLOEXEC)
        self.go_fd = os.open(self.gates / "go", os.O_RDWR | os.O_CLOEXEC)
        (self.gates / "trace").write_text("")
        self.log.write_text("")
        self.configure()

    def close(self):
        for fd in (self.reached_fd, self.go_fd):
            os.close(fd)

    def configure(self):
        self.config.write_text(
            f"listen: 127.0.0.1:0\nsocket: {self.folder}/s\nstate_dir: {self.folder}/state\n"
            f"repository:\n  url: {self.url}\n  poll_interval: {self.poll}\n{self.extra}")

    def write_hooks(self):
        set_hook(self.bare, "update", UPDATE)
        set_hook(self.bare, "post-receive", POST_RECEIVE)

    # ---- the infra repository

    def commit(self, version, message=None):
        """A commit that wants this version of everyone; returns its id."""
        text = f'web_version: "{version}"\n'
        return self.commit_file("group_vars/all.yml", text, message or f"Version {version}")

    def commit_file(self, path, text, message="change", branch="main"):
        data = text if isinstance(text, bytes) else text.encode()
        return commit_file(self.bare, branch, path, data, message)

    def git(self, *arguments, **options):
        return git(self.bare, *arguments, **options)

    # ---- gates

    def arm(self, name):
        (self.gates / "hit").unlink(missing_ok=True)
        scratch = self.gates / "arming"
        scratch.write_text(name + "\n")
        scratch.rename(self.gates / "armed")

    def wait_gate(self, service=None):
        """Until the armed gate is reached."""
        until = time.monotonic() + PATIENCE_S
        while not select.select([self.reached_fd], [], [], 0.2)[0]:
            ended = service and service.process.poll() is not None
            if ended or time.monotonic() > until:
                armed = self.gates / "armed"
                raise AssertionError(f"gate not reached: {armed.read_text()}\n"
                                     f"trace: {self.trace()}\nlog:\n{self.log_text()}")
        return os.read(self.reached_fd, 4096).decode().strip()

    def leave(self):
        """Let whoever waits in a gate go on."""
        os.write(self.go_fd, b"\n")

    def trace(self):
        return (self.gates / "trace").read_text().splitlines()

    def decline(self, text):
        """The remote's hook says no to every push from here on; None: yes."""
        (self.gates / "no").unlink(missing_ok=True)
        if text is not None:
            (self.gates / "no").write_text(text + "\n")

    # ---- the service

    def serve(self, environment=None, wrapper=()):
        self.configure()
        return Service(self, environment, wrapper)

    def aviary(self, *arguments, environment=None):
        """Run a command; (status, output with errors)."""
        done = subprocess.run([AVIARY, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, "AVIARY_TEST": "1", **(environment or {})},
                              timeout=PATIENCE_S)
        return done.returncode, done.stdout.decode(errors="replace")

    def apply(self, *arguments, environment=None):
        self.configure()
        return self.aviary("apply", "-c", str(self.config), *arguments, environment=environment)

    def forget_state(self):
        shutil.rmtree(self.folder / "state")

    def log_text(self):
        return self.log.read_text(errors="replace")

    # ---- what came of it

    def tip(self, branch="deployments"):
        done = subprocess.run(["git", "-C", str(self.bare), "rev-parse", "--verify", "-q",
                               f"refs/heads/{branch}"], env=ENVIRONMENT, stdout=subprocess.PIPE,
                              check=False)
        return done.stdout.decode().strip()

    def facts(self):
        """Commits of the status branch, oldest first."""
        if not self.tip():
            return []
        text = self.git("log", "--reverse", "--format=%x00%H%n%s%n%(trailers:unfold,only)",
                        "refs/heads/deployments")
        return [Fact(part.strip("\n")) for part in text.split("\0") if part.strip("\n")]

    def subjects(self):
        return [fact.subject for fact in self.facts()]

    def ends_of(self, commit):
        """How the rollouts of a commit ended, in order."""
        return [match[2] for fact in self.facts() if fact.source_commit == commit
                and (match := re.fullmatch(ENDS, fact.subject))]

    def wait_ended(self, commit, count=1, service=None):
        """Until a rollout of the commit (or count of them) has ended; returns how."""
        def look():
            assert not service or service.process.poll() is None, self.log_text()
            ends = self.ends_of(commit)
            return ends if len(ends) >= count else None
        return wait_until(lambda: f"the end of {commit}: {self.subjects()}\n{self.log_text()}",
                          look)[-1]

    def record(self, path):
        """A file of the status branch."""
        return self.git("show", f"refs/heads/deployments:{path}")

    def records(self, folder):
        """{name: text} of the files of a folder of the status branch."""
        names = self.git("ls-tree", "--name-only", f"deployments:{folder}").splitlines()
        return {name: self.record(f"{folder}/{name}") for name in names}

    def diary(self, client):
        """Begins and ends of activations on a host: [(begin or end, version, action, rollout)]."""
        file = self.folder / "hosts" / client / "diary"
        return [tuple(line.split()) for line in file.read_text().splitlines()] \
            if file.exists() else []

    def host_state(self, client):
        text = (self.folder / "hosts" / client / ".aviary/state").read_text()
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)

    def running(self, client):
        """Version that the host's current release holds."""
        return (self.folder / "hosts" / client / "current/version").read_text().strip()


def inventory(clients):
    lines = ["all:", "  children:", "    canary:", "      hosts:"]
    for client in ["alpha", None, *clients]:
        if client is None:
            lines += ["    production:", "      hosts:"]
            continue
        lines += [f"        {client}:", f"          client_name: {client}",
                  f"          domain: {client}.example.org", "          apps: [web]"]
    return "\n".join(lines) + "\n"


def final_results(facts):
    """{(rollout, client): [final results]}: each must be exactly one."""
    found = {}
    for fact in facts:
        if fact.client and fact.result in FINAL:
            found.setdefault((fact.rollout, fact.client), []).append(fact.result)
    return found


@contextlib.contextmanager
def scratch_folder(name):
    """Not below pytest's folder: the service's socket has a path of at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=f"aviary-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
