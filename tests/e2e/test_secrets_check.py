"""`aviary secrets check` and what `validate` takes from it: names are told, values never."""

import json
import shutil
import subprocess

import pytest

from tests.e2e.test_offline import EXAMPLE
from tests.lib.fleet import AVIARY
from tests.lib.sopsfiles import Person

CLIENT = "admin: {value}\nport: 8080\nflag: true\n"
VALUES = ("shared-by-two-clients", "only-in-alpha-1", "planted-in-plain-1", "xK3planted9Token")


class Repository:
    """The example, encrypted for a key of the test's own."""

    def __init__(self, folder):
        self.person = Person(folder)
        self.recipient = self.person.make_key()
        shutil.copytree(EXAMPLE, folder / "infra")
        self.write(".sops.yaml", "creation_rules:\n  - path_regex: secrets/.*\\.sops\\.yaml$\n"
                                 f"    age: {self.recipient}\n")
        for name in "alpha", "beta", "delta", "epsilon", "gamma":
            self.encrypt(f"secrets/clients/{name}.sops.yaml", "".join(
                f"{key}: {key}-of-{name}\n" for key in (
                    "database_password", "nextcloud_admin_password", "zitadel_masterkey")))
        self.encrypt("secrets/shared.sops.yaml", "smtp_password: mail-of-all-clients\n")

    def write(self, path, text):
        return self.person.write("infra/" + path, text)

    def encrypt(self, path, plain, *recipients):
        full = self.write(path, plain)
        more = ["--age", ",".join(recipients)] if recipients else []
        self.person.good("encrypt", "--config", self.person.path("infra/.sops.yaml"), "-i", *more,
                         full)

    def check(self, *arguments, key=True):
        env = {} if key else {"SOPS_AGE_KEY_FILE": ""}
        done = self.person.run("check", "infra", "--json", *arguments, env=env)
        text = done.stdout.decode()
        assert not [value for value in VALUES if value in text + done.stderr.decode()]
        assert "-of-alpha" not in text and "mail-of-all" not in text
        answer = json.loads(text)
        found = [(item["file"], item["line"], item["what"])
                 for item in answer["errors"] + answer["warnings"]]
        assert done.returncode == (1 if found else 0), done.stderr
        return answer, found

    def validate(self, *arguments):
        done = subprocess.run([AVIARY, "validate", "infra", "--json", *arguments], check=False,
                              cwd=self.person.folder, env=self.person.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(name="repository")
def make_repository(tmp_path):
    return Repository(tmp_path / "eva")


def words(found):
    return [" ".join(map(str, item)) for item in found]


def test_a_clean_repository_has_no_findings(repository):
    answer, found = repository.check()
    assert found == [] and answer["encrypted"] == answer["opened"] == 6
    answer, found = repository.check(key=False)
    assert found == [] and answer["opened"] == 0
    assert repository.validate() == (0, {"errors": [], "warnings": []})


@pytest.mark.parametrize("path", ["secrets/clients/alpha.sops.yaml", "secrets/new.env",
                                  "docker/extra.sops.yaml", "secrets/deep/er/x.sops.json"])
def test_files_that_are_not_encrypted(repository, path):
    repository.write(path, '{"password": "planted-in-plain-1"}\n' if path.endswith("json") else
                     "PASSWORD=planted-in-plain-1\n" if path.endswith("env") else
                     "password: planted-in-plain-1\n")
    _, found = repository.check(key=False)
    assert [item[0] for item in found] == [path]
    assert "not a SOPS file" in found[0][2]
    status, answer = repository.validate()
    assert status == 1 and path in [error["file"] for error in answer["errors"]]


def test_a_rule_says_which_files_are_secret(repository):
    repository.write(".sops.yaml", "creation_rules:\n  - path_regex: ^(private|secrets)/\n"
                                   f"    age: {repository.recipient}\n")
    repository.write("private/list.txt", "planted-in-plain-1\n")
    _, found = repository.check()
    assert [item[0] for item in found] == ["private/list.txt"]
    # a rule for every YAML file does not say so
    repository.write(".sops.yaml", f"creation_rules: [{{age: {repository.recipient}}}]\n")
    assert repository.check()[1] == []


def test_one_plain_value_in_an_encrypted_file(repository):
    path = repository.person.path("infra/secrets/shared.sops.yaml")
    path.write_text("added: planted-in-plain-1\n" + path.read_text())
    _, found = repository.check(key=False)
    assert [item[:2] for item in found] == [("secrets/shared.sops.yaml", 1)]


def test_recipients_that_differ_from_the_rules(repository, tmp_path):
    ada = Person(tmp_path / "ada").make_key()
    repository.encrypt("secrets/clients/beta.sops.yaml", CLIENT.format(value="only-in-alpha-1"),
                       repository.recipient, ada)
    _, found = repository.check()
    assert len(found) == 1 and found[0][0] == "secrets/clients/beta.sops.yaml"
    assert f"it has {ada}" in found[0][2]
    status, answer = repository.validate()
    assert status == 1  # beta lacks secrets that templates use
    assert [item["file"] for item in answer["warnings"]] == ["secrets/clients/beta.sops.yaml"]
    repository.write(".sops.yaml", "creation_rules:\n  - path_regex: secrets/.*\\.sops\\.yaml$\n"
                                   f"    age: '{repository.recipient},{ada}'\n")
    _, found = repository.check()
    assert len(found) == 5 and all(f"it lacks {ada}" in item[2] for item in found)


def test_files_that_the_key_does_not_open(repository, tmp_path):
    ada = Person(tmp_path / "ada")
    repository.encrypt("secrets/clients/gamma.sops.yaml", CLIENT.format(value="only-in-alpha-1"),
                       ada.make_key())
    _, found = repository.check()
    texts = words(found)
    assert any("gamma" in text and "no identity opens it" in text for text in texts)
    status, answer = repository.validate("--age-key-file", "key.txt")
    assert status == 1
    assert any(error["file"] == "secrets/clients/gamma.sops.yaml"
               and "no identity" in error["what"] for error in answer["errors"])


def test_a_file_that_was_changed_by_hand(repository):
    path = repository.person.path("infra/secrets/clients/alpha.sops.yaml")
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[1:]))
    assert any("MAC" in text for text in words(repository.check()[1]))
    assert repository.check(key=False)[1] == []
    status, answer = repository.validate("--age-key-file", "key.txt")
    assert status == 1 and any("MAC" in error["what"] for error in answer["errors"])


