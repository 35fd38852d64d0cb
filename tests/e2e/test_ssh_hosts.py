"""The driver `ssh` with the real service and a real sshd for each client."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import lend
from tests.e2e.test_steps import define_steps, fail_upgrade, record_of, steps
from tests.lib.fleet import APPS, BUILD, CLIENTS, POLICY, WITH_API, copy_tree, tell
from tests.lib.gitserver import SilentServer, SshServer
from tests.lib.ssh_fleet import BUSYBOX, Hosts, Proxy, SshFleet, busybox_command, minimal_command


@pytest.fixture(name="hosts", scope="module")
def start_hosts(tmp_path_factory):
    with Hosts(tmp_path_factory.mktemp("hosts")) as running:
        yield running


@pytest.fixture(name="onboarded_ssh", scope="module")
def onboard(fleets, checks, hosts):
    """Folder of a fleet whose service has stopped after the onboarding over SSH."""
    checks.reset()
    fleet = SshFleet(fleets / "ssh-live", checks, hosts).make()
    try:
        fleet.start().settle()
        fleet.service.stop()
        check_onboarded(fleet)
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()
    (fleets / "ssh-live").rename(fleets / "ssh-onboarded")
    return fleets / "ssh-onboarded"


def check_onboarded(fleet):
    commit = fleet.head()
    assert fleet.results(commit) == {client: ["succeeded"] for client in CLIENTS}
    assert fleet.activations()[0].client == "alpha"
    assert {each.action for each in fleet.activations()} == {"onboard"}
    for client in CLIENTS:
        record, state = fleet.record(client), fleet.state_of(client)
        assert state["phase"] == "active" and state["rollout"] == record["rollout"]
        assert state["release"] == record["release"] == record["known_good"]["release"]
        root = fleet.root(client)
        assert os.readlink(root / "current") == "releases/" + state["release"][7:23]
        modes = {name: oct((root / "current" / name).stat().st_mode & 0o7777)
                 for name in (".env", "activate", "compose.yaml")}
        assert modes == {".env": "0o600", "activate": "0o755", "compose.yaml": "0o644"}
        assert f"own-password-of-{client}" in (root / "current/.env").read_text()
        assert sorted(os.listdir(root / ".aviary")) == ["state"]


@pytest.fixture(name="idle")
def copy_onboarded(onboarded_ssh, fleets, checks, hosts, request):
    """Onboarded; the service is not started yet."""
    copy_tree(onboarded_ssh, fleets / "ssh-live")
    checks.reset()
    fleet = SshFleet(fleets / "ssh-live", checks, hosts)
    fleet.put("activations", "")
    fleet.service.log_file.unlink()
    yield from lend(fleet, request)


@pytest.fixture(name="fleet")
def start_fleet(idle):
    """Onboarded, and the service runs."""
    idle.start().settle()
    return idle


def reasons(fleet, commit, client):
    return " ".join(fact for each in fleet.facts(commit) if each.client == client
                    for fact in each.all("Reason"))


def whole_release(fleet, client):
    """What `current` names is whole: each of its files is there, nothing is half written."""
    names = sorted(os.listdir(fleet.root(client) / "current"))
    assert names == [".env", "activate", "check", "compose.yaml"], names
    staged = [name for name in os.listdir(fleet.root(client) / "releases")
              if name.startswith(".new-")]
    return not staged


def rollback_and_upgrade(fleet):
    fleet.script("alpha", "if grep -q 6.6.6 compose.yaml; then exit 3; fi\n")
    bad = fleet.upgrade("6.6.6")
    fleet.settle()
    assert fleet.results(bad) == {"alpha": ["rolled-back"]}
    good = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(good) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == {client: "1.0.1" for client in WITH_API}


# ---- rollouts --------------------------------------------------------------------------------


def test_an_upgrade_and_its_revert_reach_every_host(fleet):
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == {client: "1.0.1" for client in WITH_API}
    back = fleet.revert(commit)
    fleet.settle()
    assert fleet.versions() == {client: "1.0.0" for client in WITH_API}
    assert fleet.ends(back) == ["succeeded"]
    actions = {each.action for each in fleet.activations(commit=back)}
    assert actions == {"rollback"}


def test_a_bad_upgrade_is_rolled_back_on_the_canary_and_touches_nobody_else(fleet):
    fleet.sick("all", "api:6.6.6")
    commit = fleet.upgrade("6.6.6")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert "alpha is sick" in reasons(fleet, commit, "alpha")
    assert fleet.versions() == {client: "1.0.0" for client in WITH_API}
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}


def test_data_are_backed_up_and_come_back_over_ssh(fleet):
    define_steps(fleet, restore="always")
    commit = fail_upgrade(fleet)
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    (rollout,) = fleet.rollouts(commit)
    backup = f"alpha-{rollout['id']}"
    assert [each[:4] for each in steps(fleet, "alpha")] == [
        ["backup", "alpha", "upgrade", backup], ["restore", "alpha", "rollback", backup]]
    assert fleet.versions()["alpha"] == "1.0.0"
    assert fleet.state_of("alpha")["restore"] == backup
    assert record_of(fleet)["backup"]["name"] == backup
    fleet.put("backup-alpha.sh", "exit 7\n")
    commit = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert record_of(fleet)["held"]["reason"].startswith("backup ended with status 7")
    assert not fleet.activations(commit=commit)


def test_an_activation_that_fails_or_is_late_is_rolled_back(fleet):
    fleet.script("alpha", 'if grep -q 1.0.1 compose.yaml; then echo no luck; exit 3; fi\n')
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert "activate ended with status 3" in reasons(fleet, commit, "alpha")
    log = next((fleet.state / "logs").glob("*/alpha.log"))
    assert any("no luck" in each.read_text()
               for each in (fleet.state / "logs").glob("*/alpha.log")), log
    fleet.script("alpha", 'if grep -q 1.0.2 compose.yaml; then sleep 600; fi\n')
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 1s")
    late = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(late) == {"alpha": ["rolled-back"]}
    assert "activate did not end within 1s" in reasons(fleet, late, "alpha")


def test_nothing_secret_stands_in_an_argument_list(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    seen = b""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen += entry.read_bytes()
        except OSError:
            continue
    fleet.let_go("alpha")
    fleet.settle()
    assert b"aviary" in seen
    assert b"own-password-of-" not in seen and b"shared-mail-password" not in seen


def test_only_what_changed_is_sent(idle):
    fleet = idle
    big = os.urandom(1_500_000).hex()
    fleet.write("docker/big", big)
    fleet.edit(POLICY, "release:\n  files:\n",
               "release:\n  files:\n    - {from: docker/big, to: deep/big, template: false}\n")
    with Proxy(fleet.hosts.servers["alpha"].port) as proxy:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + fleet.hosts.servers["alpha"]
                                .known_hosts_line().replace(
                                    str(fleet.hosts.servers["alpha"].port), str(proxy.port)) + "\n")
        fleet.set_port("alpha", proxy.port)
        fleet.commit()
        fleet.start()
        fleet.send()
        fleet.settle()
        assert proxy.up > len(big)
        before = proxy.up
        fleet.upgrade("1.0.1")
        fleet.settle()
        assert fleet.runs("alpha", "api:1.0.1")
        assert (fleet.root("alpha") / "current/deep/big").read_text() == big
        assert proxy.up - before < 400_000


def test_old_releases_are_pruned_but_never_the_known_good_one(fleet):
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 20s\n  keep: 2")
    for version in ("1.0.1", "1.0.2", "1.0.3"):
        fleet.upgrade(version)
        fleet.settle()
    assert len(os.listdir(fleet.root("beta") / "releases")) == 2
    assert fleet.versions() == {client: "1.0.3" for client in WITH_API}


def drive(hosts, folder, work, release, digest, clients=CLIENTS):
    """The driver alone, with a folder as release. Roots are below folder / "roots"."""
    known = folder / "known"
    known.write_text(hosts.known_hosts())
    ports = [str(hosts.ports()[client]) for client in clients]
    done = subprocess.run(
        [BUILD / "tests/hosts_bench", work, "32", hosts.key, known, hosts.user, folder / "roots",
         "sha256:" + digest * 64, release, *ports], stdout=subprocess.PIPE, encoding="utf-8",
        check=False)
    return json.loads(done.stdout)["failed"]


@pytest.mark.parametrize("same", [99, 100, 101, 201])
def test_a_release_of_many_files_arrives_over_one_that_has_most_of_them(same, hosts, tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    (release / "activate").write_text("#!/bin/sh\n")
    for number in range(same - 1):
        (release / f"file {number}").write_text(f"{number}\n")
    for digest, text in (("a", "first"), ("b", "second")):
        (release / "changes").write_text(text)
        assert drive(hosts, tmp_path, "activate", release, digest, ["alpha"]) == 0
        current = tmp_path / "roots/0/current"
        names = sorted(os.listdir(release))
        assert sorted(os.listdir(current)) == names
        assert all((current / name).read_text() == (release / name).read_text() for name in names)
        assert {oct((current / name).stat().st_mode & 0o777) for name in names} == {"0o755", "0o644"}


def test_only_so_many_hosts_pull_images_at_once(hosts, tmp_path):
    # each notes its beginning and the end of its pull, and ends when all have pulled
    release = tmp_path / "release"
    release.mkdir()
    log = tmp_path / "log"
    (release / "activate").write_text(
        f"#!/bin/sh\necho begin >> {log}; printf 'compose: the images'; sleep 0.1\n"
        f"echo there >> {log}; echo ' are there'\n"
        f'until [ "$(grep -c there {log})" = {len(hosts.servers)} ]; do sleep 0.1; done\n')
    assert drive(hosts, tmp_path, "pull", release, "a") == 0
    assert log.read_text().split() == ["begin", "there"] * len(hosts.servers)


# ---- interruptions ---------------------------------------------------------------------------


def test_drift_is_found_and_repaired_over_ssh(fleet):
    fleet.write(POLICY, fleet.read(POLICY) + "drift: repair\ndrift_interval: 1s\n")
    fleet.push("Look for drift")
    fleet.settle()
    fleet.put("activations", "")
    (fleet.root("alpha") / "current").unlink()
    shutil.rmtree((fleet.root("beta") / "current").resolve())
    fleet.wait_for("both to be put right", lambda: all(
        [each for each in fleet.subjects() if each.startswith(f"drift({client}): over: ")]
        for client in ("alpha", "beta")))
    assert {line.client for line in fleet.activations()} == {"alpha", "beta"}
    assert all(each["state"] == "succeeded" for each in fleet.rollouts())
    for client in ("alpha", "beta"):
        assert whole_release(fleet, client)
        assert fleet.record(client)["state"] == "healthy" and "drift" not in fleet.record(client)
    found = [each for each in fleet.subjects() if each.startswith("drift(")]
    assert [each for each in found if "nothing is current instead of" in each]
    assert [each for each in found if "is missing" in each]


def test_a_file_that_somebody_changed_on_a_host_is_drift(fleet):
    fleet.write(POLICY, fleet.read(POLICY) + "drift: report\ndrift_interval: 1s\n")
    fleet.push("Look for drift")
    fleet.settle()
    (fleet.root("beta") / "current/compose.yaml").write_text("changed by hand\n")
    fleet.wait_for("the drift to be found", lambda: [
        each for each in fleet.subjects() if "file compose.yaml of " in each])
    assert [each for each in fleet.subjects() if each.startswith("drift(beta)")]
    assert "alpha" not in [each for each in fleet.subjects() if each.startswith("drift(")][0]


def test_kill_9_during_an_activation_is_resumed_without_a_second_one(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.service.kill()
    fleet.start()
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == {client: "1.0.1" for client in WITH_API}
    started = [each.client for each in fleet.activations("start", commit)]
    assert sorted(started) == sorted(WITH_API)


def test_a_connection_that_is_lost_during_an_activation_is_asked_for_its_end(idle):
    fleet = idle
    server = fleet.hosts.servers["alpha"]
    with Proxy(server.port) as proxy:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + server.known_hosts_line().replace(
            str(server.port), str(proxy.port)) + "\n")
        fleet.set_port("alpha", proxy.port)
        fleet.start()
        fleet.hold_back("alpha")
        commit = fleet.upgrade("1.0.1")
        fleet.wait_for_activation("alpha", commit)
        proxy.cut()
        # a second connection waits for what the first one began
        fleet.wait_for("another connection", lambda: proxy.connections > 1)
        fleet.let_go("alpha")
        fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert [each.client for each in fleet.activations("start", commit)].count("alpha") == 1


def test_a_host_that_goes_down_during_an_activation_is_activated_again(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    holders = os.readlink(fleet.root("alpha") / ".aviary/lock").split("@")[0].split("-")
    assert len(holders) == 2
    # the shell that holds the connection and activate with all of its group, as a reboot does
    for holder in holders:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(holder.split(".")[0]), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(holders[1].split(".")[0]), signal.SIGKILL)
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert [each.client for each in fleet.activations("start", commit)].count("alpha") == 2
    assert fleet.state_of("alpha")["phase"] == "active" and whole_release(fleet, "alpha")


def test_a_connection_that_is_cut_in_the_stream_leaves_a_whole_release(idle):
    fleet = idle
    fleet.write("docker/big", os.urandom(400_000).hex())
    fleet.edit(POLICY, "release:\n  files:\n",
               "release:\n  files:\n    - {from: docker/big, to: big, template: false}\n")
    server = fleet.hosts.servers["alpha"]
    with Proxy(server.port) as proxy:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + server.known_hosts_line().replace(
            str(server.port), str(proxy.port)) + "\n")
        fleet.set_port("alpha", proxy.port)
        proxy.cut_after = 300_000
        commit = fleet.commit()
        fleet.start()
        fleet.send()
        fleet.settle()
        assert proxy.cut_after is None
    assert fleet.results(commit)["alpha"] == ["succeeded"]
    assert len(fleet.activations("start", commit)) == len(CLIENTS)
    names = os.listdir(fleet.root("alpha") / "releases")
    assert not [name for name in names if name.startswith(".new-")]


def test_a_host_that_hangs_costs_only_itself(fleet):
    # a commit of its own: the stricter of the old policy and the new one counts
    fleet.edit(POLICY, "group: production, batch: 2",
               "group: production, batch: 4, max_unreachable: 1")
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 20s\n  retries: 0")
    fleet.push()
    fleet.settle()
    with SilentServer(b"SSH-2.0-OpenSSH_9.2\r\n") as silent:
        fleet.set_port("gamma", silent.port)
        commit = fleet.upgrade("1.0.1")
        for client in ("beta", "delta"):
            fleet.wait_for_activation(client, commit, "end")
        # and then another rollout waits for it
        fleet.wait_for("the end of the others", lambda: fleet.results(commit).get("gamma"))
    assert fleet.results(commit)["beta"] == ["succeeded"]
    assert fleet.results(commit)["delta"] == ["succeeded"]
    assert fleet.results(commit)["gamma"] == ["skipped"]


# ---- refusals --------------------------------------------------------------------------------


def test_another_host_key_is_refused_with_both_fingerprints(idle):
    fleet = idle
    server, other = fleet.hosts.servers["alpha"], fleet.hosts.servers["beta"]
    kind, key = other.known_hosts_line().split()[1:]
    fleet.write_known_hosts(f"[127.0.0.1]:{server.port} {kind} {key}\n"
                            + "".join(each.known_hosts_line() + "\n"
                                      for each in fleet.hosts.servers.values() if each != server))
    fleet.start()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    told = reasons(fleet, commit, "alpha")
    assert re.search(r"has changed: known is SHA256:\S{43}, shown was SHA256:\S{43}", told)
    assert fleet.activations(commit=commit) == []
    assert fleet.runs("alpha", "api:1.0.0")


def test_the_fingerprint_of_the_inventory_counts(idle):
    fleet = idle
    server = fleet.hosts.servers["alpha"]
    shown = os.popen(f"ssh-keygen -lf {server.host_key}.pub").read().split()[1]
    fleet.write_known_hosts("".join(each.known_hosts_line() + "\n" for name, each
                                    in fleet.hosts.servers.items() if name != "alpha"))
    fleet.set_variable("alpha", "host_key_fingerprint", shown)
    fleet.start()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit)["alpha"] == ["succeeded"]
    fleet.set_variable("alpha", "host_key_fingerprint", "SHA256:" + "A" * 43)
    wrong = fleet.upgrade("1.0.2")
    fleet.settle()
    told = reasons(fleet, wrong, "alpha")
    assert shown in told and "SHA256:" + "A" * 43 in told
    assert fleet.activations(commit=wrong) == []


def test_what_a_host_lacks_is_told_before_anything_is_touched(idle, tmp_path):
    fleet = idle
    force = minimal_command(tmp_path, without=("tar", "timeout"))
    with SshServer(tmp_path, key=fleet.hosts.key, force=force) as bare:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + bare.known_hosts_line() + "\n")
        fleet.set_port("alpha", bare.port)
        before = sorted(os.listdir(fleet.root("alpha") / "releases"))
        fleet.start()
        commit = fleet.upgrade("1.0.1")
        fleet.settle()
    assert "lacks tar timeout" in reasons(fleet, commit, "alpha")
    assert sorted(os.listdir(fleet.root("alpha") / "releases")) == before
    assert fleet.activations(commit=commit) == []


@pytest.mark.parametrize("kind", ["busybox", "coreutils"])
def test_a_host_that_has_only_these_is_enough(kind, fleets, checks, tmp_path):
    if kind == "busybox" and not os.path.exists(BUSYBOX):
        pytest.skip("busybox is not installed")
    command = {"busybox": busybox_command, "coreutils": minimal_command}[kind]
    with Hosts(tmp_path, force=command(tmp_path)) as hosts:
        folder = fleets / "ssh-only"
        fleet = SshFleet(folder, checks, hosts).make()
        try:
            fleet.start().settle()
            check_onboarded(fleet)
            rollback_and_upgrade(fleet)
        except BaseException:
            tell(fleet)
            raise
        finally:
            fleet.close()
            shutil.rmtree(folder)


# ---- through the program ssh -----------------------------------------------------------------


def test_the_program_ssh_serves_as_well(idle):
    fleet = idle
    config = fleet.service.config
    config.write_text(config.read_text().replace("hosts: {", "hosts: {transport: openssh, "))
    fleet.start()
    rollback_and_upgrade(fleet)
    assert (fleet.state / "ssh_config").exists()


def test_a_hardened_host_is_told_the_remedy_and_reached_by_the_program(idle, tmp_path):
    fleet = idle
    more = ("Ciphers aes256-gcm@openssh.com", "MACs hmac-sha2-512-etm@openssh.com",
            "KexAlgorithms sntrup761x25519-sha512@openssh.com")
    with SshServer(tmp_path, key=fleet.hosts.key, more=more) as hard:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + hard.known_hosts_line() + "\n")
        fleet.set_port("alpha", hard.port)
        fleet.start()
        commit = fleet.upgrade("1.0.1")
        fleet.wait_for("the failure", lambda: "no common algorithm" in fleet.service.log())
        assert "openssh" in fleet.service.log()
        fleet.set_variable("alpha", "aviary_transport", "openssh")
        commit = fleet.upgrade("1.0.2")
        fleet.settle()
        assert fleet.results(commit)["alpha"] == ["succeeded"]


def test_a_host_behind_others_is_reached_through_them(idle):
    fleet = idle
    user, ports = fleet.hosts.user, fleet.hosts.ports()
    hops = f"{user}@127.0.0.1:{ports['beta']},{user}@127.0.0.1:{ports['gamma']}"
    fleet.set_variable("alpha", "ansible_ssh_common_args", f'"-o ProxyJump={hops}"')
    fleet.start()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit)["alpha"] == ["succeeded"]


def test_a_host_key_that_is_not_known_is_refused_by_the_program_too(idle):
    fleet = idle
    server = fleet.hosts.servers["alpha"]
    fleet.write_known_hosts("".join(each.known_hosts_line() + "\n" for each
                                    in fleet.hosts.servers.values() if each != server))
    fleet.set_variable("alpha", "aviary_transport", "openssh")
    fleet.start()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert "Host key verification failed" in reasons(fleet, commit, "alpha")
    assert fleet.activations(commit=commit) == []


def test_sudo_runs_it_all_as_root_where_the_inventory_says_so(idle, tmp_path):
    fleet = idle
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sudo").write_text(f'#!/bin/sh\nprintf "%s " "$1" >> {tmp_path}/called\nshift\nexec "$@"\n')
    (folder / "sudo").chmod(0o755)
    force = f'PATH={folder}:$PATH; export PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with SshServer(tmp_path, key=fleet.hosts.key, force=force) as server:
        fleet.write_known_hosts(fleet.hosts.known_hosts() + server.known_hosts_line() + "\n")
        fleet.set_port("alpha", server.port)
        fleet.set_variable("alpha", "ansible_become", "yes")
        fleet.start()
        commit = fleet.upgrade("1.0.1")
        fleet.settle()
    assert fleet.results(commit)["alpha"] == ["succeeded"]
    assert set((tmp_path / "called").read_text().split()) == {"-n"}
