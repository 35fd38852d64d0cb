"""Many rollouts in one process of the real service, and what it holds before and after them.

A fleet of `local` hosts. The remote's own hook commits the next change the moment a rollout has
ended, so that one follows the other without a pause of anybody; every so often it stops, the
service comes to rest, and is looked at.
"""

import contextlib
import dataclasses
import os
import subprocess
import time
from pathlib import Path

from tests.lib.faulty import Site, descendants, inventory, wait_until
from tests.lib.gitserver import ENVIRONMENT, git, make_bare, set_hook

CANARY = "alpha"
EVERYBODY, MISTAKE, UNFIT = 251, 31, 17  # each n-th commit: for all clients, cannot be read, fails

FLEET = """version: 1
inventory: inventory.yml
stages:
  - {name: canary, group: canary}
  - {name: production, group: production, batch: 50%}
release:
  files:
    - {from: version.txt, to: version}
    - {from: activate, to: activate, mode: "0755", template: false}
driver:
  kind: local
  root: "/proc/self/cwd/hosts/{{client_name}}"
  activate: [./activate]
checks:
  web: {command: [grep, -q, "", version]}
verify: {interval: 100ms, healthy: 1}
"""

ACTIVATE = """#!/bin/sh
read -r version < version
case "$version" in *unfit*) echo "$version does not start"; exit 1;; esac
"""

# The n-th line of `commits` comes when the n-1-th has ended; at `until` nothing comes.
NEXT = r"""while read -r old new ref; do
	[ "$ref" = refs/heads/deployments ] || continue
	case "$(git log -1 --format=%s "$new")" in
	"rollout("*"): "succeeded*|"rollout("*"): "failed*|"rollout("*"): "refused*) ;;
	*) continue;;
	esac
	read -r next < next; read -r until < until
	[ "$next" -le "$until" ] || continue
	git update-ref refs/heads/main "$(sed -n "${next}p" commits)"
	echo $((next + 1)) > next
done
"""


@dataclasses.dataclass
class Footprint:
    """What a service at rest holds."""

    rollouts: int
    resident_kib: int
    heap_kib: int     # and whatever else no file backs
    descriptors: int  # but those of packs, whose number goes up and down
    threads: int
    files: int
    mirror_kib: int
    rest_kib: int     # of the state folder

    HEAD = ("rollouts   resident       heap  descriptors  threads  files     mirror       rest")

    def __str__(self):
        return (f"{self.rollouts:8,} {self.resident_kib:6,} KiB {self.heap_kib:6,} KiB "
                f"{self.descriptors:12} {self.threads:8} {self.files:6} {self.mirror_kib:6,} KiB "
                f"{self.rest_kib:6,} KiB")


def field(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise KeyError(name)


def descriptors(pid):
    """What a process has open, by name."""
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(entry))
        except OSError:
            continue  # closed meanwhile
    return sorted(name for name in names if "/objects/pack/" not in name)


