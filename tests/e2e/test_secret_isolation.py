"""No release holds a secret of another client: leaks of all kinds are planted and must be found."""

import json
import os
import subprocess

import pytest

from tests.lib.fleet import AVIARY, environment, sops

POLICY = """\
version: 1
inventory: ansible/inventory/clients.yml
secrets:
  shared: {shared}
  client: "{client}"
  service: secrets/service.sops.yaml
stages:
  - {{name: canary, group: canary}}
  - {{name: production, group: production}}
release:
  files:
    - {{from: docker/apps.yml, to: compose.yaml}}
    - {{from: templates/env.mustache, to: .env, mode: "0600"}}
{files}
driver: {{kind: local, root: "/srv/{{{{client_name}}}}", activate: ["true"]}}
checks: {{web: {{tcp: "{{{{domain}}}}:80"}}}}
"""

HOST = """\
        {name}:
          client_name: {name}
          domain: {name}.example.org
          apps: [{app}]
          of: {of}
          pasted: "{pasted}"
"""

APPS = """\
services:
  web:
    image: registry.example.org/web:2.0.0
"""
ENV = "ADMIN={{secrets.admin}}\nMAIL={{secrets.mail_password}}\n"
SHARED = "mail_password: all-of-them\n"
OWN_FILE = "secrets/clients/{{client_name}}.sops.yaml"


class Infra:
    """Three clients, each with a secret `admin`; `mail_password` is for all."""

    def __init__(self, folder):
        self.folder = folder
        self.key = folder.parent / "key.txt"
        self.key.write_text(sops("keygen"))
        self.key.chmod(0o600)
        self.shared, self.client, self.files = "secrets/shared.sops.yaml", OWN_FILE, []
        self.of, self.pasted = {}, {}
        for name in "alpha", "beta", "gamma":
            self.encrypt(f"secrets/clients/{name}.sops.yaml", f"admin: admin-of-{name}\n")
        self.encrypt("secrets/shared.sops.yaml", SHARED)
        self.encrypt("secrets/service.sops.yaml", "token: of-the-service\n")
        self.put("docker/apps.yml", APPS)
        self.put("templates/env.mustache", ENV)

    def put(self, path, text):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def get(self, path):
        return (self.folder / path).read_text()

    def encrypt(self, path, plain):
        self.put(path, sops("encrypt", self.key, text=plain))

    def copy(self, source, target):
        self.put(target, self.get(source))

    def append(self, path, text):
        self.put(path, self.get(path) + text)

    def value(self, path, key):
        """The encrypted text of a value."""
        lines = self.get(path).splitlines()
        return next(line for line in lines if line.strip().startswith(key + ":")).split(": ", 1)[1]

    def write(self):
        files = "\n".join(f"    - {{{file}}}" for file in self.files)
        self.put("fleet.yaml", POLICY.format(shared=self.shared, client=self.client, files=files))
        hosts = {name: HOST.format(name=name, of=self.of.get(name, name),
                                   app="web" if name != "gamma" else "api, web",
                                   pasted=self.pasted.get(name, "")) for name in
                 ("alpha", "beta", "gamma")}
        self.put("ansible/inventory/clients.yml",
                 "all:\n  children:\n    canary:\n      hosts:\n" + hosts["alpha"]
                 + "    production:\n      hosts:\n" + hosts["beta"] + hosts["gamma"])

    def isolation(self):
        self.write()
        done = run("secrets", "isolation", self.folder, "--json")
        return done.returncode, json.loads(done.stdout)


def run(*arguments):
    return subprocess.run([AVIARY, *map(str, arguments)], env=environment(), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          timeout=120)


@pytest.fixture(name="infra")
def make_infra(tmp_path):
    return Infra(tmp_path / "infra")


