"""Pipelines with steps: a backup before each upgrade, and its restore on the way back.

Data of a client is a file in its root; each activation of the test changes it, as a migration does.
"""

import re

import pytest

from tests.lib.asking import clear_away, done, lose_state, me
from tests.lib.fleet import APPS, POLICY, WITH_API, read_yaml

STEP = """\
#!/bin/sh
control=CONTROL
echo "$AVIARY_STEP $AVIARY_CLIENT $AVIARY_ACTION $AVIARY_BACKUP $(pwd)" >> "$control/steps"
for script in "$control/$AVIARY_STEP.sh" "$control/$AVIARY_STEP-$AVIARY_CLIENT.sh"; do
	if [ -e "$script" ]; then . "$script"; fi
done
mkdir -p "$control/backups"
case $AVIARY_STEP in
backup) cp ../../data "$control/backups/$AVIARY_BACKUP" ;;
restore) cp "$control/backups/$AVIARY_BACKUP" ../../data ;;
esac
echo "$AVIARY_STEP-end $AVIARY_CLIENT" >> "$control/steps"
"""
MIGRATE = 'grep image: compose.yaml > ../../data\n'
BEFORE = "data of 1.0.0\n"


def define_steps(fleet, restore=None, extra=""):
    """Backups, and a way back that restores them; returns the commit."""
    program = fleet.control / "step"
    program.write_text(STEP.replace("CONTROL", str(fleet.control)))
    program.chmod(0o755)
    text = f"steps:\n  backup: {{remote: [{program}], timeout: 60s}}\n"
    if restore:
        text += f"  restore: {{remote: [{program}], when: {restore}}}\n"
    fleet.write(POLICY, fleet.read(POLICY) + text + extra)
    for client in ("alpha", "beta", "gamma", "delta", "epsilon"):
        (fleet.root(client) / "data").write_text(BEFORE)
    fleet.script("all", MIGRATE)
    commit = fleet.push("Backups")
    fleet.settle()
    return commit


def steps(fleet, client=None):
    """What ran, in its order: [name, client, action, backup, folder]."""
    path = fleet.control / "steps"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split(" ", 4) for line in lines]
    return [each for each in found if client in (None, each[1]) and not each[0].endswith("-end")]


def wait_for_step(fleet, name, client="alpha"):
    return fleet.wait_for(f"{name} of {client}", lambda: [
        each for each in steps(fleet, client) if each[0] == name])[-1]


def data(fleet, client="alpha"):
    return (fleet.root(client) / "data").read_text()


def record_of(fleet, client="alpha"):
    return fleet.service.api(f"clients/{client}")


