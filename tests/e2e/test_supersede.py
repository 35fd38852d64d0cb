"""A newer commit comes while a rollout runs: in each phase, and of each kind."""

from tests.lib.fleet import APPS, CLIENTS, INVENTORY, POLICY, WITH_API


def edit_bake(fleet, old, new):
    fleet.edit(POLICY, f"bake: {old}", f"bake: {new}")


def stages(fleet):
    """{stage: state} of the rollout that runs."""
    return {stage["name"]: stage["state"]
            for stage in fleet.service.api("status")["rollout"]["stages"]}


def member(fleet, client):
    for stage in fleet.service.api("status")["rollout"]["stages"]:
        if client in stage["clients"]:
            return stage["clients"][client]["state"]
    return None


def assert_one_commit_for_each_rollout(fleet):
    seen = {}
    for each in fleet.activations():
        if each.action != "rollback":
            assert seen.setdefault(each.rollout, each.commit) == each.commit


def assert_all_run(fleet, commit, version):
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]
    assert fleet.versions() == dict.fromkeys(WITH_API, version)
    assert_one_commit_for_each_rollout(fleet)


def member_states(rollout):
    return {client: entry["state"] for stage in rollout["stages"]
            for client, entry in stage["clients"].items()}


def test_a_fix_does_not_wait_for_the_verification_of_the_bad_commit(fleet):
    fleet.edit(POLICY, "timeout: 1500ms", "timeout: 1h")
    fleet.sick("all", "api:1.0.1")
    bad = fleet.upgrade("1.0.1")
    fleet.wait_for("its verification", lambda: member(fleet, "alpha") == "verifying")
    fix = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(bad) == {"alpha": ["superseded"]}
    assert fleet.ends(bad) == ["superseded"]
    assert member_states(fleet.rollout(bad)) == dict.fromkeys(WITH_API, "superseded")
    assert_all_run(fleet, fix, "1.0.2")
    # the way back is to what was known good, not to what was never proved
    (started,) = [fact for fact in fleet.facts(fix)
                  if fact.client == "alpha" and fact.result == "started"]
    assert fleet.tags()[started.rollback_tag] == ("tag", fleet.rollouts()[0]["commit"])


def test_a_newer_commit_cuts_the_bake_short(fleet):
    edit_bake(fleet, "200ms", "1h")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: stages(fleet)["canary"] == "baking")
    edit_bake(fleet, "1h", "200ms")
    second = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(first) == {"alpha": ["superseded"]}
    assert fleet.ends(first) == ["superseded"]
    assert_all_run(fleet, second, "1.0.2")


