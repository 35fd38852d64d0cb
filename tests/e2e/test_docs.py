"""README and docs/ are true: configurations are valid, commands and files that they name exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
         ROOT / "examples/infra-repo/README.md", ROOT / "templates/status-readme.md"]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def yaml_blocks():
    return [pytest.param(block, id=f"{name_of(page)}-{number}")
            for page in PAGES for number, block in enumerate(blocks(page, "yaml"), 1)]


def code_of(page):
    """Lines that look like something to type: indented, spans, blocks of shell."""
    text = page.read_text()
    indented = re.findall(r"^ {4,}(.+)$", text, re.M)
    spans = re.findall(r"`([^`\n]+)`", text)
    return "\n".join([*indented, *spans, *blocks(page, "sh")])


def run(*arguments, **options):
    return subprocess.run([AVIARY, *map(str, arguments)], check=False, capture_output=True,
                          text=True, **options)


def check_configuration(block, tmp_path):
    """As `aviary serve --check`, with the files that it names in a scratch folder."""
    if not shutil.which("ssh-keygen") or not shutil.which("age-keygen"):
        pytest.skip("ssh-keygen or age-keygen is not installed")
    keys = tmp_path / "keys"
    keys.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "id_ed25519"],
                   check=True)
    subprocess.run(["age-keygen", "-o", keys / "age-key.txt"], check=True, capture_output=True)
    public = (keys / "id_ed25519.pub").read_text().split()
    (keys / "known_hosts").write_text(f"forge.example.org {public[0]} {public[1]}\n")
    for path in re.findall(r"/etc/aviary/keys/([\w-]+)", block):
        if not (keys / path).exists():
            (keys / path).write_text("a secret of this test\n")
    for path in keys.iterdir():
        path.chmod(0o600)
    config = tmp_path / "aviary.yaml"
    config.write_text(block.replace("/etc/aviary/keys", str(keys)).replace(
        "/var/lib/aviary", str(tmp_path / "state")))
    done = run("serve", "-c", config, "--check")
    assert done.returncode == 0, done.stderr


def check_policy(block, tmp_path):
    """In a copy of the example, with a file for each that the block wants to release."""
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "examples/infra-repo", infra)
    (infra / "fleet.yaml").write_text(block)
    for entry in yaml.safe_load(block)["release"]["files"]:
        path = infra / entry["from"]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text("a file of this test\n")
    done = run("validate", infra)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", yaml_blocks())
def test_yaml_that_the_docs_show_is_valid(block, tmp_path):
    content = yaml.safe_load(block)
    if "repository" in content:
        check_configuration(block, tmp_path)
    elif "stages" in content and "version" in content:
        check_policy(block, tmp_path)
    else:
        assert content


def usage_of(command, arguments=""):
    """What its --help prints; that of the subcommand where there is one (aviary secrets set)."""
    words = arguments.split()
    below = run(command, words[0], "--help").stdout if command == "secrets" and words else ""
    return run(command, "--help").stdout + below


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_flags_that_the_docs_name_exist(page):
    commands = re.findall(r"^  (\w+)  ", run("--help").stdout, re.M)
    assert "plan" in commands
    named = re.findall(r"^(?:sudo -u aviary )?(?:build/)?aviary ([a-z]\w*)([^\n#|;&]*)",
                       code_of(page), re.M)
    lines = [text for text, _ in log_texts("info")]
    for command, arguments in named:
        if f"aviary {command}" in lines:
            continue
        assert command in (*commands, "man"), f"aviary {command}"
        for flag in re.findall(r"(?<!\w)(--?[a-z][a-z-]*)", arguments):
            assert flag in usage_of(command, arguments), f"aviary {command} {flag}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_targets_of_make_that_the_docs_name_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*)(?: [\w -]+)?:", makefile, re.M))
    phony = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    targets.update(" ".join(phony).split())
    for line in re.findall(r"^\s*(?:sudo )?make((?: [^\s#&|;]+)*)", code_of(page), re.M):
        for word in line.split():
            if "=" not in word and not word.startswith(("-", "build/", "'")):
                assert word in targets, f"make {word}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_the_docs_name_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
    folders = "base|git|templates|reconcile|server|tests|examples|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*\.(?:[chd]|md|py|sh|txt|html|service))`", text):
        assert (ROOT / path).exists() or (page.parent / path).exists(), path


def test_tests_that_the_promises_name_exist():
    page = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+)\.", page, re.M) == [str(number) for number in range(1, 11)]
    for part in page.split("\n## ")[1:]:
        assert part.count("- **How.**") == part.count("- **Not covered.**") == 1, part[:40]
    sources = "\n".join(path.read_text(encoding="utf-8")
                        for path in (ROOT / "tests/e2e").glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 8
    for name in named:
        assert f"def {name}(" in sources, name


def test_tests_that_the_scenarios_name_exist():
    """Each row of the page names one at least: a function, or words that the simulation prints."""
    page = (ROOT / "docs/scenarios.md").read_text(encoding="utf-8")
    functions = "\n".join(path.read_text(encoding="utf-8") for path in (
        *(ROOT / "tests/e2e").glob("test_*.py"), *(ROOT / "tests/unit").glob("test_*.c")))
    invariants = "\n".join(path.read_text(encoding="utf-8")
                           for path in (ROOT / "tests/sim").glob("promises*.c"))
    rows = [row for row in page.splitlines() if row.startswith("| ") and "---" not in row]
    rows = [row for row in rows if not row.startswith(("| bug |", "| ask |"))]
    assert len(rows) > 30
    for row in rows:
        cell = row.rstrip(" |").rsplit(" | ", 1)[1]
        named = re.findall(r"`(\w+)`", cell)
        assert named, row
        for name in named:
            assert f"def {name}(" in functions or f"{name}(void **state)" in functions, name
        for words in re.findall(r'"([^"]+)"', cell):
            assert words in invariants, words


def test_anchors_of_links_exist():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            there = (page.parent / target).resolve() if target else page
            heads = re.findall(r"^#+ (.+)$", there.read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in anchors, f"{name_of(page)}: {target}#{anchor}"


def test_what_is_not_there_yet_is_refused_by_name(tmp_path):
    """Each key of README's list that a file could hold."""
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "examples/infra-repo", infra)
    policy = infra / "fleet.yaml"
    text = policy.read_text()
    for extra in ("steps: {setup: {tofu: a}}", "steps: {setup: {remote: [a], scope: fleet}}",
                  "steps: {setup: {remote: [a], when: changed}}", "lifecycle: {offboard: []}",
                  "retention: {}"):
        policy.write_text(f"{text}\n{extra}\n")
        done = run("validate", infra)
        assert done.returncode == 1 and "not supported yet" in done.stdout + done.stderr, extra
    assert "kind: local" in text
    policy.write_text(text.replace("kind: local", "kind: ansible"))
    done = run("validate", infra)
    assert done.returncode == 1 and "not supported yet" in done.stdout + done.stderr