def test_each_client_has_its_own_and_the_shared_ones(infra):
    status, answer = infra.isolation()
    assert status == 0 and answer["leaks"] == [] == answer["errors"], answer
    assert answer["clients"] == ["alpha", "beta", "gamma"]
    readers = {(s["file"], s["secret"]): (s["owner"], s["clients"]) for s in answer["secrets"]}
    assert readers == {
        ("secrets/shared.sops.yaml", "mail_password"): ("", ["alpha", "beta", "gamma"]),
        ("secrets/service.sops.yaml", "token"): ("-", []),
        **{(f"secrets/clients/{name}.sops.yaml", "admin"): (name, [name])
           for name in ("alpha", "beta", "gamma")}}
    done = run("secrets", "isolation", infra.folder)
    assert done.returncode == 0 and done.stdout.startswith("3 clients, 5 secrets, 0 leaks.\n")
    assert "  mail_password  x      x     x" in done.stdout
    assert "  token          .      .     .\n" in done.stdout
    assert run("validate", infra.folder).returncode == 0
    assert "admin-of-" not in done.stdout and "ENC[" not in done.stdout


# ---- leaks -------------------------------------------------------------------------------------
# Each plants one and returns (clients that have what is not theirs, what the errors must name).

def path_from_a_variable(infra):
    infra.client = "secrets/clients/{{of}}.sops.yaml"
    infra.of["beta"] = "alpha"
    return ["beta"], ["alpha", "admin"]


def path_from_a_variable_of_the_group(infra):
    infra.client = "secrets/clients/{{of}}.sops.yaml"
    infra.of = dict.fromkeys(("alpha", "beta", "gamma"), "gamma")
    return ["alpha", "beta"], ["gamma"]


def one_file_for_two_clients(infra):
    infra.client = "secrets/clients/{{of}}.sops.yaml"
    infra.of = {"alpha": "production1", "beta": "production1"}
    infra.encrypt("secrets/clients/production1.sops.yaml", "admin: both\n")
    return ["alpha", "beta"], ["production1"]


def one_file_by_a_section(infra):
    infra.client = "secrets/clients/{{#apps.web}}web{{/apps.web}}.sops.yaml"
    infra.encrypt("secrets/clients/web.sops.yaml", "admin: of all\n")
    return ["alpha", "beta", "gamma"], ["web"]


def folder_of_another_client(infra):
    infra.client = "secrets/{{of}}/app.sops.yaml"
    infra.of["gamma"] = "alpha"
    for name in "alpha", "beta":
        infra.encrypt(f"secrets/{name}/app.sops.yaml", f"admin: of-{name}\n")
    return ["gamma"], ["alpha"]


def name_with_an_ending(infra):
    infra.client = "secrets/clients/{{of}}-web.sops.yaml"
    infra.of["gamma"] = "beta"
    for name in "alpha", "beta":
        infra.encrypt(f"secrets/clients/{name}-web.sops.yaml", f"admin: of-{name}\n")
    return ["gamma"], ["beta"]


def file_of_the_service(infra):
    infra.client = "secrets/{{of}}.sops.yaml"
    infra.of = {"alpha": "clients/alpha", "beta": "service", "gamma": "clients/gamma"}
    infra.put("templates/env.mustache", "MAIL={{secrets.mail_password}}\n{{#secrets.token}}x{{/secrets.token}}\n")
    infra.encrypt("secrets/service.sops.yaml", "token: of-the-service\n")
    for name in "alpha", "gamma":
        infra.encrypt(f"secrets/clients/{name}.sops.yaml", "token: own\n")
    return ["beta"], ["service"]


def shared_is_the_file_of_a_client(infra):
    infra.shared = "secrets/clients/gamma.sops.yaml"
    infra.put("templates/env.mustache", "ADMIN={{secrets.extra}}\n")
    infra.encrypt("secrets/clients/gamma.sops.yaml", "extra: of-gamma\n")
    return ["alpha", "beta"], ["gamma"]


