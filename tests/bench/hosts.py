"""Releases over SSH to many hosts at once, beside ansible-playbook and `ssh` with tar."""

import contextlib
import hashlib
import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time

from tests.bench import figures
from tests.lib import gitserver
from tests.lib.gitserver import ENVIRONMENT, make_key
from tests.lib.ssh_fleet import Proxy

HOSTS = 200
ANSIBLE_HOSTS = 50
MANY = 1000
SSH_AT_ONCE = 50
ANSIBLE_SHARE, SSH_SHARE = 1 / 50, 1 / 3
CONFIG = """\
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
UseDNS no
SetEnv SHLVL=2
"""


class Fleet:
    """`count` processes of sshd with one key, each on a port of its own."""

    def __init__(self, folder, count):
        self.folder = folder
        folder.mkdir()
        self.key = make_key(folder / "client_key")
        make_key(folder / "host_key")
        (folder / "sshd_config").write_text(CONFIG.format(folder=folder))
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.known_hosts = folder / "known_hosts"
        self.count = count
        self.ports, self.processes = [], []

    def _start(self, port):
        """False if somebody else has the port."""
        process = subprocess.Popen(
            [gitserver.SSHD, "-D", "-E", "/dev/null", "-f", self.folder / "sshd_config",
             "-p", str(port)], env=ENVIRONMENT, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                self.processes.append(process)
                return True
            time.sleep(0.005)
        return False

    def __enter__(self):
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        while len(self.ports) < self.count:
            port = gitserver.free_port()
            if self._start(port):
                self.ports.append(port)
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text("".join(
            f"[127.0.0.1]:{port} {kind} {key}\n" for port in self.ports))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


# ---- the three of them ---------------------------------------------------------------------------

ACTIVATE = "#!/bin/sh\necho \"$AVIARY_RELEASE\" > ../../ran\n"
SSH_OPTIONS = ("-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes")
# What a careful hand-written script does: a folder of its own, a rename, an atomic link.
SCRIPT = """\
set -eu; umask 022; mkdir -p {root}/releases; cd {root}
rm -rf releases/{name}.new; mkdir releases/{name}.new
tar -xf - -C releases/{name}.new; mv -T releases/{name}.new releases/{name}
ln -s releases/{name} current.new; mv -T current.new current
cd current; AVIARY_RELEASE={name} exec ./activate"""
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: "{{ root }}/releases/{{ name }}", state: directory, mode: "0755"}
    - copy: {src: "{{ release }}/{{ item }}", dest: "{{ root }}/releases/{{ name }}/{{ item }}", mode: "{{ '0755' if item == 'activate' else '0644' }}"}
      loop: FILES
    - file: {src: "releases/{{ name }}", dest: "{{ root }}/current", state: link}
    - command: {cmd: ./activate, chdir: "{{ root }}/current"}
      environment: {AVIARY_RELEASE: "{{ name }}"}
