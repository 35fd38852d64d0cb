"""`aviary inventory` against ansible-inventory, on each folder of tests/fixtures/inventories.

Folders named refused-* must be refused by both; of all others each group and each variable of
each host must be the same value of the same type. A folder is an infra repo: the inventory is what
fleet.yaml names, else ansible/inventory/clients.yml.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
FOLDERS = sorted((ROOT / "tests/fixtures/inventories").iterdir())
ACCEPTED = [folder for folder in FOLDERS if not folder.name.startswith("refused-")]
ACCEPTED.append(ROOT / "examples/infra-repo")
REFUSED = [folder for folder in FOLDERS if folder.name.startswith("refused-")]

# What newer versions resolve otherwise: the name is left out of the comparison there.
OTHERWISE = [
    ((2, 19), "internal-names", "hostvars"),  # no longer printed
    ((2, 19), "internal-names", "omit"),  # printed
    ((2, 19), "jinja-and-tags", "unsafe_number"),  # `!unsafe 12` stays a number
]

needs_ansible = pytest.mark.skipif(
    not shutil.which("ansible-inventory"), reason="ansible-inventory is not installed")


def by_name(folder):
    return folder.name


def aviary(*arguments):
    return subprocess.run([AVIARY, "inventory", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, check=False)


def inventory_path(folder):
    fleet = folder / "fleet.yaml"
    if fleet.exists():
        return re.search(r"^inventory: (.+)$", fleet.read_text(), re.M).group(1)
    return "ansible/inventory/clients.yml"


def ansible(folder, scratch, *arguments):
    """ansible-inventory with its defaults, whatever this machine configures; YAML inventories only,
    since its ini reader takes an empty file or a word for an inventory too."""
    config = scratch / "ansible.cfg"
    config.write_text("")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    env.update(ANSIBLE_CONFIG=str(config), ANSIBLE_HOME=str(scratch / "home"),
               ANSIBLE_LOCAL_TEMP=str(scratch / "tmp"), HOME=str(scratch), LC_ALL="C.UTF-8",
               ANSIBLE_INVENTORY_ENABLED="auto,yaml",
               ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="True")
    return subprocess.run(
        ["ansible-inventory", "-i", inventory_path(folder), "--playbook-dir", "ansible", *arguments],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300,
        check=False)


@pytest.fixture(name="version", scope="module")
def ask_version(tmp_path_factory):
    told = ansible(FOLDERS[0], tmp_path_factory.mktemp("version"), "--version").stdout.decode()
    return tuple(int(part) for part in re.search(r"core (\d+)\.(\d+)", told).groups())


def comparable(listed, folder, version):
    """The list without what says how it was printed, and what only some versions resolve so."""
    listed["_meta"].pop("profile", None)  # since 2.19
    for since, name, variable in OTHERWISE:
        if version >= since and folder.name == name:
            for variables in listed["_meta"]["hostvars"].values():
                variables.pop(variable, None)
    return exact(listed)


def exact(value):
    """Text that tells 1 from 1.0 from True, which `==` does not."""
    return json.dumps(value, sort_keys=True, indent=1)


@needs_ansible
@pytest.mark.parametrize("folder", ACCEPTED, ids=by_name)
def test_every_variable_and_group_is_as_ansible_resolves_it(folder, version, tmp_path):
    theirs = ansible(folder, tmp_path, "--list")
    assert theirs.returncode == 0, theirs.stderr.decode()
    ours = aviary(folder, "--list")
    assert ours.returncode == 0, ours.stderr.decode()
    assert comparable(json.loads(ours.stdout), folder, version) == \
        comparable(json.loads(theirs.stdout), folder, version)


@needs_ansible
@pytest.mark.parametrize("folder", REFUSED, ids=by_name)
def test_what_ansible_refuses_is_refused(folder, tmp_path):
    theirs = ansible(folder, tmp_path, "--list")
    assert theirs.returncode != 0, theirs.stdout.decode()


@pytest.mark.parametrize("folder", REFUSED, ids=by_name)
def test_a_refusal_names_the_file_and_prints_nothing_else(folder):
    ours = aviary(folder, "--list")
    assert ours.returncode == 1
    assert ours.stdout == b""
    errors = [line for line in ours.stderr.decode().splitlines() if ": warning: " not in line]
    assert errors
    for line in errors:
        assert re.match(r"ansible/\S+?(:\d+)?: .+", line), line


@pytest.mark.parametrize("folder", ACCEPTED, ids=by_name)
def test_each_host_alone_has_the_variables_of_the_list(folder):
    listed = json.loads(aviary(folder, "--list").stdout)["_meta"]["hostvars"]
    for name in list(listed)[:12]:
        alone = aviary(folder, f"--host={name}")
        assert alone.returncode == 0, alone.stderr.decode()
        assert exact(json.loads(alone.stdout)) == exact(listed[name])


@needs_ansible
def test_one_host_prints_as_ansible_prints_it(tmp_path):
    folder = ROOT / "tests/fixtures/inventories/platform"
    theirs = ansible(folder, tmp_path, "--host", "delta-vps")
    assert aviary(folder, "--host", "delta-vps").stdout == theirs.stdout


def test_a_host_that_is_not_there_is_an_error():
    answer = aviary(ROOT / "tests/fixtures/inventories/minimal", "--host", "nobody")
    assert answer.returncode == 1
    assert answer.stderr.decode() == "aviary: no host 'nobody' in the inventory\n"
    answer = aviary(ROOT / "tests/fixtures/inventories/minimal", "--host", "alpa")
    assert "did you mean 'alpha'?" in answer.stderr.decode()


@pytest.mark.parametrize("arguments", [
    [], ["--list", "--host", "alpha"], ["--host"], ["--wrong"], [".", "other", "--list"]])
def test_wrong_usage_is_told(arguments):
    answer = aviary(*arguments)
    assert answer.returncode == 2
    assert b"usage: aviary inventory" in answer.stderr


def test_it_needs_neither_git_nor_fleet_yaml_and_reads_the_working_folder(tmp_path):
    inventory = tmp_path / "ansible/inventory/clients.yml"
    inventory.parent.mkdir(parents=True)
    inventory.write_text("all: {hosts: {alpha: {a: 1}}}\n")
    answer = subprocess.run([AVIARY, "inventory", "--list"], cwd=tmp_path, stdout=subprocess.PIPE,
                            check=True, timeout=60)
    assert json.loads(answer.stdout)["_meta"]["hostvars"] == {"alpha": {"a": 1}}


def test_a_symlink_among_the_variables_is_refused_by_name(tmp_path):
    inventory = tmp_path / "ansible/inventory/clients.yml"
    inventory.parent.mkdir(parents=True)
    inventory.write_text("all: {hosts: {alpha: }}\n")
    (tmp_path / "ansible/host_vars").mkdir()
    (tmp_path / "ansible/host_vars/alpha.yml").symlink_to("/etc/hostname")
    answer = aviary(tmp_path, "--list")
    assert answer.returncode == 1
    assert "ansible/host_vars/alpha.yml: " in answer.stderr.decode()