def test_values_that_two_clients_share_are_told_by_name(repository):
    for name in "alpha", "beta", "gamma":
        repository.encrypt(f"secrets/clients/{name}.sops.yaml", CLIENT.format(
            value="only-in-alpha-1" if name == "alpha" else "shared-by-two-clients"))
    _, found = repository.check()
    assert len(found) == 1
    assert found[0][0] == "secrets/clients/gamma.sops.yaml"
    assert found[0][2] == "'admin' has the same value as 'admin' of secrets/clients/beta.sops.yaml"
    assert repository.check(key=False)[1] == []  # only a key tells
    shutil.copy(repository.person.path("infra/secrets/clients/beta.sops.yaml"),
                repository.person.path("infra/secrets/clients/gamma.sops.yaml"))
    assert any("'admin' has the same value" in text
               for text in words(repository.check(key=False)[1]))


PLAIN = {
    "ansible/group_vars/web.yml": ("db_password: planted-in-plain-1\n", 1, "db_password"),
    "docker/.env": ("# settings\nexport API_TOKEN='xK3planted9Token'\n", 2, "API_TOKEN"),
    "docker/app.ini": ("[db]\nadmin_secret = planted-in-plain-1 # old\n", 2, "admin_secret"),
    "app.json": ('{\n  "apiKey": "xK3planted9Token"\n}\n', 2, "apiKey"),
    "notes.txt": ("eva:\nAGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SQJ7S3D\n",
                  2, "a private age key"),
    "ansible/id": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", 1, "a private key"),
    "deploy.sh": ("curl -H 'token: ghp_" + "a1B2" * 9 + "'\n", 1, "a GitHub token"),
}


@pytest.mark.parametrize("path", PLAIN)
def test_keys_and_passwords_in_plain_files(repository, path):
    text, line, what = PLAIN[path]
    repository.write(path, text)
    _, found = repository.check()
    assert [item[:2] for item in found] == [(path, line)] and what in found[0][2], found
    status, answer = repository.validate()
    assert path in [item["file"] for item in answer["errors"] + answer["warnings"]]
    assert status == (1 if answer["errors"] else 0)
    lines = text.splitlines(True)
    lines.insert(line - 1, "# it is public: aviary:allow\n")
    repository.write(path, "".join(lines))
    assert repository.check()[1] == []


@pytest.mark.parametrize("text", [
    "password: \"{{secrets.db}}\"\n", "password: ${DB_PASSWORD}\n", "password: ''\n",
    "password_file: /run/secrets/db\n", "token: short\n", "password: /run/secrets/db-password\n",
    "# password: planted-in-plain-1\n", "token: ENC[AES256_GCM,data:a]\n", "secrets: [one-of-them]\n",
    "tokenizer: something-long-here\n", "password: a sentence of some words\n",
    "password: !vault |\n", "password: <secret:db_password>\n"])
def test_what_only_looks_like_a_password(repository, text):
    repository.write("ansible/group_vars/web.yml", text)
    assert repository.check()[1] == []


def test_the_answer_for_people(repository):
    done = repository.person.run("check", "infra")
    assert done.returncode == 0
    assert done.stdout.startswith(b"6 encrypted files (6 opened), ")
    assert done.stdout.endswith(b"others: nothing found.\n")
    repository.write("docker/app.ini", "password = planted-in-plain-1\n")
    done = repository.person.run("check", "infra")
    assert done.returncode == 1
    assert b"1 finding.\ndocker/app.ini:1: warning: 'password' looks like" in done.stdout


def test_a_folder_without_a_fleet_is_looked_at_too(repository):
    repository.person.path("infra/fleet.yaml").unlink()
    assert repository.check()[1] == []
    repository.write("secrets/x.yaml", "a: planted-in-plain-1\n")
    assert len(repository.check()[1]) == 1
    assert repository.person.run("check", "nowhere").returncode == 1