def shared_is_the_file_of_the_service(infra):
    infra.shared = "secrets/service.sops.yaml"
    infra.put("templates/env.mustache", "TOKEN={{secrets.token}}\n")
    return ["alpha", "beta", "gamma"], ["service"]


def shared_map_of_clients(infra):
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "clients: {alpha: {db: a}, beta: {db: b}}\n")
    infra.append("templates/env.mustache", "DB={{secrets.clients.alpha.db}}\n")
    return ["beta", "gamma"], ["clients.alpha.db", "alpha"]


def shared_key_named_as_a_client(infra):
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "beta: {password: secret-of-beta}\n")
    infra.append("templates/env.mustache", "DB={{secrets.beta.password}}\n")
    return ["alpha", "gamma"], ["beta.password"]


def section_over_another_client(infra):
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "clients: {gamma: {db: a, user: b}}\n")
    infra.append("templates/env.mustache", "{{#secrets.clients.gamma}}DB={{db}}\n{{/secrets.clients.gamma}}")
    return ["alpha", "beta"], ["clients.gamma.db"]


def inverted_section_over_another_client(infra):
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "clients: {gamma: {flag: true}}\n")
    infra.append("templates/env.mustache",
                 "{{^secrets.clients.gamma.flag}}OFF=1\n{{/secrets.clients.gamma.flag}}")
    return ["alpha", "beta"], ["clients.gamma.flag"]


def list_of_another_client(infra):
    infra.encrypt("secrets/shared.sops.yaml",
                  SHARED + "users:\n  alpha: [{name: eva, pass: one}, {name: ada, pass: two}]\n")
    infra.append("templates/env.mustache", "{{#secrets.users.alpha}}{{name}}={{pass}}\n{{/secrets.users.alpha}}")
    return ["beta", "gamma"], ["users.alpha.0.pass", "users.alpha.1.name"]


def all_clients_at_once(infra):
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "clients: {alpha: {db: a}, beta: {db: b}, gamma: {db: c}}\n")
    infra.append("templates/env.mustache", "".join(
        f"{name}={{{{secrets.clients.{name}.db}}}}\n" for name in ("alpha", "beta", "gamma")))
    return ["alpha", "beta", "gamma"], ["clients.alpha.db", "clients.beta.db", "clients.gamma.db"]


def file_of_a_client_in_every_release(infra):
    infra.files.append("from: secrets/clients/beta.sops.yaml, to: data.txt, template: false")
    return ["alpha", "gamma"], ["beta"]


def file_of_the_service_in_every_release(infra):
    infra.files.append("from: secrets/service.sops.yaml, to: data.txt, template: false")
    return ["alpha", "beta", "gamma"], ["token"]


def file_as_a_partial(infra):
    infra.append("templates/env.mustache", "{{> secrets/clients/alpha.sops.yaml}}\n")
    return ["beta", "gamma"], ["alpha", "admin"]


def file_outside_of_secrets(infra):
    infra.encrypt("docker/beta/db.sops.yaml", "password: of-beta\n")
    infra.files.append("from: docker/beta/db.sops.yaml, to: data.txt, template: false")
    return ["alpha", "gamma"], ["beta"]


def text_pasted_into_a_template(infra):
    text = infra.value("secrets/clients/alpha.sops.yaml", "admin")
    infra.append("templates/env.mustache", f"PASTED={text}\n")
    return ["beta", "gamma"], ["alpha", "admin"]


def text_pasted_into_the_inventory(infra):
    infra.pasted["gamma"] = infra.value("secrets/clients/alpha.sops.yaml", "admin")
    infra.append("templates/env.mustache", "PASTED={{pasted}}\n")
    return ["gamma"], ["alpha", "admin"]


def copy_of_a_file(infra):
    infra.copy("secrets/clients/alpha.sops.yaml", "secrets/clients/beta.sops.yaml")
    return ["alpha", "beta"], ["admin"]