def check_story(fleet, commit):
    """The branch is whole, and the machine decides the same again."""
    verified = fleet.command("history", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    for rollout in fleet.rollouts(commit):
        done(fleet.command("replay", rollout["id"]))


def fail_upgrade(fleet):
    """An upgrade that alpha does not get along with; returns the commit."""
    fleet.sick("alpha", "api:1.0.1")
    return fleet.upgrade("1.0.1")


def wait_for_question(fleet, commit):
    def asks():
        found = fleet.rollouts(commit)
        return found and found[-1]["state"] == "waiting" and found[-1]
    record = fleet.wait_for("the question", asks)
    assert record["waits_for"] == "approval of restore of alpha"
    return record["id"]


def test_a_backup_is_made_and_recorded_before_a_release_is_touched(fleet):
    assert define_steps(fleet) and not steps(fleet)
    assert [fact.result for fact in fleet.facts(fleet.head())] == ["started", "succeeded"]
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    (rollout,) = fleet.rollouts(commit)
    for client in WITH_API:
        backup = f"{client}-{rollout['id']}"
        folder = str(fleet.root(client) / "releases")
        ((name, _, action, made, where),) = steps(fleet, client)
        assert (name, action, made) == ("backup", "upgrade", backup)
        assert where.startswith(folder)
        assert (fleet.control / "backups" / backup).read_text() == BEFORE
        facts = [fact for fact in fleet.facts(commit) if fact.client == client]
        assert [(fact.result, fact.backup) for fact in facts] == [
            ("started", ""), ("", backup), ("succeeded", backup)]
        assert facts[1].subject.endswith(f": backup {backup}")
        record = record_of(fleet, client)
        assert record["backup"] == {"name": backup, "release": facts[1].release}
        assert record["backup"]["release"] == record["previous"]["release"]
    assert "1.0.1" in data(fleet)
    check_story(fleet, commit)


def test_a_new_client_is_backed_up_after_its_verification(fleet):
    define_steps(fleet)
    fleet.add_client("zeta")
    commit = fleet.push("A new client")
    fleet.settle()
    (rollout,) = fleet.rollouts(commit)
    (step,) = steps(fleet, "zeta")
    assert step[:4] == ["backup", "zeta", "onboard", f"zeta-{rollout['id']}"]
    record = record_of(fleet, "zeta")
    assert record["backup"]["release"] == record["known_good"]["release"] == record["release"]
    check_story(fleet, commit)


def test_a_step_that_changes_redeploys_nobody(fleet):
    define_steps(fleet)
    before = len(fleet.activations())
    fleet.edit(POLICY, "timeout: 60s", "timeout: 61s")
    commit = fleet.push("More time for backups")
    fleet.settle()
    assert fleet.results(commit) == {} and len(fleet.activations()) == before
    assert fleet.ends(commit) == ["succeeded"] and not steps(fleet)


def test_a_failing_backup_touches_nothing_and_holds_the_release(fleet):
    define_steps(fleet, restore="always")
    before = record_of(fleet)
    fleet.put("backup-alpha.sh", "echo no space; exit 7\n")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]} and fleet.ends(commit) == ["failed"]
    assert not fleet.activations(commit=commit)
    assert data(fleet) == BEFORE and fleet.versions()["alpha"] == "1.0.0"
    record = record_of(fleet)
    assert record["state"] == "failed" and "unsure" not in record
    assert record["release"] == before["release"] == record["known_good"]["release"]
    assert record["held"]["reason"] == "backup ended with status 7: no space"
    status = fleet.command("status").stdout
    assert "backup ended with status 7" in status
    check_story(fleet, commit)
    fleet.put("backup-alpha.sh", "")
    done(fleet.command("retry", "--reason", "there is space now"))
    fleet.wait_for("the retry", lambda: fleet.ends(commit) == ["failed", "succeeded"])
    fleet.settle()
    assert record_of(fleet)["state"] == "healthy"


def test_data_come_back_with_the_release(fleet):
    define_steps(fleet, restore="always")
    commit = fail_upgrade(fleet)
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    (rollout,) = fleet.rollouts(commit)
    backup = f"alpha-{rollout['id']}"
    made, restored = steps(fleet, "alpha")
    assert made[0] == "backup" and restored[:4] == ["restore", "alpha", "rollback", backup]
    (back,) = [each for each in fleet.activations(commit=None) if each.action == "rollback"]
    assert restored[4] == back.folder  # what it restores for
    assert fleet.versions()["alpha"] == "1.0.0"
    facts = [fact for fact in fleet.facts(commit) if fact.client == "alpha"]
    assert [(fact.result, fact.backup) for fact in facts if fact.subject.startswith("rollback")] == [
        ("", backup), ("rolled-back", backup)]
    assert read_yaml((fleet.root("alpha") / ".aviary/state").read_text())["restore"] == backup
    check_story(fleet, commit)


def test_without_permission_data_stay(fleet):
    define_steps(fleet, restore="never")
    fleet.script("alpha", 'if [ "$AVIARY_ACTION" = rollback ]; then exit 0; fi\n')
    commit = fail_upgrade(fleet)
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup"]


def test_no_data_come_back_for_a_release_that_never_started(fleet):
    define_steps(fleet, restore="always")
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 20s\n  retries: 0")
    fleet.push("No second attempt")
    fleet.settle()
    (fleet.root("alpha") / "current").unlink()
    (fleet.root("alpha") / "current").mkdir()  # no symlink: refused before anything is touched
    fleet.put("backup.sh", "exit 0\n")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert "restore" not in [each[0] for each in steps(fleet, "alpha")]