def test_a_running_activation_ends_before_the_newer_commit_starts(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    second = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    assert fleet.facts(second) == []
    assert len(fleet.activations()) == 1
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.results(first) == {"alpha": ["superseded"]}
    order = [(each.what, each.commit) for each in fleet.activations("") if each.client == "alpha"]
    assert order == [("start", first), ("end", first), ("start", second), ("end", second)]
    assert_all_run(fleet, second, "1.0.2")


def test_a_newer_commit_in_production_starts_again_at_the_canary(fleet):
    fleet.hold_back("beta")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", first)
    second = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.let_go("beta")
    fleet.settle()
    results = fleet.results(first)
    assert results.pop("delta") in (["superseded"], ["succeeded"])  # of the same wave
    assert results == {"alpha": ["succeeded"], "beta": ["superseded"]}
    assert fleet.ends(first) == ["superseded"]
    assert fleet.activations(commit=second)[0].client == "alpha"
    assert_all_run(fleet, second, "1.0.2")


def test_a_revert_during_the_rollout_brings_the_canary_back(fleet):
    edit_bake(fleet, "200ms", "300ms")
    fleet.push("Bake a little longer")
    fleet.settle()
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    revert = fleet.revert(first)
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.results(first) == {"alpha": ["superseded"]}
    assert fleet.results(revert) == {"alpha": ["succeeded"]}
    assert [(each.client, each.action) for each in fleet.activations(commit=revert)] == [
        ("alpha", "rollback")]
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.0")


def test_three_commits_in_one_rollout_end_at_the_newest(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    middle = fleet.upgrade("1.0.2")
    newest = fleet.upgrade("1.0.3")
    fleet.wait_for("the newest to be seen",
                   lambda: fleet.service.api("status")["commit"] == newest)
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.ends(first) == ["superseded"]
    assert fleet.results(middle) == {}
    assert_all_run(fleet, newest, "1.0.3")


def test_a_newer_commit_that_is_refused_lets_the_rollout_go_on(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    fleet.edit(APPS, "{{#apps.web}}", "{{#apps.web}}{{mistake}}")
    bad = fleet.push("A mistake")
    fleet.wait_for("the refusal",
                   lambda: fleet.has_branch() and fleet.ends(bad) == ["refused"])
    fleet.let_go("alpha")
    fleet.settle()
    assert_all_run(fleet, first, "1.0.1")
    assert fleet.ends(bad) == ["refused"]
    assert fleet.results(bad) == {}


def test_a_newer_commit_about_other_clients_lets_the_rollout_go_on(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    fleet.edit(INVENTORY, "epsilon.example.org", "epsilon.example.net")
    second = fleet.push("Another domain for epsilon")
    fleet.wait_for("the newer commit to be seen",
                   lambda: fleet.service.api("status")["commit"] == second)
    fleet.let_go("alpha")
    fleet.settle()
    assert_all_run(fleet, first, "1.0.1")
    assert fleet.results(second) == {"epsilon": ["succeeded"]}
    assert fleet.ends(second) == ["succeeded"]


def test_a_new_client_does_not_supersede(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    fleet.add_client("zeta")
    second = fleet.push("Zeta comes")
    fleet.wait_for("the newer commit to be seen",
                   lambda: fleet.service.api("status")["commit"] == second)
    fleet.let_go("alpha")
    fleet.settle()
    assert_all_run(fleet, first, "1.0.1")
    assert fleet.results(second) == {"zeta": ["succeeded"]}


def test_a_failed_client_makes_a_superseded_rollout_failed(fleet):
    fleet.script("alpha", 'if [ "$AVIARY_ACTION" = rollback ]; then\n'
                 f'until [ -e "{fleet.control}/go" ]; do sleep 0.02; done\n'
                 'elif grep -q api:1.0.1 compose.yaml; then exit 1; fi\n')
    first = fleet.upgrade("1.0.1")
    fleet.wait_for("the way back", lambda: [
        each for each in fleet.activations() if each.action == "rollback"])
    second = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.put("go", "go")
    fleet.settle()
    assert fleet.results(first) == {"alpha": ["rolled-back"]}
    assert fleet.ends(first) == ["failed"]
    assert "hold(alpha): ended" in fleet.subjects()
    assert_all_run(fleet, second, "1.0.2")


def test_the_same_commit_again_changes_nothing_about_its_rollout(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    looks = fleet.service.api("status")["looks"]
    for _ in range(3):
        fleet.service.deliver(fleet.payload("0" * 40, first))
    fleet.wait_for("another look", lambda: fleet.service.api("status")["looks"] > looks)
    fleet.let_go("alpha")
    fleet.settle()
    assert_all_run(fleet, first, "1.0.1")
    assert len(fleet.activations()) == len(WITH_API)


def test_a_newer_commit_during_the_onboarding_supersedes_it(fresh_fleet):
    fleet = fresh_fleet
    first = fleet.head()
    fleet.hold_back("alpha")
    fleet.start(ready=False)
    fleet.wait_for_activation("alpha", first)
    second = fleet.upgrade("1.0.1")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.ends(first) == ["superseded"]
    assert fleet.results(second) == {client: ["succeeded"] for client in CLIENTS}
