"""What a rollout leaves behind, in a form in which an interrupted run equals an undisturbed one."""

import yaml

TIMES = {"updated", "started", "finished", "bake_started"}


def plain(value, names):
    """A record without times, its ids by their order."""
    if isinstance(value, dict):
        return {names.get(key, key): plain(item, names) for key, item in value.items()
                if key not in TIMES}
    if isinstance(value, list):
        return [plain(item, names) for item in value]
    if isinstance(value, str):
        for name, short in names.items():
            value = value.replace(name, short)
    return value


def forget_reasons(value):
    if isinstance(value, dict):
        return {key: forget_reasons(item) for key, item in value.items()
                if key not in ("reason", "reasons")}
    return [forget_reasons(item) for item in value] if isinstance(value, list) else value


def outcome(site):
    """Everything that an interruption must not change."""
    rollouts = [yaml.safe_load(text) for _, text in sorted(site.records("rollouts").items())]
    names = {rollout["id"]: f"r{i}" for i, rollout in enumerate(rollouts)}
    facts = [(plain(fact.subject, names), fact.result, fact.client, fact.action, fact.stage)
             for fact in site.facts() if fact.result and not fact.subject.startswith("leader")]
    tags = site.git("for-each-ref", "--format=%(refname) %(*objectname)", "refs/tags").splitlines()
    hosts = {}
    for state_file in sorted(site.folder.glob("hosts/*/.aviary/state")):
        client = state_file.parent.parent.name
        state = site.host_state(client)
        hosts[client] = (state["phase"], state["release"], plain(state["rollout"], names),
                         site.running(client))
    return {"clients": {name: plain(yaml.safe_load(text), names)
                        for name, text in site.records("clients").items()},
            "rollouts": [plain(rollout, names) for rollout in rollouts], "facts": facts,
            "tags": sorted(plain(tag, names) for tag in tags), "hosts": hosts}


def settle(site, service, commit):
    site.wait_ended(commit, service=service)
    service.wait_status("rest", lambda now: now.get("idle"))