@pytest.mark.parametrize("restart", [False, True])
def test_a_person_says_yes_to_the_restore(fleet, restart):
    define_steps(fleet, restore="ask")
    commit = fail_upgrade(fleet)
    rollout = wait_for_question(fleet, commit)
    record = record_of(fleet)
    assert record["state"] == "waiting" and record["restore"] == "asked"
    assert "1.0.1" in data(fleet) and fleet.versions()["alpha"] == "1.0.1"
    out = fleet.command("status").stdout
    assert "approval of restore of alpha" in out and f"aviary approve {rollout}" in out
    explained = fleet.command("explain", "alpha").stdout
    assert f"alpha-{rollout}" in explained and "aviary approve" in explained
    if restart:
        lose_state(fleet)
        fleet.start()
        wait_for_question(fleet, commit)
    done(fleet.command("approve", rollout, "--reason", "the data are broken"))
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup", "restore"]
    assert fleet.versions()["alpha"] == "1.0.0"
    (fact,) = [fact for fact in fleet.facts(commit) if fact.subject.startswith("approve(")]
    assert fact.subject == f"approve({rollout}): restore of alpha"
    assert me() in fact.approved_by and fact.reason == "the data are broken"
    asked = [fact for fact in fleet.facts(commit) if fact.subject.startswith("rollback(alpha)")]
    assert [(each.result, each.backup) for each in asked] == [
        ("waiting", f"alpha-{rollout}"), ("", f"alpha-{rollout}"),
        ("rolled-back", f"alpha-{rollout}")]
    check_story(fleet, commit)


def test_a_person_says_no_to_the_restore(fleet):
    define_steps(fleet, restore="ask")
    commit = fail_upgrade(fleet)
    rollout = wait_for_question(fleet, commit)
    done(fleet.command("abort", rollout, "--reason", "mended by hand"))
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup"]
    assert fleet.versions()["alpha"] == "1.0.1" and "1.0.1" in data(fleet)
    record = record_of(fleet)
    assert record["state"] == "failed" and "restore" not in record
    assert "not approved to restore" in record["held"]["reason"]
    assert any("aborted by" in reason for reason in fleet.rollouts(commit)[0]["reasons"])
    check_story(fleet, commit)


def test_a_fix_does_not_wait_for_the_answer(fleet):
    define_steps(fleet, restore="ask")
    commit = fail_upgrade(fleet)
    wait_for_question(fleet, commit)
    fix = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert fleet.results(fix) == {client: ["succeeded"] for client in WITH_API}
    assert "restore" not in [each[0] for each in steps(fleet)]
    (made,) = [fact for fact in fleet.facts(fix)
               if fact.client == "alpha" and ": backup " in fact.subject]
    assert not made.release  # whose data that backup holds nobody knows
    (first,) = fleet.rollouts(commit)
    assert record_of(fleet)["backup"]["name"] == f"alpha-{first['id']}"


def test_a_restore_that_fails_is_told_and_nothing_else_starts(fleet):
    define_steps(fleet, restore="always")
    fleet.put("restore.sh", "exit 3\n")
    commit = fail_upgrade(fleet)
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    record = record_of(fleet)
    assert record["state"] == "failed" and record["unsure"]
    assert record["held"]["reason"].startswith("rollback failed: restore ended with status 3")
    assert not [each for each in fleet.activations() if each.action == "rollback"]
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}


def hold_back(fleet, step):
    fleet.put(f"{step}-alpha.sh", f'until [ -e "$control/go-{step}" ]; do sleep 0.02; done\n')


def let_go(fleet, step):
    (fleet.control / f"go-{step}").touch()