class Soak:
    """clients hosts, rollouts changes after the onboarding."""

    def __init__(self, folder, clients, rollouts):
        self.site = Site(folder)
        self.clients = [CANARY] + [f"client-{i:02}" for i in range(1, clients)]
        self.scratch = self.site.folder / "tmp"
        self.done = 0
        make_bare(self.site.bare)
        for path in (self.site.gates, self.site.folder / "hosts", self.scratch):
            path.mkdir()
        self.site.open()
        self.site.poll = "1h"  # at rest nobody opens anything
        self.first = self.write_commits(rollouts)
        set_hook(self.site.bare, "post-receive", NEXT)

    def close(self):
        self.site.close()

    # ---- the infra repository

    def write_commits(self, rollouts):
        """One that has the fleet on main, and the others as a list; returns the first."""
        files = {"fleet.yaml": FLEET, "activate": ACTIVATE, "version.txt": "{{web_version}}\n",
                 "inventory.yml": inventory(self.clients[1:]),
                 "group_vars/all.yml": self.version("0")}
        stream = ["blob\nmark :1\n" + data(FLEET), "blob\nmark :2\n" + data(FLEET + "unknown: 1\n")]
        stream.append(self.commit(3, "The fleet", files, parent="refs/heads/main^0"))
        for number in range(1, rollouts + 1):
            stream.append(self.commit(number + 3, f"Change {number}", self.change(number)))
        marks = self.site.folder / "marks"
        subprocess.run(["git", "-C", str(self.site.bare), "fast-import", "--quiet", "--done",
                        f"--export-marks={marks}"], env=ENVIRONMENT, check=True,
                       input=("".join(stream) + "done\n").encode())
        ids = dict(line.split() for line in marks.read_text().splitlines())
        commits = [ids[f":{number + 3}"] for number in range(0, rollouts + 1)]
        (self.site.bare / "commits").write_text("".join(f"{each}\n" for each in commits[1:]))
        (self.site.bare / "next").write_text("1\n")
        (self.site.bare / "until").write_text("0\n")
        git(self.site.bare, "update-ref", "refs/heads/main", commits[0])
        git(self.site.bare, "update-ref", "-d", "refs/heads/soak")
        # they must stay until they are wanted
        git(self.site.bare, "config", "gc.pruneExpire", "never")
        git(self.site.bare, "config", "receive.autogc", "false")
        return commits[0]

    @staticmethod
    def version(number):
        return f'web_version: "{number}"\n'

    def change(self, number):
        """{path: content} of the n-th commit; a mistake is taken back by the next."""
        client = self.clients[number % len(self.clients)]
        changes = {f"host_vars/{client}.yml": self.version(number)}
        if number % EVERYBODY == 0:
            changes = {f"host_vars/{each}.yml": self.version(number) for each in self.clients}
        elif number % UNFIT == 0 and client != CANARY:
            changes = {f"host_vars/{client}.yml": self.version(f"{number}-unfit")}
        if number % MISTAKE == 0:
            changes["fleet.yaml"] = 2
        elif number % MISTAKE == 1:
            changes["fleet.yaml"] = 1
        return changes

    @staticmethod
    def commit(mark, subject, files, parent=None):
        lines = [f"commit refs/heads/soak\nmark :{mark}\n"
                 f"committer Eva <eva@example.org> {1800000000 + mark} +0000\n", data(subject),
                 f"from {parent}\n" if parent else ""]
        for path, content in files.items():
            mode = "100755" if path == "activate" else "100644"
            lines.append(f"M {mode} :{content} {path}\n" if isinstance(content, int)
                         else f"M {mode} inline {path}\n{data(content)}")
        return "".join(lines)

    # ---- the service

    def serve(self):
        return self.site.serve({"TMPDIR": str(self.scratch)})

    def rest(self, service):
        """Until nothing is left to do."""
        newest = git(self.site.bare, "rev-parse", "main")
        service.wait_status("rest", lambda now: now.get("idle") and now["commit"] == newest)

    def run(self, service, rollouts):
        """That many more, and then the service at rest."""
        git(self.site.bare, "gc", "-q")  # as forges do at times
        self.done += rollouts
        (self.site.bare / "until").write_text(f"{self.done}\n")
        first = self.done - rollouts + 1
        commits = (self.site.bare / "commits").read_text().splitlines()
        (self.site.bare / "next").write_text(f"{first + 1}\n")
        git(self.site.bare, "update-ref", "refs/heads/main", commits[first - 1])
        seen = [0, 0]  # progress, and until when to wait with the next poke

        def has_come():
            """After a refusal nobody looks until somebody pokes."""
            if time.monotonic() > seen[1]:
                service.poke()
                seen[1] = time.monotonic() + 0.5
            if self.progress() > seen[0]:
                seen[:] = self.progress(), time.monotonic() + 0.5
            return seen[0] > self.done
        wait_until(lambda: f"{self.done} rollouts: {service.status()}\n"
                   f"{self.site.log_text()[-9000:]}", has_come, patience_s=rollouts * 10 + 180)
        self.rest(service)

    def progress(self):
        text = (self.site.bare / "next").read_text()
        return int(text or 0)  # empty while the hook writes it

    def looked_at(self, service):
        """(names of what is open, sizes of the files of the state folder, temporary files)"""
        sizes = {}
        for path in (self.site.folder / "state").rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # the mirror is packed
                if path.is_file():
                    sizes[path] = path.stat().st_blocks // 2
        scratch = [path.name for path in self.scratch.rglob("*")] + [
            path.name for path in sizes if path.name.startswith(("tmp", "pack_git2_", ".tmp"))
            or path.suffix in (".lock", ".part", ".new")]
        return descriptors(service.process.pid), sizes, scratch

    def footprint(self, service, opened=None):
        """What the service holds at rest: packing, children and connections come to their end.
        opened: what it has open then."""
        pid, last = service.process.pid, [None]

        def is_quiet():
            before, last[0] = last[0], self.looked_at(service)
            return before == last[0] and not last[0][2] and len(descendants(pid)) == 1 and \
                opened in (None, last[0][0])
        wait_until(lambda: f"rest, open is {last[0][0]}, was {opened}; temporary: {last[0][2]}; "
                   f"processes: {descendants(pid)}", is_quiet)
        names, sizes, _ = last[0]
        mirror = sum(size for path, size in sizes.items() if "mirror.git" in path.parts)
        return Footprint(self.done, field(pid, "VmRSS"), field(pid, "RssAnon"), len(names),
                         field(pid, "Threads"), len(sizes), mirror,
                         sum(sizes.values()) - mirror)


def data(text):
    return f"data {len(text.encode())}\n{text}\n"