def text_copied_into_another_file(infra):
    text = infra.value("secrets/clients/alpha.sops.yaml", "admin")
    infra.put("secrets/clients/gamma.sops.yaml", infra.get("secrets/clients/gamma.sops.yaml").replace(
        infra.value("secrets/clients/gamma.sops.yaml", "admin"), text))
    return ["alpha", "gamma"], ["admin"]


def encrypted_settings_of_nobody(infra):
    infra.encrypt("docker/extra.sops.yaml", "password: whose\n")
    infra.files.append("from: docker/extra.sops.yaml, to: data.txt, template: false")
    return ["alpha", "beta", "gamma"], ["docker/extra.sops.yaml"]


LEAKS = [path_from_a_variable, path_from_a_variable_of_the_group, one_file_for_two_clients,
         one_file_by_a_section, folder_of_another_client, name_with_an_ending, file_of_the_service,
         shared_is_the_file_of_a_client, shared_is_the_file_of_the_service, shared_map_of_clients,
         shared_key_named_as_a_client, section_over_another_client,
         inverted_section_over_another_client, list_of_another_client, all_clients_at_once,
         file_of_a_client_in_every_release, file_of_the_service_in_every_release,
         file_as_a_partial, file_outside_of_secrets, text_pasted_into_a_template,
         text_pasted_into_the_inventory, copy_of_a_file, text_copied_into_another_file,
         encrypted_settings_of_nobody]


@pytest.mark.parametrize("plant", LEAKS, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found(infra, plant):
    clients, words = plant(infra)
    status, answer = infra.isolation()
    assert status == 1
    assert sorted({leak["client"] for leak in answer["leaks"]}) == clients, answer["errors"]
    for leak in answer["leaks"]:
        assert leak["owner"] != leak["client"]
    told = json.dumps(answer["leaks"]) + json.dumps(answer["errors"])
    for word in words:
        assert word in told
    done = run("validate", infra.folder, "--json")
    assert done.returncode == 1
    errors = json.loads(done.stdout)["errors"]
    for client in clients:
        assert any(f"'{client}'" in error["what"] for error in errors), errors
    assert "admin-of-" not in done.stdout and "ENC[" not in done.stdout


def test_names_that_look_like_other_clients_are_no_leaks(infra):
    # an app's name, the own name, a client whose name begins like another's
    infra.encrypt("secrets/shared.sops.yaml", SHARED + "web: {password: one}\nalphabet: two\n")
    infra.encrypt("secrets/clients/alpha.sops.yaml", "admin: one\nalpha: {key: two}\n")
    infra.append("templates/env.mustache", "W={{secrets.web.password}}\nB={{secrets.alphabet}}\n")
    infra.client = "secrets/clients/{{of}}-web.sops.yaml"
    for name in "alpha", "beta", "gamma":
        infra.encrypt(f"secrets/clients/{name}-web.sops.yaml", f"admin: of-{name}\n")
    status, answer = infra.isolation()
    assert status == 0, answer["errors"]


def test_what_the_pattern_spells_out_is_no_name_of_a_client(infra):
    infra.client = "secrets/beta-{{client_name}}.sops.yaml"
    for name in "alpha", "beta", "gamma":
        infra.encrypt(f"secrets/beta-{name}.sops.yaml", f"admin: of-{name}\n")
    status, answer = infra.isolation()
    assert status == 0, answer["errors"]
    infra.client = "secrets/{{client_name}}/beta.sops.yaml"
    for name in "alpha", "beta", "gamma":
        infra.encrypt(f"secrets/{name}/beta.sops.yaml", f"admin: of-{name}\n")
    status, answer = infra.isolation()
    assert status == 0, answer["errors"]


def test_a_folder_that_is_no_infra_repo_is_told(tmp_path):
    done = run("secrets", "isolation", tmp_path)
    assert done.returncode == 1 and "fleet.yaml" in done.stdout
    assert run("secrets", "isolation", os.devnull).returncode == 1
