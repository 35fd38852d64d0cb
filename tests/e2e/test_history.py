"""What a rollout leaves behind in the status branch: subjects, trailers, records, tags; and how
`aviary history` and `aviary status` show it. One eventful fleet for all tests, which only read."""

import json
import re
import subprocess

import pytest
import yaml

from tests.lib.fleet import (CLIENTS, FINAL, INVENTORY, POLICY, WITH_API, Fleet, environment, tell,
                             wait_for)
from tests.lib.gitserver import git

ID = r"\d{8}-\d{6}-[0-9a-f]{7}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
VERBS = ("onboard", "deploy", "rollback", "hold", "rollout", "leader", "key")
TRAILERS = {"Rollout", "Client", "Stage", "Action", "Result", "Source-Commit", "Release", "Plan",
            "Duration", "Rollback-Tag", "Backup", "Author", "Approved-By", "Signed-By", "Reason"}


def live(fleet):
    """An onboarding, an upgrade, a bad one, its revert, a refused commit, one superseded by a
    revert of the upgrade."""
    commits = {"first": fleet.head()}
    fleet.start().settle()
    commits["upgrade"] = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("beta", "api:1.0.2")
    commits["bad"] = fleet.upgrade("1.0.2")
    fleet.settle()
    commits["bad-reverted"] = fleet.revert(commits["bad"])
    fleet.settle()
    fleet.edit(POLICY, "verify:", "verfy:")
    commits["refused"] = fleet.push("A mistake")
    fleet.settle()
    fleet.edit(POLICY, "verfy:", "verify:")
    fleet.hold_back("alpha")
    commits["superseded"] = fleet.upgrade("1.0.3")
    fleet.wait_for_activation("alpha", commits["superseded"])
    fleet.edit(INVENTORY, "delta.example.org", "delta.example.net")
    commits["last"] = fleet.upgrade("1.0.0")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.let_go("alpha")
    fleet.settle()
    return commits


@pytest.fixture(name="world", scope="module")
def make_world(fleets, checks):
    fleet = Fleet(fleets / "history", checks).make()
    try:
        commits = live(fleet)
        yield fleet, commits
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()


@pytest.fixture(name="fleet", scope="module")
def get_fleet(world):
    return world[0]


@pytest.fixture(name="commits", scope="module")
def get_commits(world):
    return world[1]


# ---- the branch ------------------------------------------------------------------------------


def test_the_rollouts_ended_as_they_should(fleet, commits):
    ends = {name: fleet.ends(commit) for name, commit in commits.items()}
    assert ends == {"first": ["succeeded"], "upgrade": ["succeeded"], "bad": ["failed"],
                    "bad-reverted": ["succeeded"], "refused": ["refused"],
                    "superseded": ["superseded"], "last": ["succeeded"]}


def test_the_branch_begins_on_its_own_and_says_what_it_is(fleet):
    assert git(fleet.bare, "rev-list", "--count", "--merges", "deployments") == "0"
    base = subprocess.run(["git", "-C", str(fleet.bare), "merge-base", "main", "deployments"],
                          env=environment(), stdout=subprocess.PIPE, check=False)
    assert base.stdout == b""
    assert "Aviary" in fleet.show("README.md")
    assert set(git(fleet.bare, "ls-tree", "--name-only", "deployments").split()) <= {
        "README.md", "clients", "rollouts", "events", "digest-key.sops.yaml", "leader.yaml"}


def test_subjects_are_a_verb_a_name_and_what(fleet):
    for fact in fleet.history():
        match = re.fullmatch(r"([a-z]+)\(([^()]+)\): (.+)", fact.subject)
        assert match and match[1] in VERBS, fact
        if fact.client:
            assert match[2] == fact.client
        elif match[1] == "rollout":
            assert re.fullmatch(ID, match[2]) and match[2] == fact.rollout


def test_the_author_is_the_one_of_the_configuration(fleet):
    authors = git(fleet.bare, "log", "--format=%an <%ae>|%cn <%ce>", "deployments").splitlines()
    assert set(authors) == {"Aviary <aviary@example.org>|Aviary <aviary@example.org>"}


def test_git_itself_reads_the_trailers(fleet):
    for fact in fleet.history():
        message = git(fleet.bare, "log", "-1", "--format=%B", fact.id)
        parsed = subprocess.run(["git", "interpret-trailers", "--parse"], input=message,
                                env=environment(), stdout=subprocess.PIPE, check=True,
                                encoding="utf-8").stdout.splitlines()
        assert parsed == [f"{key}: {value}" for key, value in fact.pairs]
        assert {key for key, _ in fact.pairs} <= TRAILERS


