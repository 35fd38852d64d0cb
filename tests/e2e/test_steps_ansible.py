"""Steps of kind ansible: the real ansible-playbook on hosts of this machine."""

import shutil

import pytest

from tests.lib.asking import alive, done, left_over, run
from tests.lib.fleet import INVENTORY, POLICY, VARIABLES, WITH_API, wait_for
from tests.lib.gitserver import git
from tests.lib.ssh_fleet import Hosts, SshFleet

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"),
                                reason="ansible-playbook is not installed")
PLAYBOOK = "ansible/playbooks/setup.yml"
ROLE = "ansible/roles/base/tasks/main.yml"
# Each run leaves a line; the secret has what Ansible and YAML would stumble over.
ODD = 'one{{ two }}"\'%\\ :\u00e9 # x'
PLAYBOOK_TEXT = """\
- name: Set it up
  hosts: all
  gather_facts: false
  roles: [base]
"""
ROLE_TEXT = """\
- name: say what is known
  ansible.builtin.lineinfile:
    path: CONTROL/played
    create: true
    line: "{{ inventory_hostname }}|{{ client_name }}|{{ domain }}|{{ level }}|{{ group_names | join('+') }}|{{ playbook_dir }}"
- name: keep the secret
  ansible.builtin.copy:
    content: "{{ secrets.odd }}"
    dest: "CONTROL/secret-{{ client_name }}"
- name: show the secret
  ansible.builtin.debug: {msg: "it is {{ secrets.database_password }}"}
"""


def define(fleet, playbook=PLAYBOOK_TEXT, role=ROLE_TEXT, keys="", push=True):
    fleet.write(PLAYBOOK, playbook)
    fleet.write(ROLE, role.replace("CONTROL", str(fleet.control)))
    fleet.write("ansible/ansible.cfg", "[defaults]\nroles_path = roles\n")
    fleet.write(VARIABLES, fleet.read(VARIABLES) + "level: high\n")
    for client in WITH_API:
        fleet.write_secrets(f"clients/{client}", database_password=f"own-password-of-{client}",
                            odd=ODD)
    fleet.write(POLICY, fleet.read(POLICY) + f"steps: {{setup: {{ansible: {PLAYBOOK}{keys}}}}}\n")
    if push:
        fleet.push("Playbooks")
        fleet.settle()


def played(fleet):
    path = fleet.control / "played"
    return [line.split("|") for line in path.read_text().splitlines()] if path.exists() else []


def test_a_playbook_runs_for_one_client_with_its_variables_and_secrets(fleet):
    define(fleet)
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}, \
        fleet.service.log()
    found = played(fleet)
    assert [(host, name, domain, level) for host, name, domain, level, *_ in found] == [
        (client, client, f"{client}.example.org", "high")
        for client in [each[0] for each in found]]
    assert sorted(each[0] for each in found) == sorted(WITH_API)
    assert found[0][4] == "canary"
    assert found[0][5] == str(fleet.state / "steps/alpha/checkout/ansible/playbooks")
    for client in WITH_API:
        assert (fleet.control / f"secret-{client}").read_text() == ODD
    assert not left_over(fleet)
    text = done(fleet.command("logs", fleet.rollouts(commit)[-1]["id"], "alpha"))
    assert "TASK: base : keep the secret" in text and "changed: alpha" in text, text
    assert "own-password" not in text + fleet.service.log()


FAILS = """\
- name: try it
  block:
    - name: passes over this
      ansible.builtin.command: /bin/false
  rescue:
    - name: break
      ansible.builtin.fail: {msg: "no room for {{ client_name }}"}
"""


@pytest.mark.parametrize("playbook, role, reason", [
    (PLAYBOOK_TEXT, FAILS, "setup failed in task 'base : break': no room for alpha"),
    (PLAYBOOK_TEXT, FAILS.replace("room for {{ client_name }}", "{{ secrets.database_password }}"),
     "setup failed in task 'base : break': no ********"),
    ("- hosts: [\n", ROLE_TEXT, "setup: ansible-playbook ended with status 4 and ran nothing"),
    (PLAYBOOK_TEXT.replace("[base]", "[nowhere]"), ROLE_TEXT,
     "setup: ansible-playbook ended with status 1 and ran nothing"),
    (PLAYBOOK_TEXT + "- hosts: all\n  serial: '{{ nowhere }}'\n  tasks: []\n", ROLE_TEXT,
     "setup: ansible-playbook ended with status 4 after task 'base : show the secret'"),
])
def test_a_playbook_that_fails_touches_nothing(fleet, playbook, role, reason):
    define(fleet, playbook, role)
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert not fleet.activations(commit=commit)
    record = fleet.service.api("clients/alpha")
    assert record["held"]["reason"].startswith(reason), record["held"]["reason"]
    assert not left_over(fleet)


