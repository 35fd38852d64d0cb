"""Fetch with nothing new on a new connection: our transports against libgit2's own."""

import subprocess

from tests.bench import figures
from tests.lib import gitserver
from tests.lib.gitserver import HttpsServer, SshServer

SHARE = 1 / 3


def read(build, how, options, url, mirror, runs):
    """Milliseconds of each fetch after the first."""
    command = [build / "tests/fetch_time", how, *options, url, mirror, str(runs)]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          encoding="ascii", check=False)
    if done.returncode:
        print(f"  {how} {url}: could not be measured")
        return None
    return [float(line) for line in done.stdout.splitlines()]


def compare(build, folder, name, url, options, runs):
    taken = {how: read(build, how, options, url, folder / f"{name}-{how}.git", runs)
             for how in ("ours", "built-in")}
    shown = {how: figures.row(f"{name}, {how}", values, "ms")
             for how, values in taken.items() if values}
    if len(shown) == 2:
        figures.goal(f"{name}, share of the built-in's time",
                     shown["ours"].middle / shown["built-in"].middle, SHARE)


def measure(build, folder, runs):
    if not figures.has("fetch", "git", "openssl", gitserver.SSHD):
        return
    figures.section("Fetch with nothing new", "a new connection each time, servers on loopback")
    bare = gitserver.make_bare(folder / "infra.git")
    with SshServer(folder) as ssh, HttpsServer(folder, folder) as https:
        compare(build, folder, "ssh", ssh.url(bare),
                ("--key", ssh.key, "--known-hosts", ssh.known_hosts), runs * 3)
        compare(build, folder, "https", https.url("infra.git", host="localhost"),
                ("--ca", https.ca), runs * 3)