def test_facts_of_a_client_have_the_trailers_of_the_design(fleet):
    for fact in fleet.history():
        if not fact.client or fact.subject.endswith(": ended"):
            continue
        assert re.fullmatch(ID, fact.rollout)
        assert fact.stage == ("canary" if fact.client == "alpha" else "production")
        assert fact.action in ("onboard", "upgrade", "rollback")
        assert re.fullmatch("[0-9a-f]{40}", fact.source_commit)
        assert re.fullmatch("sha256:[0-9a-f]{64}", fact.release)
        if fact.result in ("started", *FINAL):
            assert re.fullmatch("p-[0-9a-f]{8}", fact.plan)
            assert fact.author == "Eva"
        if fact.result in FINAL:
            assert re.fullmatch(r"[0-9hms]+", fact.duration)


def test_each_touched_client_has_one_intent_and_then_one_final_result(fleet, commits):
    for commit in commits.values():
        intents, finals = {}, {}
        for number, fact in enumerate(fleet.facts(commit)):
            if fact.client and fact.result == "started":
                assert fact.subject.endswith(": started")
                assert intents.setdefault(fact.client, number) == number
            elif fact.client and fact.result in FINAL:
                assert finals.setdefault(fact.client, number) == number
        assert intents.keys() == finals.keys()
        assert all(intents[client] < finals[client] for client in intents)
        rollouts = {fact.rollout for fact in fleet.facts(commit)}
        assert intents.keys() == {each.client for each in fleet.activations()
                                  if each.rollout in rollouts}


def test_progress_carries_no_result(fleet):
    for fact in fleet.history():
        if fact.subject.endswith(": going back") or re.search(r": stage \w+ \w+$", fact.subject):
            assert fact.result == ""


def test_the_verb_tells_the_action(fleet, commits):
    verbs = {"onboard": "onboard", "upgrade": "deploy", "rollback": "rollback"}
    for fact in fleet.history():
        if fact.result == "started" and fact.client:
            assert fact.subject.startswith(verbs[fact.action] + "(")
    subjects = [fact.subject for fact in fleet.facts(commits["upgrade"])]
    assert "deploy(alpha): api 1.0.0 -> 1.0.1: started" in subjects
    assert "deploy(alpha): api 1.0.0 -> 1.0.1: succeeded" in subjects
    subjects = [fact.subject for fact in fleet.facts(commits["bad"])]
    assert "rollback(beta): api 1.0.2 -> 1.0.1" in subjects


def test_a_client_succeeds_only_when_its_stage_has_ended(fleet, commits):
    subjects = [fact.subject for fact in fleet.facts(commits["upgrade"])]
    rollout = fleet.rollout(commits["upgrade"])["id"]
    order = [subjects.index(f"rollout({rollout}): started"),
             subjects.index("deploy(alpha): api 1.0.0 -> 1.0.1: started"),
             subjects.index(f"rollout({rollout}): stage canary baking"),
             subjects.index("deploy(alpha): api 1.0.0 -> 1.0.1: succeeded"),
             subjects.index("deploy(beta): api 1.0.0 -> 1.0.1: started"),
             subjects.index(f"rollout({rollout}): succeeded")]
    assert order == sorted(order)


def test_clients_that_were_never_started_are_told_in_the_last_record_only(fleet, commits):
    assert "gamma" not in fleet.results(commits["bad"])
    production = fleet.rollout(commits["bad"])["stages"][1]
    assert production["clients"]["gamma"]["state"] == "skipped"
    assert fleet.results(commits["superseded"]) == {"alpha": ["superseded"]}
    production = fleet.rollout(commits["superseded"])["stages"][1]
    assert {member["state"] for member in production["clients"].values()} == {"superseded"}


def test_reasons_name_the_place_of_the_change(fleet, commits):
    (fact,) = [fact for fact in fleet.facts(commits["upgrade"])
               if fact.client == "beta" and fact.result == "started"]
    assert fact.all("Reason") == ["api 1.0.0 -> 1.0.1 (docker/apps.yml:4)"]


# ---- tags ------------------------------------------------------------------------------------


def test_tags_are_annotated_and_stand_where_they_say(fleet, commits):
    tags = fleet.tags()
    assert {kind for kind, _ in tags.values()} == {"tag"}
    deploy = {target for name, (_, target) in tags.items() if name.startswith("deploy/")}
    assert deploy == {commits[name] for name in ("first", "upgrade", "bad-reverted", "last")}
    for fact in fleet.history():
        if fact.result == "started" and fact.rollback_tag:
            client, rollout = fact.rollback_tag.removeprefix("rollback/").split("/")
            assert (client, rollout) == (fact.client, fact.rollout)
            before = yaml.safe_load(fleet.show(f"clients/{client}.yaml", fact.id + "^"))
            assert tags[fact.rollback_tag] == ("tag", before["known_good"]["commit"])
            assert before["known_good"]["release"] in git(
                fleet.bare, "for-each-ref", "--format=%(contents)",
                f"refs/tags/{fact.rollback_tag}")