"""
ANSIBLE_CFG = """\
[defaults]
forks = 50
host_key_checking = True
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -F none
control_path_dir = {folder}/cp
"""


def make_release(folder, size=400, count=10, seed=0):
    """Folder with `count` files, `activate` among them, and its digest."""
    folder.mkdir()
    (folder / "activate").write_text(ACTIVATE)
    (folder / "activate").chmod(0o755)
    digest = hashlib.sha256()
    for number in range(count - 1):
        bytes_ = hashlib.shake_128(f"{seed} {number}".encode()).digest(size)
        (folder / f"file-{number}").write_bytes(bytes_)
        digest.update(bytes_)
    return folder, "sha256:" + digest.hexdigest()


def run_aviary(build, fleet, work, roots, release, ports, at_once):
    folder, digest = release
    done = subprocess.run(
        [build / "tests/hosts_bench", work, str(at_once), fleet.key, fleet.known_hosts,
         fleet.user, roots, digest, folder, *map(str, ports)],
        stdout=subprocess.PIPE, encoding="utf-8", check=False)
    return json.loads(done.stdout)


def run_ssh(fleet, roots, release, ports):
    """Seconds of `ssh` with tar for each port, SSH_AT_ONCE in parallel."""
    folder, digest = release
    words = ["ssh", *SSH_OPTIONS, "-o", f"UserKnownHostsFile={fleet.known_hosts}",
             "-i", fleet.key, "-l", fleet.user]
    lines = []
    for number, port in enumerate(ports):
        script = SCRIPT.format(root=f"{roots}/{number}", name=digest[7:23])
        ssh = shlex.join([*map(str, words), "-p", str(port), "127.0.0.1", script])
        lines.append(f"tar -C {folder} -cf - . | {ssh}")
    began = time.monotonic()
    subprocess.run(["xargs", "-0", "-P", str(SSH_AT_ONCE), "-I{}", "sh", "-c", "{}"],
                   input="\0".join(lines), encoding="utf-8", check=True)
    return time.monotonic() - began


def run_ansible(fleet, roots, release, ports, folder):
    """Seconds of ansible-playbook with ControlPersist."""
    files, digest = release
    folder.mkdir()
    (folder / "ansible.cfg").write_text(ANSIBLE_CFG.format(folder=folder))
    names = ", ".join(sorted(each.name for each in files.iterdir()))
    (folder / "play.yml").write_text(PLAYBOOK.replace("FILES", f"[{names}]"))
    hosts = {f"host{number}": {"ansible_host": "127.0.0.1", "ansible_port": port,
                               "root": f"{roots}/{number}"} for number, port in enumerate(ports)}
    variables = {"ansible_user": fleet.user, "ansible_ssh_private_key_file": str(fleet.key),
                 "ansible_ssh_common_args": f"-o UserKnownHostsFile={fleet.known_hosts}",
                 "release": str(files), "name": digest[7:23],
                 "ansible_control_path": f"{folder}/cp/{{{{ inventory_hostname }}}}"}
    inventory = {"all": {"hosts": hosts, "vars": variables}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    began = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-f", "50", "-i", folder / "hosts.json", folder / "play.yml"],
        cwd=folder, env={**ENVIRONMENT, "HOME": str(folder), "LC_ALL": "C.UTF-8",
                         "ANSIBLE_CONFIG": str(folder / "ansible.cfg")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
    took = time.monotonic() - began
    if done.returncode:
        print(done.stdout[-2000:])
        return None
    return took


# ---- what is shown -------------------------------------------------------------------------------


def compare_wall(build, folder, fleet, runs):
    """Everybody delivers the same releases of 10 files, the second one over the first."""
    figures.section(f"{HOSTS} sshd on loopback: deliver, switch and activate a release of 10 files",
                    "seconds of wall time; sshd and the hosts' shells share the processors")
    taken = {"aviary": [], "ssh": [], "cpu": [], "memory": []}
    for run in range(runs):
        release = make_release(folder / f"release-{run}", seed=run)
        ours = run_aviary(build, fleet, "activate", folder / "a", release, fleet.ports, 32)
        if ours["failed"]:
            print(f"  {ours['failed']} hosts failed")
        taken["aviary"].append(ours["wall_s"])
        taken["cpu"].append(ours["cpu_s"])
        taken["memory"].append(ours["memory_kib"] / 1024)
        taken["ssh"].append(run_ssh(fleet, folder / "s", release, fleet.ports))
    ours = figures.row("aviary, 32 connections at once", taken["aviary"], "s")
    theirs = figures.row(f"ssh with tar, {SSH_AT_ONCE} in parallel", taken["ssh"], "s")
    figures.row("aviary: processor time", taken["cpu"], "s")
    figures.row("aviary: memory at most", taken["memory"], "MiB")
    compare_ansible(folder, fleet, ours)
    figures.share("aviary/ssh wall", ours.middle / theirs.middle, SSH_SHARE)


def compare_ansible(folder, fleet, ours):
    if not figures.has("ansible", "ansible-playbook"):
        return
    release = make_release(folder / "release-ansible", seed=99)
    took = run_ansible(fleet, folder / "b", release, fleet.ports[:ANSIBLE_HOSTS],
                       folder / "ansible")
    if took is None:
        return
    scaled = took * HOSTS / ANSIBLE_HOSTS
    figures.row(f"ansible-playbook -f 50, {ANSIBLE_HOSTS} hosts", [took], "s")
    figures.share("aviary/ansible wall", ours.middle / scaled, ANSIBLE_SHARE)


def measure_many(build, folder, fleet):
    """MANY connections open at the same time, several to each sshd."""
    figures.section("Aviary's own cost, all connections open at once")
    release = make_release(folder / "release-many", seed=77)
    for count in (HOSTS, MANY):
        ports = (fleet.ports * (count // len(fleet.ports) + 1))[:count]
        done = run_aviary(build, fleet, "activate", folder / f"m{count}", release, ports, count)
        if done["failed"]:
            print(f"  {done['failed']} of {count} failed")
        figures.row(f"{count} connections: wall time", [done["wall_s"]], "s")
        figures.row("  processor time", [done["cpu_s"]], "s")
        figures.row("  memory at most", [done["memory_kib"] / 1024], "MiB")


def measure_bytes(build, folder, fleet):
    """What goes up for one changed file of 100 MB in a hundred, and by rsync."""
    figures.section("Bytes sent for one changed file of 1 MB in a release of 100 MB")
    first, digest = make_release(folder / "big-0", size=1_000_000, count=101, seed=5)
    second = folder / "big-1"
    shutil.copytree(first, second)
    (second / "file-7").write_bytes(hashlib.shake_128(b"other").digest(1_000_000))
    other = "sha256:" + hashlib.sha256(digest.encode()).hexdigest()
    with Proxy(fleet.ports[0]) as proxy:
        kind, key = (fleet.folder / "host_key.pub").read_text().split()[:2]
        with open(fleet.known_hosts, "a", encoding="utf-8") as known:
            known.write(f"[127.0.0.1]:{proxy.port} {kind} {key}\n")
        run_aviary(build, fleet, "activate", folder / "g", (first, digest), [proxy.port], 1)
        figures.row("aviary, the whole release", [proxy.up / 1e6], "MB")
        proxy.up = 0
        done = run_aviary(build, fleet, "activate", folder / "g", (second, other), [proxy.port], 1)
        figures.row("aviary, the changed file", [proxy.up / 1e6], "MB")
        figures.row("  wall time", [done["wall_s"]], "s")
        if figures.has("rsync", "rsync"):
            compare_rsync(folder, fleet, proxy, (first, second))


def compare_rsync(folder, fleet, proxy, releases):
    ssh = shlex.join(["ssh", *SSH_OPTIONS, "-p", str(proxy.port), "-i", str(fleet.key), "-o",
                      f"UserKnownHostsFile={fleet.known_hosts}", "-l", fleet.user])
    for release in releases:
        proxy.up = 0
        began = time.monotonic()
        subprocess.run(["rsync", "-rc", "-e", ssh, f"{release}/", f"127.0.0.1:{folder}/r/"],
                       check=True)
    figures.row("rsync -c, the changed file", [proxy.up / 1e6], "MB")
    figures.row("  wall time", [time.monotonic() - began], "s")


def measure(build, folder, runs):
    if not figures.has("hosts", "ssh", "tar", gitserver.SSHD):
        return
    with Fleet(folder / "fleet", HOSTS) as fleet:
        compare_wall(build, folder, fleet, min(runs, 3))
        measure_many(build, folder, fleet)
        measure_bytes(build, folder, fleet)