WAITS = """\
- name: wait
  ansible.builtin.shell: |
    echo $$ > CONTROL/sleeper-{{ client_name }}
    until [ -e CONTROL/go ]; do sleep 0.1; done
"""


def sleeper(fleet, client="alpha"):
    return fleet.wait_for("the task", lambda: (path := fleet.control / f"sleeper-{client}").exists()
                          and path.read_text().strip())


def test_a_playbook_that_takes_too_long_is_ended_with_what_it_runs(fleet):
    define(fleet, role=WAITS, keys=", timeout: 3s")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    reason = fleet.service.api("clients/alpha")["held"]["reason"]
    assert reason.startswith("setup did not end within 3s"), reason
    if (fleet.control / "sleeper-alpha").exists():
        fleet.wait_for("the end of the task", lambda: not alive(int(sleeper(fleet))))
    assert not left_over(fleet)


def test_killed_in_a_playbook_the_next_service_waits_for_it(fleet):
    define(fleet, PLAYBOOK_TEXT.replace("hosts: all", "hosts: canary"), WAITS)
    commit = fleet.upgrade("1.0.1")
    first = sleeper(fleet)
    fleet.service.kill()
    fleet.start()
    fleet.wait_for("the rollout to go on", lambda: fleet.service.log().count(
        "running step client=alpha") == 2)
    assert sleeper(fleet) == first and alive(int(first))
    (fleet.control / "go").touch()
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert sleeper(fleet) != first and not left_over(fleet)


def test_a_service_that_stops_ends_its_playbook_and_the_next_one_plays_it_again(fleet):
    define(fleet, PLAYBOOK_TEXT.replace("hosts: all", "hosts: canary"), WAITS)
    commit = fleet.upgrade("1.0.1")
    first = sleeper(fleet)
    fleet.service.stop()
    wait_for("the end of the task", lambda: not alive(int(first)))
    assert not left_over(fleet)
    (fleet.control / "go").touch()
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert sleeper(fleet) != first


def test_what_a_playbook_could_not_do_is_said_before_anything_begins(idle_fleet):
    fleet = idle_fleet
    define(fleet, push=False)

    def refuses(sentence):
        said = run("validate", fleet.work)
        assert said.returncode == 1 and sentence in said.stdout + said.stderr, said.stdout

    done(run("validate", fleet.work))
    fleet.edit(INVENTORY, "        alpha:\n", "        'al*pha':\n")
    refuses("steps of ansible need another name for host 'al*pha'")
    fleet.edit(INVENTORY, "        'al*pha':\n", "        alpha:\n")
    (fleet.work / PLAYBOOK).unlink()
    refuses(f"playbook '{PLAYBOOK}' does not exist")
    fleet.edit(POLICY, PLAYBOOK, "../setup.yml")
    refuses("name a playbook of the repository")


def test_a_host_that_does_not_answer_is_waited_for(fleets, checks):
    """Over the real ssh, with the key and the known hosts of `hosts`."""
    with Hosts(fleets / "hosts") as hosts:
        fleet = SshFleet(fleets / "live", checks, hosts).make()
        try:
            check_over_ssh(fleet, hosts)
        finally:
            fleet.close()
            shutil.rmtree(fleet.folder)


def check_over_ssh(fleet, hosts):
    """One that answers, then one that does not."""
    define(fleet, role="- ansible.builtin.command: echo over ssh\n", push=False)
    fleet.edit(PLAYBOOK, "hosts: all", "hosts: canary")
    fleet.commit("Playbooks")
    git(fleet.work, "push", "-q", "origin", "main")
    fleet.start().settle()
    assert fleet.ends(fleet.head()) == ["succeeded"], fleet.service.log()
    text = done(fleet.command("logs", fleet.rollouts(fleet.head())[-1]["id"], "alpha"))
    assert "changed: alpha" in text, text
    hosts.servers["alpha"].process.terminate()
    hosts.servers["alpha"].process.wait()
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the question", lambda: fleet.rollouts(commit)
                   and fleet.rollout(commit)["state"] == "waiting")
    text = done(fleet.command("logs", fleet.rollouts(commit)[-1]["id"], "alpha"))
    assert "unreachable: alpha" in text, text
    assert not fleet.activations(commit=commit)
