"""validate, plan and render on a checkout without a service, as the infra repo's own CI runs them."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
EXAMPLE = ROOT / "examples/infra-repo"
CLIENTS = "ansible/inventory/clients.yml"
APPS = "docker/docker-compose.apps.yml"


def aviary(*arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SOPS_AGE")}
    return subprocess.run([AVIARY, *map(str, arguments)], stdout=subprocess.PIPE, env=env,
                          stderr=subprocess.PIPE, timeout=120, check=False, encoding="utf-8")


class Repo:
    """The example in a git repository of its own."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(EXAMPLE, folder)
        self.git("init", "-q", "-b", "main", ".")
        self.commit()

    def git(self, *arguments):
        env = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null")
        for role in "AUTHOR", "COMMITTER":
            env |= {f"GIT_{role}_NAME": "Eva", f"GIT_{role}_EMAIL": "eva@example.org"}
        return subprocess.run(["git", *arguments], cwd=self.folder, env=env, check=True,
                              stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def edit(self, path, old, new):
        text = (self.folder / path).read_text()
        assert old in text, f"{old!r} is not in {path}"
        (self.folder / path).write_text(text.replace(old, new, 1))

    def write(self, path, data):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    def plan(self, *arguments):
        done = aviary("plan", self.folder, "--json", *arguments)
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(name="repo")
def make_repo(tmp_path):
    return Repo(tmp_path / "infra")


def reasons(plan, client):
    entry = next(entry for entry in plan["clients"] if entry["client"] == client)
    return [reason["text"] for reason in entry["reasons"]]


def test_the_example_is_valid(repo):
    done = aviary("validate", repo.folder)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("valid: 5 clients in 2 stages")
    done = aviary("validate", repo.folder, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"errors": [], "warnings": []}


def test_plan_reads_the_folder_with_its_uncommitted_changes(repo):
    repo.edit(APPS, "nextcloud:28.0.1", "nextcloud:28.0.2")
    status, plan = repo.plan("--from", "HEAD")
    assert status == 0
    assert (plan["verdict"], plan["changed"], plan["unchanged"]) == ("allowed", 4, 1)
    assert plan["from"] == repo.git("rev-parse", "HEAD") and plan["to"] is None
    assert [entry["client"] for entry in plan["clients"]] == ["alpha", "beta", "delta", "gamma"]
    first = plan["clients"][0]
    assert (first["stage"], first["action"]) == ("canary", "upgrade")
    line = 1 + (repo.folder / APPS).read_text().split("nextcloud:28.0.2")[0].count("\n")
    assert first["reasons"] == [
        {"text": "nextcloud 28.0.1 -> 28.0.2", "file": APPS, "line": line}]


def test_plan_of_a_commit_is_the_plan_of_its_folder(repo):
    old = repo.git("rev-parse", "HEAD")
    repo.edit("ansible/group_vars/all.yml", "2026.8.0", "2026.9.0")
    _, lying = repo.plan("--from", old)
    new = repo.commit()
    _, committed = repo.plan("--from", old, "--to", "main")
    assert committed["to"] == new
    assert committed["plan"] == lying["plan"]
    assert committed["clients"] == lying["clients"]
    assert reasons(committed, "beta") == ["pretix 2026.8.0 -> 2026.9.0"]


def test_plan_without_anything_deployed_onboards_all(repo):
    status, plan = repo.plan()
    assert status == 0
    assert plan["from"] is None and plan["changed"] == 5
    assert {entry["action"] for entry in plan["clients"]} == {"onboard"}


def test_plan_compares_with_the_last_deployed_commit_of_the_status_branch(repo):
    deployed = repo.git("rev-parse", "HEAD")
    record = (f"id: 20261124-101542-{deployed[:7]}\ncommit: {deployed}\nplan: p-00000000\n"
              "state: succeeded\nstarted: 2026-11-24T10:15:42Z\nfinished: 2026-11-24T10:16:42Z\n"
              "stages: []\n")
    blob = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=repo.folder, check=True,
                          input=record, stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()
    repo.git("update-index", "--add", "--cacheinfo",
             f"100644,{blob},rollouts/20261124-101542-{deployed[:7]}.yaml")
    tree = repo.git("write-tree", "--prefix=rollouts/")
    repo.git("reset", "-q")
    root = subprocess.run(["git", "mktree"], cwd=repo.folder, check=True, encoding="utf-8",
                          input=f"040000 tree {tree}\trollouts\n",
                          stdout=subprocess.PIPE).stdout.strip()
    tip = repo.git("commit-tree", root, "-m", "rollout: succeeded")
    repo.git("update-ref", "refs/remotes/origin/deployments", tip)
    repo.edit(APPS, "listmonk:v6.2.0", "listmonk:v6.3.0")
    status, plan = repo.plan()
    assert status == 0
    assert plan["from"] == deployed
    assert [entry["client"] for entry in plan["clients"]] == ["alpha", "epsilon", "gamma"]


def test_plan_for_people_begins_with_the_answer(repo):
    repo.edit(APPS, "nextcloud:28.0.1", "nextcloud:28.0.2")
    done = aviary("plan", repo.folder, "--from", "HEAD")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("4 of 5 clients change, 1 does not. Policy: allowed. Plan p-")
    assert lines[2].split()[:6] == ["canary", "alpha", "upgrade", "nextcloud", "28.0.1", "->"]
    assert "production in waves of 1 (50% of 3)" in done.stdout


def test_a_client_that_vanished_is_reported(repo):
    text = (repo.folder / CLIENTS).read_text()
    start = text.index("        gamma:")
    end = text.index("        delta:")
    (repo.folder / CLIENTS).write_text(text[:start] + text[end:])
    status, plan = repo.plan("--from", "HEAD")
    assert status == 0
    assert plan["clients"][0]["action"] == "vanished"
    assert plan["verdict"] == "nothing" and plan["changed"] == 0
    assert "nothing is destroyed" in aviary("plan", repo.folder, "--from", "HEAD").stdout


def test_max_changed_asks_for_an_approval(repo):
    repo.edit("fleet.yaml", "verify:", "policy: {max_changed: 20%}\nverify:")
    repo.commit()
    repo.edit(APPS, "nextcloud:28.0.1", "nextcloud:28.0.2")
    status, plan = repo.plan("--from", "HEAD")
    assert status == 0
    assert plan["verdict"] == "allowed" and "max_changed" in plan["needs_approval"]
    assert "waits for somebody to approve it" in aviary("plan", repo.folder, "--from", "HEAD").stdout


# Each kind of bad commit: what is written where, and the file, line and words of the error.
BAD = {
    "fleet.yaml does not parse": ("fleet.yaml", "stages:", "stages: [", "fleet.yaml", None, ""),
    "unknown key": ("fleet.yaml", "stages:", "stagse:", "fleet.yaml", 8, "stagse"),
    "unknown group": ("fleet.yaml", "group: canary", "group: canery", "fleet.yaml", 9, "canery"),
    "inventory does not parse": (CLIENTS, "hosts:", "hosts: {", CLIENTS, None, ""),
    "client name with a line break": (CLIENTS, "client_name: alpha", 'client_name: "al\\npha"',
                                      CLIENTS, 7, "is no name of a client"),
    "version that is a number": ("ansible/group_vars/all.yml", "v4.19.5", "28.10",
                                 "ansible/group_vars/all.yml", 3, "28.10 means 28.1"),
    "unknown variable": ("templates/env.mustache", "{{domain}}", "{{domian}}",
                         "templates/env.mustache", 3, "domian"),
    "unknown secret": ("templates/env.mustache", "secrets.smtp_password", "secrets.smtp_pasword",
                       "templates/env.mustache", 5, "secrets.smtp_pasword"),
    "latest": (APPS, "nextcloud:28.0.1", "nextcloud:latest", APPS, 13, "not pinned"),
    "relative bind mount": (APPS, "restart: unless-stopped",
                            "restart: unless-stopped\n    volumes: [./data:/data]", APPS, 7,
                            "./data"),
    "secret in clear": ("secrets/shared.sops.yaml", "smtp_password: ENC[", "smtp_password: sesame",
                        "secrets/shared.sops.yaml", None, "smtp_password"),
    "missing template": ("fleet.yaml", "templates/env.mustache", "templates/env.mustach",
                         "fleet.yaml", None, "templates/env.mustach"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_repository_is_refused_with_the_place(repo, kind):
    path, old, new, file, line, words = BAD[kind]
    repo.edit(path, old, new)
    done = aviary("validate", repo.folder, "--json")
    assert done.returncode == 1
    errors = json.loads(done.stdout)["errors"]
    assert any(error["file"] == file and words in error["what"] and line in (None, error["line"])
               for error in errors), errors
    assert all(error["fix"] for error in errors), errors
    status, plan = repo.plan("--from", "HEAD")
    assert status == 1 and plan["verdict"] == "refused" and plan["errors"] == errors
    assert "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("data", [b"[" * 200_000, b"\x00\xff\xfe\n", b"a: &a [*a]\n", b"%YAML 9.9\n",
                                  b"{{#", "name: \u202e\n".encode(), b"&a : *a\n" * 1000],
                         ids=["brackets", "binary", "loop", "directive", "mustache", "bidi", "many"])
@pytest.mark.parametrize("path", ["fleet.yaml", CLIENTS, "templates/env.mustache", APPS,
                                  "secrets/shared.sops.yaml", "ansible/group_vars/all.yml"])
def test_any_bytes_in_any_file_end_in_an_answer(repo, path, data):
    repo.write(path, data)
    done = aviary("validate", repo.folder)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout


def test_five_mistakes_are_five_lines(repo):
    for path, old, new in [
            ("fleet.yaml", "verify: {interval", "verify: {intervall"),
            ("ansible/group_vars/all.yml", "v4.19.5", "28.10"),
            ("templates/env.mustache", "{{domain}}", "{{domian}}"),
            (APPS, "nextcloud:28.0.1", "nextcloud:latest")]:
        repo.edit(path, old, new)
    repo.write("secrets/plain.yaml", "password: sesame\n")
    done = aviary("validate", repo.folder)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "5 errors, 0 warnings."
    assert len(lines) == 6, done.stdout
    for line in lines[1:]:  # where, what, what to do
        assert re.fullmatch(r"[a-z_/.-]+(:\d+)?: .+: .+", line), line


def test_symlinks_out_of_the_repository_are_refused_by_name(repo):
    (repo.folder / "templates/env.mustache").unlink()
    (repo.folder / "templates/env.mustache").symlink_to("/etc/passwd")
    done = aviary("validate", repo.folder)
    assert done.returncode == 1
    assert "templates/env.mustache" in done.stdout
    assert "root:" not in done.stdout


# ---- render ------------------------------------------------------------------------------------

def test_render_hides_secrets_unless_asked(repo, tmp_path):
    done = aviary("render", "alpha", repo.folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    env = tmp_path / "out/.env"
    assert "SMTP_PASSWORD=<secret:smtp_password>" in env.read_text()
    assert "DOMAIN=alpha.example.org" in env.read_text()
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert "image: nextcloud:28.0.1" in (tmp_path / "out/compose.apps.yaml").read_text()


def test_render_shows_secrets_with_a_key(repo, tmp_path):
    key = tmp_path / "key.txt"
    shutil.copy(EXAMPLE / "demo-age-key.txt", key)
    key.chmod(0o600)
    done = aviary("render", "alpha", repo.folder, "--out", tmp_path / "out", "--show-secrets",
                  "--age-key-file", key)
    assert done.returncode == 0, done.stderr
    env = (tmp_path / "out/.env").read_text()
    assert "<secret:" not in env and "ENC[" not in env
    value = env.split("SMTP_PASSWORD=")[1].splitlines()[0]
    assert value and value not in done.stdout + done.stderr
    for path in (tmp_path / "out").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_render_shows_no_secrets_without_a_key(repo, tmp_path):
    done = aviary("render", "alpha", repo.folder, "--out", tmp_path / "out", "--show-secrets")
    assert done.returncode == 1
    assert "age key" in done.stderr
    assert not (tmp_path / "out").exists()


def test_render_reads_a_commit(repo, tmp_path):
    repo.edit(APPS, "nextcloud:28.0.1", "nextcloud:28.0.2")
    for arguments, image in [(("--commit", "HEAD"), "28.0.1"), ((), "28.0.2")]:
        done = aviary("render", "beta", repo.folder, "--out", tmp_path / image, "--json",
                      *arguments)
        assert done.returncode == 0
        assert json.loads(done.stdout)["client"] == "beta"
        assert f"nextcloud:{image}" in (tmp_path / image / "compose.apps.yaml").read_text()


def test_render_of_an_unknown_client_names_the_nearest(repo, tmp_path):
    done = aviary("render", "alpa", repo.folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "did you mean 'alpha'?" in done.stderr


@pytest.mark.parametrize("arguments", [("validate", "a", "b"), ("plan", "--bad"), ("render",),
                                       ("render", "alpha"), ("plan", "--from")])
def test_wrong_usage_is_2(arguments):
    done = aviary(*arguments)
    assert done.returncode == 2
    assert "usage: aviary" in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "render"])
def test_help_is_0(command):
    done = aviary(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: aviary {command}")
