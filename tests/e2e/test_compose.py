"""`activate: compose`: its script against a real engine, with each Compose that is installed.

What cannot be had here - other versions, an app that restarts for minutes - is played by a `docker`
of the test's own (`Pretender`).
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import lend  # noqa: E402
from tests.lib.engine import Engine, Registry, busybox_tar, find_plugin  # noqa: E402
from tests.lib.fleet import (APPS, INVENTORY, PATIENCE_S, POLICY, VARIABLES,  # noqa: E402
                             environment)
from tests.lib.ssh_fleet import Hosts, SshFleet  # noqa: E402

SCRIPT = ROOT / "templates/compose.sh"
COMPOSES = ("docker-compose", "docker compose")
ONE = "docker compose" if find_plugin() else "docker-compose"  # where they cannot differ
one_compose = pytest.mark.parametrize("compose", [ONE])


@pytest.fixture(name="engine", scope="module")
def start_engine():
    with Engine.start() as engine:
        engine.image("aviary-test:1", "aviary-test:2")
        yield engine


@pytest.fixture(name="registry")
def start_registry():
    with Registry() as registry:
        yield registry


def service(command="sleep 1000", image="aviary-test:1", **more):
    """A service whose container needs no network, as a line of YAML."""
    keys = {"image": image, "command": ["sh", "-c", command], "network_mode": "none",
            "stop_grace_period": "0s", "init": False, **more}
    return str(keys).replace("'", '"').replace("True", "true").replace("False", "false")


class Host:
    """A root with releases, switched and activated as a driver does."""

    def __init__(self, folder, env, client="alpha"):
        self.folder, self.env, self.client = Path(folder), env, client
        self.count = 0

    def release(self, files):
        self.count += 1
        folder = self.folder / f"releases/{self.count}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        link = self.folder / "new"
        link.symlink_to(f"releases/{self.count}")
        link.rename(self.folder / "current")

    def activate(self, files=None, seconds=120, action="upgrade", shell="sh", heard=None,
                 **services):
        """(exit status, output); heard(line) is called while it runs."""
        if services:
            files = {"compose.yaml": "services:\n" + "".join(
                f"  {name}: {text}\n" for name, text in services.items())}
        self.release(files)
        lines = []
        with subprocess.Popen(
                [*shell.split(), "-c", SCRIPT.read_text(), "compose", self.folder / "current",
                 str(seconds)], cwd=self.folder / "current", stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                env={**self.env, "AVIARY_CLIENT": self.client, "AVIARY_ACTION": action}) as child:
            guard = threading.Timer(seconds + PATIENCE_S, child.kill)
            guard.start()
            for line in child.stdout:
                lines.append(line)
                if heard:
                    heard(line)
            guard.cancel()
        return child.returncode, "".join(lines)


@pytest.fixture(name="compose", params=COMPOSES)
def take_compose(request):
    """Each one; a test that overrides it asks one only."""
    return request.param


@pytest.fixture(name="host")
def make_host(engine, compose, tmp_path):
    root = tmp_path / "a root whose path is long enough for Compose to break the lines that it prints"
    host = Host(root, engine.environment(compose), f"c{id(tmp_path):x}")
    yield host
    for each in engine.docker("ps", "-aq", "--filter",
                              f"label=com.docker.compose.project={host.client}").split():
        engine.docker("rm", "-f", each)


def last_line(output):
    return output.strip().splitlines()[-1]


# ---- the real thing -----------------------------------------------------------------------------


def test_a_release_runs_and_the_next_one_replaces_it(host, engine):
    once = service("echo migrated", restart="no")
    status, output = host.activate(web=service(), old=service(), once=once)
    assert (status, last_line(output)) == (0, "compose: every container is well"), output
    assert engine.containers(host.client) == {
        "web": ("aviary-test:1", "running"), "old": ("aviary-test:1", "running"),
        "once": ("aviary-test:1", "exited")}
    status, output = host.activate(web=service(image="aviary-test:2"), once=once)
    assert status == 0, output
    assert engine.containers(host.client) == {"web": ("aviary-test:2", "running"),
                                              "once": ("aviary-test:1", "exited")}


def test_what_did_not_change_is_left_alone(host, engine):
    """One project folder for all releases, though each has its own."""
    def started(name):
        ids = engine.docker("ps", "-aq", "--filter", f"label=com.docker.compose.service={name}",
                            "--filter", f"label=com.docker.compose.project={host.client}")
        return engine.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{index "
                             '.Config.Labels "com.docker.compose.project.working_dir"}}', ids)

    files = {"compose.yaml": f"services:\n  db: {service(env_file=['db.env'])}\n",
             "compose.web.yml": f"services:\n  web: {service()}\n", "db.env": "NAME=one\n"}
    assert host.activate(files)[0] == 0
    before = started("db")
    assert before.endswith(f" {host.folder}/current")
    files["compose.web.yml"] = f"services:\n  web: {service(image='aviary-test:2')}\n"
    assert host.activate(files)[0] == 0
    assert started("db") == before
    assert engine.containers(host.client)["web"] == ("aviary-test:2", "running")


def test_a_changed_file_of_configs_or_secrets_is_taken(host, engine, compose):
    """Its service starts again with it; the others are left alone."""
    def files(**texts):
        tops = "".join(f"{kind}:\n  {kind}_one: {{file: ./{kind}.txt}}\n" for kind in texts)
        web = service("cat /run/secrets/secrets_one; sleep 1000",
                      **{kind: [f"{kind}_one"] for kind in texts})
        return {"compose.yaml": f"services:\n  web: {web}\n  db: {service()}\n{tops}",
                **{f"{kind}.txt": text for kind, text in texts.items()}}

    def ids():
        return {name: engine.docker(
            "ps", "-q", "--filter", f"label=com.docker.compose.service={name}", "--filter",
            f"label=com.docker.compose.project={host.client}") for name in ("web", "db")}

    kinds = {"secrets": "one\n"} | ({} if compose == "docker-compose" else {"configs": "a\n"})
    assert host.activate(files(**kinds))[0] == 0
    before = ids()
    assert host.activate(files(**kinds))[0] == 0
    assert ids() == before
    for kind in kinds:
        changed = files(**{**kinds, kind: "two\n"})
        assert host.activate(changed)[0] == 0
        after = ids()
        assert after["db"] == before["db"] and after["web"] != before["web"]
        before = after
    assert engine.docker("logs", after["web"]) in ("two", "one")


def test_a_service_that_ends_is_named_with_its_log(host):
    ends = service("echo starts; echo no database; exit 3")
    status, output = host.activate(db=service(), web=ends)
    assert status == 1
    assert last_line(output) == "service 'web' exited with status 3: no database"
    assert "  web | starts\n  web | no database\n" in output


@one_compose
def test_an_unhealthy_service_is_named_with_what_its_check_says(host):
    test = {"test": ["CMD-SHELL", "echo port 80 is closed; exit 1"], "interval": "1s", "retries": 2}
    status, output = host.activate(web=service("echo I try; sleep 1000", healthcheck=test))
    assert status == 1
    assert last_line(output) == "service 'web' is unhealthy: port 80 is closed"
    assert "  web | I try\n" in output


@one_compose
def test_a_slow_service_is_waited_for(host):
    test = {"test": ["CMD", "test", "-e", "/ready"], "interval": "1s", "retries": 1000}
    status, output = host.activate(web=service("sleep 4; touch /ready; sleep 1000",
                                               healthcheck=test))
    assert status == 0, output


@one_compose
def test_what_is_not_well_in_time_is_named(host):
    test = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    status, output = host.activate(seconds=25, web=service(healthcheck=test), db=service())
    assert status == 1
    assert last_line(output).startswith("not in time: service 'web' is not healthy yet"), output


@one_compose
def test_what_compose_refuses_stops_nothing(host, engine):
    assert host.activate(web=service())[0] == 0
    status, output = host.activate({"compose.yaml": "services: {web: {image: [1]}}\n"})
    assert status == 1
    assert last_line(output).startswith("the compose files are refused: "), output
    status, output = host.activate({"notes.txt": "nothing\n"})
    assert status == 1
    assert last_line(output).startswith("the release has no compose.yaml, "), output
    assert engine.containers(host.client) == {"web": ("aviary-test:1", "running")}


@one_compose
def test_a_missing_image_stops_nothing_and_is_asked_for_once(host, engine, registry):
    assert host.activate(web=service())[0] == 0
    status, output = host.activate(web=service(image=f"{registry.address}/app:9"))
    assert status == 1
    assert last_line(output).startswith("images cannot be pulled: "), output
    assert "tried again" not in output
    assert engine.containers(host.client) == {"web": ("aviary-test:1", "running")}


@one_compose
def test_a_registry_in_trouble_is_asked_again(host, engine, registry):
    layer = busybox_tar()
    registry.add("app", "2", layer)
    registry.sick = True

    def heal(line):
        if line == "compose: the pull failed, and is tried again in 2 s\n":
            registry.sick = False

    status, output = host.activate(heard=heal, web=service(image=f"{registry.address}/app:2"))
    assert status == 0 and not registry.sick, output
    assert engine.containers(host.client) == {"web": (f"{registry.address}/app:2", "running")}
    asked = len(registry.asked)
    assert host.activate(web=service(image=f"{registry.address}/app:2"))[0] == 0
    assert len(registry.asked) == asked  # what is here is not pulled again
    engine.docker("rmi", "-f", f"{registry.address}/app:2")


@one_compose
def test_the_way_back_needs_no_registry(host, engine, registry):
    """A moving tag is asked for anew, but what is here will do."""
    digest = registry.add("app", "latest", busybox_tar())
    image = f"{registry.address}/app"
    assert host.activate(web=service(image=image))[0] == 0
    registry.sick = True
    status, output = host.activate(web=service(image=image))
    assert status == 0 and "goes on with the images that are here" in output, output
    registry.asked.clear()
    assert host.activate(action="rollback", web=service(image=image))[0] == 0
    assert host.activate(web=service(image=f"{image}@{digest}"))[0] == 0
    assert not registry.asked
    engine.docker("rmi", "-f", image)


def test_compose_file_in_env_names_the_files(host, engine):
    status, output = host.activate({
        ".env": "COMPOSE_FILE=one.yaml:two.yaml\nCOMPOSE_PROJECT_NAME=other\nCOMMAND=sleep 1000\n",
        "one.yaml": f"services:\n  web: {service('${COMMAND}')}\n",
        "two.yaml": 'services:\n  web: {image: "aviary-test:2"}\n',
        "compose.yaml": "never: read\n"})
    assert status == 0, output
    assert engine.containers(host.client) == {"web": ("aviary-test:2", "running")}


@pytest.mark.parametrize("shell", ("dash", "busybox sh"))
def test_each_shell_will_do(engine, tmp_path, shell):
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"{shell} is not installed")
    host = Host(tmp_path, engine.environment(ONE), "shell")
    status, output = host.activate(shell=shell, web=service("echo no database; exit 3"))
    assert status == 1
    assert last_line(output) == "service 'web' exited with status 3: no database"


def test_without_an_engine_it_says_so(engine, tmp_path):
    env = dict(engine.environment(ONE))
    host = Host(tmp_path / "a", {**env, "PATH": os.environ["PATH"],
                                 "DOCKER_HOST": f"unix://{tmp_path}/none"})
    status, output = host.activate(web=service())
    assert status == 1
    assert last_line(output).startswith("the docker engine does not answer: "), output


# ---- in a fleet ---------------------------------------------------------------------------------

POLICY_TEXT = """\
version: 1
inventory: ansible/inventory/clients.yml
stages:
  - {name: canary, group: canary, bake: 100ms}