def test_log_lines_of_the_operations_page_are_those_of_the_program():
    page = (ROOT / "docs/operations.md").read_text()
    table = page.split("## At three in the morning", 1)[1].split("\nWhat `trouble", 1)[0]
    sources = "\n".join(path.read_text() for folder in ("server", "reconcile", "base", "git")
                        for path in (ROOT / folder).rglob("*.c"))
    named = [line for cell in re.findall(r"^\| (`.*?) \|", table, re.M)
             for line in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 15
    for line in named:
        text = re.sub(r" (\w+=)?\.\.\.$| \w+=.*$| \.\.\..*$", "", line)
        assert f'"{text}"' in sources, line


def log_texts(levels):
    """What the program writes to its log, with where: the strings of the first argument."""
    for folder in ("server", "reconcile", "base", "git"):
        for path in sorted((ROOT / folder).rglob("*.c")):
            text = path.read_text(encoding="utf-8")
            for call in re.finditer(rf"\blog_(?:{levels})\(", text):
                first = re.match(r'(?:[^",()]|"(?:[^"\\]|\\.)*")*', text[call.end():]).group()
                for string in re.findall(r'"((?:[^"\\]|\\.)*)"', first):
                    yield string, name_of(path)


def test_every_log_line_stands_in_the_operations_page():
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", page)
    found = list(log_texts("warn|err|info"))
    assert len(found) > 40
    for text, path in found:
        assert any(span == text or span.startswith(text + " ") for span in spans), (text, path)


def test_every_state_stands_in_the_operations_page():
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = page.split("## What the states ask of you", 1)[1].split("\n\n", 2)[1]
    source = (ROOT / "reconcile/status.c").read_text(encoding="utf-8")
    for kind in ("client", "stage", "rollout"):
        words = re.search(rf"\b{kind}_states\[.*?{{(.*?)}};", source, re.S)
        words = re.findall(r'"([a-z-]+)"', words.group(1))
        rows = "\n".join(re.findall(rf"^\| {kind} (.*?) \|", table, re.M))
        assert len(words) > 5
        for word in words:
            assert f"`{word}`" in rows, (kind, word)


def test_the_webhook_example_is_taken(fleet):
    """The block of docs/webhooks.md, with this service's address, secret and repository."""
    if not shutil.which("curl") or not shutil.which("openssl"):
        pytest.skip("curl or openssl is not installed")
    script = blocks(ROOT / "docs/webhooks.md", "sh")[0]
    for old, new in (("/etc/aviary/keys/webhook-secret", str(fleet.folder / "keys/webhook-secret")),
                     ("http://127.0.0.1:8750", fleet.service.url), ("ops/infra", "demo/infra")):
        assert old in script
        script = script.replace(old, new)
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True,
                          env=dict(os.environ, no_proxy="127.0.0.1"))
    assert done.stdout.startswith("HTTP/1.1 202 "), done.stdout


