"""Hostile bytes in each file of the repository: refused with file and line, in bounded time and
memory, and the service lives on."""

import random
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lib.faulty import AVIARY, ROOT, Site, git, scratch_folder

EXAMPLE = ROOT / "examples/infra-repo"
YAML = ["fleet.yaml", "ansible/inventory/clients.yml", "ansible/group_vars/all.yml",
        "ansible/host_vars/alpha.yml", "docker/docker-compose.apps.yml",
        "secrets/shared.sops.yaml", "secrets/clients/alpha.sops.yaml"]
OTHERS = ["templates/env.mustache", "docker/demo/activate", ".sops.yaml"]
TIME_S = 20  # a hang is minutes (libyaml alone takes 37 s for the brackets); busy machines are slow
MEMORY = 1 << 30
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
POISONS = {
    "brackets": b"[" * 200_000,
    "braces": b"{" * 200_000,
    "dashes": b"- " * 100_000,
    "question marks": b"? " * 100_000,
    "indents": "".join(" " * i + "a:\n" for i in range(1500)).encode(),
    "garbage": random.Random(7).randbytes(50_000),
    "zeros": b"\0" * 10_000,
    "no utf-8": b"version: 1\nname: \xff\xfe\xc0\n",
    "a billion laughs": LAUGHS.encode(),
    "an alias of itself": b"a: &a [*a]\n",
    "a long line": b"a: " + b"x" * 5_000_000 + b"\n",
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(200_000)),
    "a huge file": b"# comment\n" * 8_000_000,
    "nothing": b"",
    "open tags": b"{{#a}}" * 30_000,
    "a tag without end": b"{{" * 100_000,
}


@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("hostile") as folder:
        yield folder


@pytest.fixture(name="checkout")
def copy_example(folder):
    place = folder / "checkout"
    shutil.copytree(EXAMPLE, place, symlinks=True)
    git(place, "init", "-q")
    git(place, "add", "-A", "-f")
    git(place, "commit", "-q", "-m", "first")
    yield place
    shutil.rmtree(place)


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def validate(place):
    """(exit status, output) of `aviary validate`, which must end in time and by itself."""
    program = Path(AVIARY).read_bytes()
    sanitized = b"__asan_init" in program or b"__tsan_init" in program  # reserve terabytes
    done = subprocess.run([AVIARY, "validate", str(place)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIME_S * (5 if sanitized else 1),
                          preexec_fn=None if sanitized else limit_memory, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def assert_refused(place, *names):
    status, output = validate(place)
    assert status == 1, output[:2000]
    assert any(re.search(rf"^\s*(error: )?{re.escape(name)}(:\d+)?: \S", output, re.M)
               for name in names), output[:2000]
    assert len(output) < 100_000
    return output


# By themselves they are fine, so what misses their content is refused, or nothing is.
HARMLESS = {"nothing", "many keys", "a long line", "an alias of itself"}


@pytest.mark.parametrize("name", YAML)
def test_poison_in_a_yaml_file_is_refused_by_its_name(checkout, name):
    for poison, data in POISONS.items():
        (checkout / name).write_bytes(data)
        status, output = validate(checkout)
        assert status in (0, 1), (poison, output[:2000])
        if poison not in HARMLESS and not name.startswith("docker/"):
            assert status == 1, poison
            assert name in output[:2000], (poison, output[:2000])


@pytest.mark.parametrize("name", OTHERS)
def test_poison_in_another_file_ends_well_or_is_refused(checkout, name):
    for poison, data in POISONS.items():
        (checkout / name).write_bytes(data)
        status, output = validate(checkout)
        assert status in (0, 1), (poison, output[:2000])


def test_partials_that_include_themselves_or_each_other_are_refused(checkout):
    template = checkout / "templates/env.mustache"
    template.write_text("{{> env.mustache}}\n")
    assert_refused(checkout, "templates/env.mustache")
    template.write_text("{{> other.mustache}}\n")
    (checkout / "templates/other.mustache").write_text("{{> env.mustache}}\n")
    assert_refused(checkout, "templates/env.mustache", "templates/other.mustache")


def test_paths_that_leave_the_repository_or_the_release_are_refused(checkout):
    policy = checkout / "fleet.yaml"
    text = policy.read_text()
    for line in ("{from: ../../etc/passwd, to: x}", "{from: /etc/passwd, to: x}",
                 "{from: docker/demo/server.py, to: ../../x}",
                 "{from: docker/demo/server.py, to: /etc/x}",
                 "{from: docker/demo/server.py, to: a/../../x}"):
        policy.write_text(text.replace("release:\n  files:\n", f"release:\n  files:\n    - {line}\n"))
        assert policy.read_text() != text
        assert re.search(r"fleet\.yaml:1\d: ", assert_refused(checkout, "fleet.yaml"))


def test_the_service_outlives_hostile_commits(folder):
    """The worst of them as commits, to one service: all refused, and the good one after them is
    deployed."""
    site = Site.make(folder / "service", clients=[])
    first = site.commit("1.0.0")
    poisons = ["brackets", "garbage", "a billion laughs", "zeros", "a huge file"]
    with site.serve() as service:
        assert site.wait_ended(first, service=service) == "succeeded"
        good = {name: site.git("show", f"main:{name}") + "\n"
                for name in ("fleet.yaml", "inventory.yml")}
        for name, text in good.items():
            for poison in poisons:
                commit = site.commit_file(name, POISONS[poison])
                assert site.wait_ended(commit, service=service) == "refused", poison
                record = [text for text in site.records("rollouts").values() if commit in text][0]
                assert name in record
            site.commit_file(name, text)
        link = site.git("hash-object", "-w", "--stdin", input=b"/etc/passwd")
        for mode, what in (("120000", link), ("160000", first)):
            commit = commit_entry(site, "version.txt", mode, what)
            assert site.wait_ended(commit, service=service) == "refused"
        site.commit_file("version.txt", "{{web_version}}\n")
        last = site.commit("2.0.0")
        assert site.wait_ended(last, service=service) == "succeeded"
        peak = re.search(r"VmHWM:\s+(\d+) kB",
                         Path(f"/proc/{service.process.pid}/status").read_text())
        assert int(peak[1]) < MEMORY >> 10
        assert [entry[1] for entry in site.diary("alpha")] == ["1.0.0"] * 2 + ["2.0.0"] * 2
        assert service.stop() == 0
    site.close()


def commit_entry(site, path, mode, what):
    """A commit in which a path is something else than a file: a link, a submodule."""
    entries = [line for line in site.git("ls-tree", "main").splitlines()
               if not line.endswith(f"\t{path}")]
    kind = "commit" if mode == "160000" else "blob"
    entries.append(f"{mode} {kind} {what}\t{path}")
    tree = site.git("mktree", "--missing", input=("\n".join(entries) + "\n").encode())
    commit = site.git("commit-tree", "-p", "main", "-m", "Entry", tree)
    site.git("update-ref", "refs/heads/main", commit)
    return commit