release:
  files:
    - {from: docker/apps.yml, to: compose.yaml}
    - {from: templates/env.mustache, to: .env, mode: "0600"}
driver:
  DRIVER
  root: "{{fleet_root}}/{{client_name}}"
  activate: compose
  activate_timeout: 3m
verify: {interval: 100ms, healthy: 1, timeout: 30s}
"""

COMMAND = "sleep 1000"
INVENTORY_TEXT = """\
canary:
  hosts:
    alpha: {client_name: alpha, domain: alpha.example.org, apps: [web]MORE}
"""


def tell_of_clients(fleet, driver):
    fleet.write(POLICY, POLICY_TEXT.replace("DRIVER", driver))
    fleet.write(VARIABLES, f"fleet_root: {fleet.folder}/hosts\nweb_version: '1'\n")
    fleet.write(APPS, "services:\n  web: " + service(
        COMMAND, env_file=[".env"], image="aviary-test:{{web_version}}") + "\n")


def upgrade_and_roll_back(fleet, engine):
    """Onboards alpha, brings it a good upgrade and a bad one."""
    try:
        fleet.settle()
        assert engine.containers("alpha") == {"web": ("aviary-test:1", "running")}
        fleet.edit(VARIABLES, "'1'", "'2'")
        good = fleet.push("upgrade")
        fleet.settle()
        assert fleet.results(good) == {"alpha": ["succeeded"]}
        assert engine.containers("alpha") == {"web": ("aviary-test:2", "running")}
        fleet.edit(APPS, COMMAND, "echo mail $$MAIL_PASSWORD; exit 3")
        bad = fleet.push("bad upgrade")
        fleet.settle()
        assert fleet.results(bad) == {"alpha": ["rolled-back"]}
        assert engine.containers("alpha") == {"web": ("aviary-test:2", "running")}
        check_what_is_told(fleet, bad)
    finally:
        if engine.containers("alpha"):
            engine.docker("rm", "-f", *engine.docker(
                "ps", "-aq", "--filter", "label=com.docker.compose.project=alpha").split())


def check_what_is_told(fleet, commit):
    """Why, in the record; the log of the container in ours, without the secret."""
    told = "service 'web' exited with status 3: mail "
    assert any(told in reason for fact in fleet.facts(commit) for reason in fact.all("Reason"))
    (rollout,) = fleet.rollouts(commit)
    kept = (fleet.state / f"logs/{rollout['id']}/alpha.log").read_text()
    assert "  web | mail " in kept and "shared-mail-password" not in kept
    assert "shared-mail-password" not in fleet.service.log()


def test_a_fleet_upgrades_and_rolls_back_by_compose(fresh_fleet, engine, compose):
    env = engine.environment(compose)
    fresh_fleet.write(INVENTORY, INVENTORY_TEXT.replace("MORE", ""))
    tell_of_clients(fresh_fleet, "kind: local")
    fresh_fleet.push("compose", webhook=False)
    fresh_fleet.start(env=env)
    upgrade_and_roll_back(fresh_fleet, engine)


def test_a_server_upgrades_and_rolls_back_by_compose(fleets, checks, engine, request, tmp_path):
    """As over `local`, with the driver ssh; the host has Docker, the service has not."""
    env = engine.environment(ONE)
    force = (f'PATH="{env["PATH"]}" HOME="{env["HOME"]}"; export PATH HOME; '
             'exec sh -c "$SSH_ORIGINAL_COMMAND"')
    with Hosts(tmp_path / "hosts", force=force, clients=["alpha"]) as hosts:
        fleet = SshFleet(fleets / "ssh", checks, hosts)
        for fleet in lend(fleet, request):
            fleet.make()
            fleet.write(INVENTORY, INVENTORY_TEXT.replace(
                "MORE", f", ansible_host: 127.0.0.1, ansible_port: {hosts.ports()['alpha']}"))
            tell_of_clients(fleet, f"kind: ssh\n  user: {hosts.user}")
            fleet.push("compose", webhook=False)
            fleet.start()
            upgrade_and_roll_back(fleet, engine)


# ---- the text itself ----------------------------------------------------------------------------


def test_the_script_is_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-s", "sh", SCRIPT], stdout=subprocess.PIPE, check=False,
                          encoding="utf-8")
    assert done.returncode == 0, done.stdout


# ---- what cannot be had here --------------------------------------------------------------------


class Pretender:
    """`docker` and `docker-compose` that answer by a shell function of the test."""

    def __init__(self, folder):
        self.bin = Path(folder) / "bin"
        self.bin.mkdir()
        self.env = {**environment(), "PATH": f"{self.bin}:{os.environ['PATH']}",
                    "CONTROL": str(folder)}

    def be(self, program, text):
        path = self.bin / program
        path.write_text(f'#!/bin/sh\ncase "$*" in\n{text}\n*) exit 1 ;;\nesac\n')
        path.chmod(0o755)


@pytest.fixture(name="pretender")
def make_pretender(tmp_path):
    return Pretender(tmp_path)


@pytest.mark.parametrize("plugin, old, told", [
    ("2.17.3", "", "is needed, here is 'docker compose' 2.17.3: apt install"),
    ("", "1.25.0", "is needed, here is 'docker-compose' 1.25.0: apt install"),
    ("dev", "1.28.6", "here is 'docker compose' dev, here is 'docker-compose' 1.28.6"),
    ("", "", "'docker compose' 2.18 or newer, or docker-compose 1.29, is needed: apt install"),
    ("2.18.0", "1.29.2", "compose: docker compose 2.18.0, project alpha"),
    ("v5.5.0", "1.29.2", "compose: docker compose 5.5.0, project alpha"),
    ("2.17.3", "1.29.2", "compose: docker-compose 1.29.2, project alpha"),
    ("", "2.26.1-4", "compose: docker-compose 2.26.1-4, project alpha"),
])
def test_which_compose_is_taken(pretender, tmp_path, plugin, old, told):
    version = f"'compose version --short') echo {plugin} ;;\n" if plugin else ""
    pretender.be("docker", "'version --format'*) echo 20.10.24 ;;\n" + version)
    pretender.be("docker-compose", f"'version --short') echo {old} ;;" if old else "")
    status, output = Host(tmp_path / "host", pretender.env).activate(web=service())
    assert status == 1  # at its `config -q`, or before
    assert told in output
    assert len(last_line(output)) < 200  # what an error message repeats of it


def test_without_docker_it_says_how_to_get_it(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat", "sleep"):
        (folder / tool).symlink_to(shutil.which(tool))
    status, output = Host(tmp_path / "host", {"PATH": str(folder)}).activate(web=service())
    assert status == 1
    assert last_line(output).startswith("docker is not installed on this host: apt install"), output


RESTARTS = """\
'version --format'*) echo 20.10.24 ;;
'compose version --short') echo 2.26.1 ;;
'ps -a --no-trunc'*) [ -e "$CONTROL/up" ] && echo 'f00d Restarting (1) 1 second ago' || true ;;
'inspect --format {{.Id}}'*)
	echo again >> "$CONTROL/looks"
	echo "f00d web restarting 1 $(($(wc -l < "$CONTROL/looks") * 4)) always 2026-11-24T10:00:00Z" ;;
*' config -q') ;;
*' config') printf 'services:\\n  web:\\n    build: .\\n    image: app\\n' ;;
*' up -d --remove-orphans') touch "$CONTROL/up" ;;
'logs --tail'*) echo 'no route to db' ;;
"""


def test_a_crash_loop_ends_early(pretender, tmp_path):
    pretender.be("docker", RESTARTS)
    status, output = Host(tmp_path / "host", pretender.env).activate(seconds=600, web=service())
    assert status == 1
    assert last_line(output) == ("service 'web' was restarted 12 times, exit status 1: "
                                 "no route to db"), output


def test_an_up_that_hangs_is_ended(pretender, tmp_path):
    pretender.be("docker", RESTARTS.replace("touch", "exec sleep 1000; touch"))
    status, output = Host(tmp_path / "host", pretender.env).activate(seconds=20, web=service())
    assert status == 1
    assert last_line(output) == "'docker compose up' was not done in time", output