# What README names by example, and what stands there in a history.
EXAMPLES = {r"nextcloud 28\.0\.\d+ -> 28\.0\.\d+": ".+ -> .+", r"\.\.\.": ".+", "<id>": ".+",
            "<instance>": ".+", r"\balpha\b": r"[\w-]+", r"\bcanary\b": r"[\w-]+",
            "b1152b96": "[0-9a-f]{8}", "epoch 8": r"epoch \d+", "k1": r"k\d+"}


def pattern_of(subject):
    """The subject with its examples open: pieces between them are taken literally."""
    pieces = re.split("|".join(f"({example})" for example in EXAMPLES), subject)
    anything = list(EXAMPLES.values())
    parts = []
    for index, piece in enumerate(pieces):
        column = index % (len(anything) + 1)  # 0: text between two examples
        if piece is not None:
            parts.append(anything[column - 1] if column else re.escape(piece))
    return re.compile("".join(parts))


def subjects_of_readme():
    table = (ROOT / "README.md").read_text().split("| subject | what happened |", 1)[1]
    cells = re.findall(r"^\| (`.*?) \|", table.split("\n\n", 1)[0], re.M)
    subjects = [subject for cell in cells for subject in re.findall(r"`([^`]+)`", cell)]
    stages = [f"rollout(<id>): stage canary {state}" for state in ("failed", "skipped", "superseded")]
    return [pattern_of(subject) for subject in (*subjects, *stages)]


def test_every_subject_of_the_history_stands_in_readme(fleet):
    good = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("alpha", "api:1.0.2")
    bad = fleet.upgrade("1.0.2")
    fleet.settle()
    fleet.revert(bad)
    fleet.settle()
    fleet.revert(good)
    fleet.settle()
    patterns = subjects_of_readme()
    trailers = (ROOT / "README.md").read_text().split("Trailers, for ", 1)[1].split("\n\n")[0]
    facts = fleet.facts()
    assert {"deploy", "rollback", "hold", "rollout"} <= {fact.subject.split("(")[0] for fact in facts}
    for fact in facts:
        assert any(pattern.fullmatch(fact.subject) for pattern in patterns), fact.subject
        for key, _ in fact.pairs:
            assert f"`{key}`" in trailers, key