def test_an_onboarding_has_no_rollback_tag(fleet, commits):
    rollout = fleet.rollout(commits["first"])["id"]
    assert not any(name.startswith("rollback/") and name.endswith(rollout)
                   for name in fleet.tags())


# ---- records ---------------------------------------------------------------------------------


def test_records_of_clients_have_the_keys_of_the_design(fleet, commits):
    for client in CLIENTS:
        record = fleet.record(client)
        assert record["client"] == client and record["state"] == "healthy"
        assert record["stage"] == ("canary" if client == "alpha" else "production")
        assert re.fullmatch("sha256:[0-9a-f]{64}", record["release"])
        assert record["release_key"] == "k1"
        assert record["known_good"] == {key: record[key] for key in (
            "release", "release_key", "commit", "rollout")}
        assert record["good"][0] == record["known_good"]
        assert record["release"] == fleet.state_of(client)["release"]
        assert re.fullmatch(TIME, record["updated"].strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert fleet.record("alpha")["apps"] == {"api": "1.0.0", "web": "2.0.0"}
    assert fleet.record("alpha")["commit"] == commits["last"]
    assert fleet.record("epsilon")["commit"] == commits["first"]


def test_times_and_digests_are_plain_words_in_the_file(fleet):
    text = fleet.show("clients/alpha.yaml")
    assert re.search(rf"^updated: {TIME}$", text, re.M)
    assert re.search(r"^release: sha256:[0-9a-f]{64}$", text, re.M)


def test_records_of_rollouts_have_the_keys_of_the_design(fleet, commits):
    records = {record["commit"]: record for record in fleet.rollouts()}
    for name in ("first", "upgrade", "bad", "superseded", "last"):
        rollout = records[commits[name]]
        assert re.fullmatch(ID, rollout["id"]) and rollout["id"].endswith(commits[name][:7])
        assert rollout["commit"] == commits[name]
        assert re.fullmatch("p-[0-9a-f]{8}", rollout["plan"])
        assert rollout["started"] <= rollout["finished"]
        assert [stage["name"] for stage in rollout["stages"]] == ["canary", "production"]
        for stage in rollout["stages"]:
            for client, member in stage["clients"].items():
                assert client in CLIENTS and member["action"] in ("onboard", "upgrade", "rollback")
                assert member["reasons"], member
                assert re.fullmatch("sha256:[0-9a-f]{64}", member["to"])


def test_ids_of_rollouts_go_up(fleet):
    ids = [fact.rollout for fact in fleet.history() if fact.result == "started" and not fact.client]
    ids += [fact.rollout for fact in fleet.history() if fact.result == "refused"]
    stamps = [each[:15] for each in ids]
    assert len(set(stamps)) == len(stamps)
    assert sorted(ids[:-1]) == ids[:-1]


def test_the_leader_is_recorded_once(fleet):
    leader = yaml.safe_load(fleet.show("leader.yaml"))
    assert leader["epoch"] == 1 and leader["instance"]
    subjects = [each for each in fleet.subjects() if each.startswith("leader(")]
    assert subjects == [f"leader({leader['instance']}): epoch 1"]
    assert {fleet.state_of(client)["epoch"] for client in CLIENTS} == {1}


def test_the_hosts_say_which_rollout_they_were_touched_by(fleet, commits):
    state = fleet.state_of("alpha")
    assert state["phase"] == "active" and state["commit"] == commits["last"]
    assert state["rollout"] == fleet.rollout(commits["last"])["id"]
    current = (fleet.root("alpha") / "current").resolve()
    assert current.parent == fleet.root("alpha") / "releases"
    assert current.name == state["release"].removeprefix("sha256:")[:16]


# ---- the commands and the API ----------------------------------------------------------------


def test_history_shows_the_newest_first(fleet):
    lines = fleet.command("history", check=True).stdout.splitlines()
    assert [line.split("  ", 2)[2] for line in lines] == fleet.subjects()[::-1]


def test_history_of_a_client_shows_only_its_own(fleet):
    lines = fleet.command("history", "beta", check=True).stdout.splitlines()
    mine = [fact.subject for fact in fleet.history() if fact.client == "beta"]
    assert [line.split("  ", 2)[2] for line in lines] == mine[::-1]


def test_history_as_json(fleet):
    found = json.loads(fleet.command("history", "--json", check=True).stdout)["commits"]
    assert [each["commit"] for each in found] == [fact.id for fact in fleet.history()[::-1]]
    for each, fact in zip(found, fleet.history()[::-1]):
        assert each["subject"] == fact.subject and re.fullmatch(TIME, each["time"])
        assert [(pair["key"], pair["value"]) for pair in each["trailers"]] == fact.pairs


def test_history_needs_no_service_in_a_clone(fleet, tmp_path):
    git(".", "clone", "-q", fleet.bare, tmp_path / "clone")
    command = [fleet.command("history", check=True).args[0], "history"]
    done = subprocess.run(command, cwd=tmp_path / "clone", stdout=subprocess.PIPE, check=True,
                          env=environment(), encoding="utf-8")
    assert len(done.stdout.splitlines()) == len(fleet.history())


def test_explain_tells_the_newest_facts_and_their_reasons(fleet):
    found = json.loads(fleet.command("explain", "beta", "--all", "--json", check=True).stdout)
    mine = [fact for fact in fleet.history() if fact.client == "beta"][::-1]
    assert [each["subject"] for each in found["facts"]] == [fact.subject for fact in mine]
    assert [each["reasons"] for each in found["facts"]] == [fact.all("Reason") for fact in mine]
    assert found["record"]["client"] == "beta" and found["record"]["state"] == "healthy"
    newest = json.loads(fleet.command("explain", "beta", "--json", check=True).stdout)["facts"]
    assert newest == found["facts"][:20]
    for arguments, status, text in ((["nobody"], 1, "no client 'nobody'"), ([], 2, "usage: ")):
        done = fleet.command("explain", *arguments)
        assert done.returncode == status and text in done.stderr


def test_status_as_json(fleet, commits):
    status = json.loads(fleet.command("status", "--json", check=True).stdout)
    assert {"leader", "commit", "rollout", "held", "clients"} <= status.keys()
    assert status["commit"] == commits["last"] and status["held"] == []
    assert status["leader"]["epoch"] == 1
    assert status["rollout"]["id"] == fleet.rollout(commits["last"])["id"]
    assert [each["client"] for each in status["clients"]] == sorted(CLIENTS)


def test_status_for_people(fleet, commits):
    text = fleet.command("status", check=True).stdout
    assert text.startswith(f"Rollout {fleet.rollout(commits['last'])['id']}   succeeded")
    for client in CLIENTS:
        assert re.search(rf"^{client} +\w+ +healthy", text, re.M)


def test_the_api_shows_records_as_the_branch_has_them(fleet, commits):
    api = fleet.service.api
    listed = [each["id"] for each in api("rollouts")["rollouts"]]
    assert listed == [each["id"] for each in fleet.rollouts()][::-1]
    assert api(f"rollouts/{listed[0]}")["commit"] == commits["last"]
    for client in api("clients")["clients"]:
        record = fleet.record(client["client"])
        assert client["release"] == record["release"] and client["apps"] == record["apps"]
        assert client["known_good"] == record["known_good"]
        assert api(f"clients/{client['client']}") == client
    for path in ("rollouts/nothing", "clients/nobody"):
        status, body = fleet.service.ask(f"/api/v1/{path}")
        assert status == 404 and "error" in json.loads(body)


def test_the_api_wants_a_token(fleet):
    for token in (None, "wrong-token-of-nobody"):
        status, body = fleet.service.ask("/api/v1/status", token=token)
        assert status == 401 and "error" in json.loads(body)
    assert fleet.service.ask("/healthz", token=None)[0] == 200


def test_the_output_of_activate_is_kept_per_client(fleet, commits):
    rollout = fleet.rollout(commits["upgrade"])["id"]
    assert {path.name for path in (fleet.state / "logs" / rollout).iterdir()} == {
        f"{client}.log" for client in WITH_API}


def test_a_restart_finds_everything_as_it_was(fleet):
    tip = fleet.tip()
    fleet.service.stop()
    fleet.start().settle()
    (fact,) = fleet.history(since=tip)
    assert fact.subject.startswith("leader(") and fact.subject.endswith(": epoch 2")
    wait_for("the service to say so", lambda: fleet.service.api("status")["leader"]["epoch"] == 2)


def test_explain_says_what_holds_a_client_and_what_to_do(fleet):
    fleet.sick("alpha", "api:1.0.9")
    bad = fleet.upgrade("1.0.9")
    fleet.settle()
    text = fleet.command("explain", "alpha", check=True).stdout
    assert text.startswith("alpha   rolled-back   canary   api 1.0.0")
    assert f"of commit {bad[:7]} is not tried again by itself: " in text
    assert "alpha is sick" in text and "aviary retry alpha" in text
    assert "Runs its known good release" in text
    lines = [line for line in text.splitlines() if "alpha): " in line]
    assert "hold(alpha): release " in lines[0] and "rollback(alpha): " in lines[1]
