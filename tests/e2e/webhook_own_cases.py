#!/usr/bin/python3
"""Writes deliveries of our own, in the form of the shared fixtures (cases.json, bodies, headers).

usage: tests/e2e/webhook_own_cases.py DIR

One delivery or more for each row of the forges' specification: headers and signatures, delivery
behaviour, members of push events, tests and pings, and the table of answers. Everything in them was
written for this project, so the suite stands without anybody's payloads.
"""

import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path
from urllib.parse import quote_plus

SECRET = "own-secret-of-the-tests"
SIGNING_KEY = bytes(range(32))
SIGNING_TOKEN = "whsec_" + base64.b64encode(SIGNING_KEY).decode()
CLOCK = 1798761600
REPOSITORY, BRANCH = "org/infra", "main"
OLD, NEW = "1" * 40, "2" * 40
ZERO = "0" * 40
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def mac(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def git_push(ref=f"refs/heads/{BRANCH}", before=OLD, after=NEW, repository=REPOSITORY, **more):
    """A push as GitHub, Gitea and Forgejo tell it."""
    return {"ref": ref, "before": before, "after": after, "created": before == ZERO,
            "deleted": after == ZERO, "forced": False, "commits": [],
            "repository": {"full_name": repository, "default_branch": BRANCH,
                           "html_url": f"https://forge.example/{repository}"},
            "pusher": {"name": "eva"}, **more}


def lab_push(ref=f"refs/heads/{BRANCH}", before=OLD, after=NEW, repository=REPOSITORY, **more):
    return {"object_kind": "push", "event_name": "push", "ref": ref, "before": before,
            "after": after, "checkout_sha": None if after == ZERO else after,
            "project": {"path_with_namespace": repository,
                        "web_url": f"https://lab.example/{repository}"}, "commits": [], **more}


def cloud_side(name, sha, kind="branch"):
    return {"type": kind, "name": name, "target": {"type": "commit", "hash": sha}}


def cloud_push(*changes, repository=REPOSITORY):
    return {"push": {"changes": [{"old": old, "new": new} for old, new in changes]},
            "repository": {"full_name": repository}, "actor": {"nickname": "eva"}}


def dc_push(*changes, project="ORG", slug="infra"):
    return {"eventKey": "repo:refs_changed", "actor": {"name": "eva"},
            "repository": {"slug": slug, "project": {"key": project}},
            "changes": [{"ref": {"id": ref, "type": "BRANCH"}, "refId": ref, "fromHash": old,
                         "toHash": new, "type": "UPDATE"} for ref, old, new in changes]}


class Writer:
    """Writes deliveries and their index."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.cases = []

    def add(self, forge, name, status, headers, body, why=None, auth=None):
        path = self.folder / forge / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(name + ".body").write_bytes(body)
        lines = "".join(f"{key}: {value}\n" for key, value in headers)
        path.with_name(name + ".headers").write_text(lines, encoding="utf-8")
        self.cases.append({
            "forge": forge, "body": f"{forge}/{name}.body", "headers": f"{forge}/{name}.headers",
            "status": [status], "why": why or name, "auth": auth,
            "tracked": {"repository": REPOSITORY, "branch": BRANCH}})

    def finish(self):
        (self.folder / "cases.json").write_text(json.dumps({
            "secret": SECRET, "gitlab_signing_token": SIGNING_TOKEN,
            "gitlab_signing_clock": CLOCK, "cases": self.cases}, indent=1))


def encode(body):
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def form_of(text):
    return b"payload=" + quote_plus(text).encode()


# ---- GitHub ----------------------------------------------------------------------------------------

def github(out, name, status, body, event="push", media=JSON, signature=None, drop=(), more=()):
    body = encode(body)
    headers = [("Content-Type", media), ("User-Agent", "GitHub-Hookshot/0123abc"),
               ("X-GitHub-Event", event), ("X-GitHub-Delivery", f"own-{name}"),
               ("X-Hub-Signature-256", signature if signature is not None else
                "sha256=" + mac(body)), *more]
    out.add("github", name, status, [pair for pair in headers if pair[0] not in drop], body)


def github_cases(out):
    text = json.dumps(git_push())
    good = "sha256=" + mac(text.encode())
    github(out, "push", 202, text)
    github(out, "push-created", 202, git_push(before=ZERO))
    github(out, "push-approval", 202, git_push(f"refs/tags/approve/20261124-101542-{OLD[:7]}", ZERO))
    github(out, "push-enterprise", 202, text, more=[("X-GitHub-Enterprise-Host", "ghe.example"),
                                                    ("X-GitHub-Enterprise-Version", "3.17.0")])
    github(out, "push-upper-case-repository", 202, git_push(repository="ORG/Infra"))
    github(out, "upper-case-hex", 202, text, signature="sha256=" + mac(text.encode()).upper())
    github(out, "form", 202, form_of(text), media=FORM)
    github(out, "form-more-members", 202, b"a=%20&" + form_of(text) + b"&b", media=FORM)
    github(out, "media-parameter", 202, text, media="Application/Json; charset=UTF-8")
    github(out, "odd-decoration", 202, git_push(commits=7, sender=None, head_commit=[], n=1e300))
    for event in ("pull_request", "create", "delete", "status", "deployment_status", "not-yet"):
        github(out, f"event-{event}", 204, {"ref": BRANCH}, event=event)
    github(out, "ping", 204, {"zen": "z", "hook_id": 1, "hook": {}}, event="ping")
    ignored = {
        "branch-deleted": git_push(after=ZERO), "tag": git_push(f"refs/tags/{BRANCH}"),
        "tag-deleted": git_push("refs/tags/approve/x", after=ZERO),
        "other-branch": git_push("refs/heads/next"),
        "branch-ends-alike": git_push(f"refs/heads/feature/{BRANCH}"),
        "branch-other-case": git_push("refs/heads/Main"),
        "status-branch": git_push("refs/heads/deployments"),
        "other-repository": git_push(repository="org/other"),
        "repository-ends-alike": git_push(repository="infra"),
        "nothing-moved": git_push(before=NEW), "other-ref": git_push("refs/notes/commits"),
        "odd-ref": git_push("refs/heads/$(id);`id`|&'\"<b>%s%n{{x}}#\u00fc\U0001f600"),
    }
    for name, body in ignored.items():
        github(out, name, 204, body)
    refused = {
        "signature-missing": {"drop": ["X-Hub-Signature-256"]},
        "signature-twice": {"more": [("x-hub-signature-256", good)]},
        "signature-empty": {"signature": "sha256="}, "signature-bare": {"signature": good[7:]},
        "signature-cut": {"signature": good[:-2]}, "signature-longer": {"signature": good + "00"},
        "signature-no-hex": {"signature": good[:-1] + "g"},
        "signature-zero": {"signature": "sha256=" + "0" * 64},
        "signature-other-secret": {"signature": "sha256=" + mac(text.encode(), "other")},
        "signature-sha1": {"drop": ["X-Hub-Signature-256"], "more": [
            ("X-Hub-Signature", "sha1=" + hmac.new(SECRET.encode(), text.encode(), "sha1").hexdigest())]},
    }
    for name, how in refused.items():
        github(out, name, 401, text, **how)
    github(out, "form-signed-inside", 401, form_of(text), media=FORM, signature=good)
    for name, media in {"text": "text/plain", "multipart": "multipart/form-data; boundary=x",
                        "xml": "application/xml", "json-longer": "application/jsonp"}.items():
        github(out, f"media-{name}", 415, text, media=media)
    github(out, "media-missing", 415, text, drop=["Content-Type"])
    github(out, "media-wrong-and-forged", 415, text, media="text/plain", signature="x")


def malformed_cases(out):
    """Authentic and wrong: row 8 of the table of answers."""
    text = json.dumps(git_push())
    ref = f'"ref": "refs/heads/{BRANCH}"'
    bodies = {
        "empty": b"", "list": b"[]", "null": b"null", "text": b'"x"', "cut": text[:40],
        "two-objects": text + "{}", "nul-behind": text.encode() + b"\0",
        "nul-inside": text.replace("eva", "e\0a"), "utf8": text.encode().replace(b"eva", b"\xff"),
        "utf8-overlong": text.encode().replace(b"eva", b"\xc0\xaf"),
        "utf16": text.encode("utf-16"), "single-quotes": text.replace('"', "'"),
        "escaped-nul": text.replace(ref, ref[:-1] + '\\u0000x"'),
        "lone-surrogate": text.replace("eva", "\\ud800"), "comma": text[:-1] + ",}",
        "deep": '{"a":' * 5000 + "1" + "}" * 5000, "deep-open": '{"a":' + "[" * 30000,
        "ref-twice": text.replace(ref, f'"ref": "refs/heads/x", {ref}'),
        "ref-twice-escaped": text.replace(ref, f'"r\\u0065f": "refs/heads/x", {ref}'),
        "repository-missing": {**git_push(), "repository": None},
        "repository-name-number": {**git_push(), "repository": {"full_name": 7}},
        "ref-number": git_push(7), "ref-missing": {**git_push(), "ref": None},
        "after-missing": git_push(after=None), "ref-short": git_push(BRANCH),
        "ref-newline": git_push(f"refs/heads/{BRANCH}\r\nX-Injected: 1"),
        "ref-dots": git_push("refs/heads/a..b"), "ref-long": git_push("refs/heads/" + "x" * 1100),
        "ref-blank": git_push("refs/heads/a b"), "id-short": git_push(after="22"),
        "id-no-hex": git_push(after="g" * 40), "ids-of-two-lengths": git_push(after="2" * 64),
        "id-upper-case": git_push(after="A" * 40),
    }
    for name, body in bodies.items():
        github(out, f"bad-{name}", 400, body)
    github(out, "bad-event-missing", 400, text, drop=["X-GitHub-Event"])
    github(out, "bad-event-twice", 400, text, more=[("X-GitHub-Event", "push")])
    github(out, "bad-ping", 400, "{", event="ping")
    github(out, "bad-form-none", 400, b"a=b", media=FORM)
    github(out, "bad-form-two", 400, form_of(text) + b"&" + form_of(text), media=FORM)
    github(out, "bad-form-escape", 400, b"payload=%7", media=FORM)


# ---- GitLab ----------------------------------------------------------------------------------------

def gitlab(out, name, status, body, event="Push Hook", token=SECRET, media=JSON, drop=(), more=()):
    headers = [("Content-Type", media), ("User-Agent", "GitLab/19.1.0"), ("X-Gitlab-Event", event),
               ("Idempotency-Key", f"own-{name}"), ("X-Gitlab-Token", token), *more]
    out.add("gitlab", name, status, [pair for pair in headers if pair[0] not in drop], encode(body),
            auth="token")


def gitlab_signed(out, name, status, stamp=CLOCK, sign_stamp=None, body=None, drop=(), token=None,
                  others="", count=1):
    body = encode(body or lab_push())
    message = f"own-{name}.{sign_stamp or stamp}.".encode() + body
    signature = base64.b64encode(hmac.new(SIGNING_KEY, message, "sha256").digest()).decode()
    headers = [("Content-Type", JSON), ("X-Gitlab-Event", "Push Hook"),
               ("webhook-id", f"own-{name}"), ("webhook-timestamp", stamp),
               *[("webhook-signature", others + "v1," + signature)] * count]
    if token:
        headers.append(("X-Gitlab-Token", token))
    out.add("gitlab", name, status, [pair for pair in headers if pair[0] not in drop], body,
            auth="signing")


def gitlab_cases(out):
    gitlab(out, "push", 202, lab_push())
    gitlab(out, "push-created", 202, lab_push(before=ZERO))
    gitlab(out, "push-sha256", 202, lab_push(before="1" * 64, after="2" * 64))
    gitlab(out, "system-push", 202, lab_push(), event="System Hook")
    gitlab(out, "approval", 202, lab_push("refs/tags/approve/1", ZERO, event_name="tag_push"),
           event="Tag Push Hook")
    gitlab(out, "tag", 204, lab_push("refs/tags/v1", ZERO), event="Tag Push Hook")
    gitlab(out, "deleted", 204, lab_push(after=ZERO))
    gitlab(out, "subgroup-ends-alike", 204, lab_push(repository="group/org/infra"))
    gitlab(out, "system-other", 204, {"event_name": "project_create"}, event="System Hook")
    for event in ("Merge Request Hook", "Pipeline Hook", "Deployment Hook", "Note Hook"):
        gitlab(out, "event-" + event.split()[0].lower(), 204, {"object_kind": "x"}, event=event)
    gitlab(out, "project-missing", 400, git_push())
    gitlab(out, "event-missing", 400, lab_push(), drop=["X-Gitlab-Event"])
    gitlab(out, "form", 415, form_of(json.dumps(lab_push())), media=FORM)
    for name, token in {"longer": SECRET + "x", "shorter": SECRET[:-1], "empty": "",
                        "other-case": SECRET.upper()}.items():
        gitlab(out, f"token-{name}", 401, lab_push(), token=token)
    gitlab(out, "token-missing", 401, lab_push(), drop=["X-Gitlab-Token"])
    gitlab(out, "token-twice", 401, lab_push(), more=[("X-Gitlab-Token", SECRET)])
    gitlab_signed(out, "signed", 202)
    gitlab_signed(out, "signed-edge-old", 202, CLOCK - 300)
    gitlab_signed(out, "signed-edge-new", 202, CLOCK + 300)
    gitlab_signed(out, "signed-list", 202, others="v1,AAAA v2,xyz ")
    gitlab_signed(out, "signed-old", 401, CLOCK - 301)
    gitlab_signed(out, "signed-future", 401, CLOCK + 301)
    gitlab_signed(out, "signed-other-stamp", 401, sign_stamp=CLOCK - 1)
    gitlab_signed(out, "signed-stamp-plus", 401, f"+{CLOCK}")
    gitlab_signed(out, "signed-stamp-hex", 401, hex(CLOCK))
    gitlab_signed(out, "signed-twice", 401, count=2)
    gitlab_signed(out, "signed-token-only", 401, drop=["webhook-signature"], token=SIGNING_TOKEN)
    gitlab_signed(out, "signed-id-missing", 401, drop=["webhook-id"])
    gitlab_signed(out, "signed-stamp-missing", 401, drop=["webhook-timestamp"])


# ---- Gitea and Forgejo -----------------------------------------------------------------------------

def gitea(out, forge, name, status, body, event="push", media=JSON, signature=None, drop=(), more=()):
    body, title = encode(body), forge.capitalize()
    headers = [("Content-Type", media), ("User-Agent", "Go-http-client/1.1"),
               (f"X-{title}-Event", event), (f"X-{title}-Delivery", f"own-{name}"),
               (f"X-{title}-Signature", mac(body) if signature is None else signature),
               ("X-GitHub-Event", event), ("X-Gogs-Event", event), *more]
    out.add(forge, name, status, [pair for pair in headers if pair[0] not in drop], body)


def gitea_cases(out, forge):
    title, text = forge.capitalize(), json.dumps(git_push())
    inside = mac(text.encode())
    gitea(out, forge, "push", 202, text)
    gitea(out, forge, "push-null-lists", 202, git_push(commits=None, head_commit=None))
    gitea(out, forge, "push-sha256", 202, git_push(before="1" * 64, after="2" * 64))
    gitea(out, forge, "form", 202, form_of(text), media=FORM, signature=inside)
    gitea(out, forge, "test-delivery", 204, git_push(before=NEW))
    gitea(out, forge, "test-empty-repository", 204, git_push(before=ZERO, after=ZERO))
    gitea(out, forge, "empty-event", 204, {}, event="")
    for event in ("create", "delete", "pull_request", "pull_request_approved", "release"):
        gitea(out, forge, f"event-{event}", 204, {"ref": f"refs/heads/{BRANCH}"}, event=event)
    gitea(out, forge, "event-missing", 400, text, drop=[f"X-{title}-Event"])
    gitea(out, forge, "cut", 400, text[:50])
    gitea(out, forge, "signature-empty", 401, text, signature="")
    gitea(out, forge, "signature-prefixed", 401, text, signature="sha256=" + inside)
    gitea(out, forge, "signature-foreign-headers", 401, text, drop=[f"X-{title}-Signature"],
          more=[("X-Hub-Signature-256", "sha256=" + inside), ("X-Gogs-Signature", inside)])
    gitea(out, forge, "secret-in-body", 401, {**git_push(), "secret": SECRET}, signature="")
    gitea(out, forge, "form-forged", 401, form_of(text), media=FORM, signature="0" * 64)
    gitea(out, forge, "form-broken", 401, b"payload=%7", media=FORM)
    gitea(out, forge, "form-none", 401, b"a=b", media=FORM)
    gitea(out, forge, "media", 415, text, media="text/plain")


# ---- Bitbucket -------------------------------------------------------------------------------------

def bitbucket(out, name, status, body, event="repo:push", signature=None, drop=(), more=()):
    body = encode(body)
    headers = [("Content-Type", "application/json; charset=utf-8"), ("X-Event-Key", event),
               ("X-Request-UUID" if event == "repo:push" else "X-Request-Id", f"own-{name}"),
               ("X-Hub-Signature", "sha256=" + mac(body) if signature is None else signature), *more]
    out.add("bitbucket", name, status, [pair for pair in headers if pair[0] not in drop], body)


def bitbucket_cases(out):
    moved = (cloud_side(BRANCH, OLD), cloud_side(BRANCH, NEW))
    other = (cloud_side("next", OLD), cloud_side("next", NEW))
    text = json.dumps(cloud_push(moved))
    bitbucket(out, "cloud-push", 202, text)
    bitbucket(out, "cloud-retry", 202, text, more=[("X-Attempt-Number", "3")])
    bitbucket(out, "cloud-created", 202, cloud_push((None, cloud_side(BRANCH, NEW))))
    bitbucket(out, "cloud-last-of-three", 202, cloud_push(other, other, moved))
    bitbucket(out, "cloud-approval", 202, cloud_push((None, cloud_side("approve/1", NEW, "tag"))))
    bitbucket(out, "cloud-deleted", 204, cloud_push((cloud_side(BRANCH, OLD), None)))
    bitbucket(out, "cloud-tag", 204, cloud_push((None, cloud_side(BRANCH, NEW, "annotated_tag"))))
    bitbucket(out, "cloud-other-branch", 204, cloud_push(other))
    bitbucket(out, "cloud-no-changes", 204, cloud_push())
    bitbucket(out, "cloud-other-repository", 204, cloud_push(moved, repository="org/other"))
    bitbucket(out, "cloud-status", 204, {}, event="repo:commit_status_created")
    bitbucket(out, "cloud-pull-request", 204, {}, event="pullrequest:created")
    bitbucket(out, "cloud-changes-object", 400, {"push": {"changes": {}}, "repository": {}})
    bitbucket(out, "cloud-change-null", 400, cloud_push((None, None)))
    bitbucket(out, "cloud-target-text", 400, cloud_push((None, {**cloud_side(BRANCH, NEW),
                                                                "target": "x"})))
    bitbucket(out, "event-missing", 400, text, drop=["X-Event-Key"])
    bitbucket(out, "signature-missing", 401, text, drop=["X-Hub-Signature"])
    bitbucket(out, "signature-sha1", 401, text, signature="sha1=" + hmac.new(
        SECRET.encode(), text.encode(), "sha1").hexdigest())
    bitbucket(out, "hook-uuid-only", 401, text, signature="", more=[("X-Hook-UUID", "{u}")])
    main = (f"refs/heads/{BRANCH}", OLD, NEW)
    dc = "repo:refs_changed"
    bitbucket(out, "dc-push", 202, dc_push(main), event=dc)
    bitbucket(out, "dc-second", 202, dc_push(("refs/tags/v1", ZERO, NEW), main), event=dc)
    bitbucket(out, "dc-links-odd", 202, {**dc_push(main), "links": {"clone": {}}}, event=dc)
    bitbucket(out, "dc-deleted", 204, dc_push((main[0], OLD, ZERO)), event=dc)
    bitbucket(out, "dc-other-repository", 204, dc_push(main, slug="other"), event=dc)
    bitbucket(out, "dc-no-changes", 204, dc_push(), event=dc)
    bitbucket(out, "dc-ping", 204, {"test": True}, event="diagnostics:ping")
    bitbucket(out, "dc-pull-request", 204, {}, event="pr:opened")
    bitbucket(out, "dc-ping-forged", 401, {"test": True}, event="diagnostics:ping", signature="x")
    bitbucket(out, "dc-no-slug", 400, {**dc_push(main), "repository": {}}, event=dc)


def write(folder):
    """Writes all deliveries; their number."""
    out = Writer(folder)
    github_cases(out)
    malformed_cases(out)
    gitlab_cases(out)
    gitea_cases(out, "gitea")
    gitea_cases(out, "forgejo")
    bitbucket_cases(out)
    out.finish()
    return len(out.cases)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{write(sys.argv[1])} deliveries")