@pytest.mark.parametrize("empty", [False, True])
def test_killed_in_a_backup_it_is_made_again_before_the_release(fleet, empty):
    define_steps(fleet, restore="always")
    hold_back(fleet, "backup")
    commit = fleet.upgrade("1.0.1")
    wait_for_step(fleet, "backup")
    if empty:
        lose_state(fleet)
    else:
        fleet.service.kill()
    fleet.start()
    fleet.wait_for("the rollout to go on", lambda: "running step" in fleet.service.log()
                   and fleet.service.log().count('running step client=alpha') == 2)
    assert len(steps(fleet, "alpha")) == 1  # it waits for the one that still runs
    let_go(fleet, "backup")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    (rollout,) = fleet.rollouts(commit)
    assert [each[3] for each in steps(fleet, "alpha")] == [f"alpha-{rollout['id']}"] * 2
    assert (fleet.control / f"backups/alpha-{rollout['id']}").read_text() == BEFORE
    assert [each.client for each in fleet.activations(commit=commit)].count("alpha") == 1
    check_story(fleet, commit)


@pytest.mark.parametrize("empty", [False, True])
def test_killed_in_a_restore_it_is_brought_to_its_end(fleet, empty):
    define_steps(fleet, restore="always")
    hold_back(fleet, "restore")
    commit = fail_upgrade(fleet)
    wait_for_step(fleet, "restore")
    if empty:
        lose_state(fleet)
    else:
        fleet.service.kill()
    let_go(fleet, "restore")
    fleet.start().settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    (rollout,) = fleet.rollouts(commit)
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup", "restore", "restore"]
    assert {each[3] for each in steps(fleet, "alpha")} == {f"alpha-{rollout['id']}"}
    assert [each.action for each in fleet.activations() if each.client == "alpha"][-1] == "rollback"
    assert fleet.versions()["alpha"] == "1.0.0"
    assert record_of(fleet)["state"] == "rolled-back"
    check_story(fleet, commit)


def test_data_come_back_though_the_commit_is_gone(fleet):
    """A forced push, an empty machine, and a forge that cleared away what no branch has."""
    define_steps(fleet, restore="always")
    fleet.script("alpha", 'case $AVIARY_ACTION in upgrade) until [ -e "$control/go" ]; do '
                 "sleep 0.02; done; exit 3 ;; esac\n")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    lose_state(fleet)
    fleet.edit(APPS, "api:1.0.1", "api:1.0.0")
    newer = fleet.rewrite()
    clear_away(fleet)
    fleet.put("go", "now\n")
    fleet.start().settle(newer)
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup", "restore"]
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert record_of(fleet)["release"] == record_of(fleet)["known_good"]["release"]


def test_a_backup_under_way_ends_before_a_newer_commit_starts(fleet):
    define_steps(fleet)
    hold_back(fleet, "backup")
    first = fleet.upgrade("1.0.1")
    wait_for_step(fleet, "backup")
    second = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit", lambda: second in str(fleet.service.api("status")["commit"]))
    assert not fleet.rollouts(second)
    let_go(fleet, "backup")
    fleet.settle()
    assert fleet.results(first) == {"alpha": ["superseded"]}
    assert not fleet.activations(commit=first)
    assert fleet.results(second) == {client: ["succeeded"] for client in WITH_API}
    assert [each[0] for each in steps(fleet, "alpha")] == ["backup", "backup"]


def test_steps_come_in_the_order_of_the_pipeline(fleet):
    program = fleet.control / "step"
    extra = (f"  drain: {{remote: [{program}]}}\n  fill: {{remote: [{program}]}}\n"
             "lifecycle: {upgrade: [drain, backup, deploy, fill, verify]}\n")
    define_steps(fleet, extra=extra)
    fleet.write(APPS, fleet.read(APPS).replace("api:1.0.0", "api:1.0.1"))
    planned = fleet.in_clone("plan", "--from", "HEAD")
    assert "each upgrade: drain, backup, deploy, fill, verify" in planned.stdout, planned.stdout
    assert '"upgrade": ["drain", "backup", "deploy", "fill", "verify"]' in \
        fleet.in_clone("plan", "--from", "HEAD", "--json").stdout
    commit = fleet.push("upgrade")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert [each[0] for each in steps(fleet, "alpha")] == ["drain", "backup", "fill"]
    folders = [each[4] for each in steps(fleet, "alpha")]
    assert folders[0] == folders[1] != folders[2]  # of the release that runs then
    story = done(fleet.command("replay", fleet.rollouts(commit)[0]["id"]))
    assert re.findall(r"runs (\w+) on alpha", story) == ["drain", "backup", "fill"], story
