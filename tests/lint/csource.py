"""What the lint scripts share: the tracked files, and C text without its comments and strings."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_TOKEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def tracked(*patterns):
    """Paths of git's index that exist, relative to the root."""
    done = subprocess.run(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE)
    names = done.stdout.decode(errors="surrogateescape").split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def _blank(match):
    token = match.group()
    if token[0] == "/":
        return re.sub(r"[^\n]", " ", token)
    return token[0] + "_" * (len(token) - 2) + token[-1]


def code_of(text):
    """Comments become blanks and the inside of strings underscores; lines stay where they are."""
    return _TOKEN.sub(_blank, text)


class Findings:
    """Prints `file:line: what` and counts."""

    def __init__(self):
        self.count = 0

    def add(self, name, line, what):
        self.count += 1
        print(f"{name}:{line}: {what}")

    def finish(self):
        sys.exit(3 if self.count else 0)  # 1 would be a traceback
