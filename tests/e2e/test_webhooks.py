"""Deliveries of forges against the running service: our own, and the shared ones where they are."""

import http.client
import json
import os
from pathlib import Path

import pytest
import webhook_cases
import webhook_own_cases

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
SHARED = Path(os.environ.get("AVIARY_SHARED", ROOT.parent / "shared")) / "fixtures/webhooks"
PUSH = json.dumps(webhook_own_cases.git_push()).encode()


def run_all(folder):
    complaints = []
    passed, failed = webhook_cases.run(folder, PROGRAM, complaints.append)
    assert not failed, "\n".join(complaints)
    assert passed


def test_our_own_deliveries_get_their_answers(tmp_path):
    webhook_own_cases.write(tmp_path)
    run_all(tmp_path)


def test_shared_deliveries_get_their_answers():
    if not (SHARED / "cases.json").exists():
        pytest.skip(f"third-party deliveries are absent: no {SHARED}")
    run_all(SHARED)


def service(secrets, **how):
    return webhook_cases.Service(PROGRAM, "org/infra", "main", secrets, **how)


def github_headers(body, secret):
    return [("Content-Type", "application/json"), ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", "id-1"),
            ("X-Hub-Signature-256", "sha256=" + webhook_own_cases.mac(body, secret))]


def post_push(running, secret):
    return webhook_cases.post(running.port, "/webhook/github", github_headers(PUSH, secret), PUSH)


def test_a_secret_is_rotated_without_a_gap():
    with service({"github": ["the-old-one", "the-new-one"]}) as running:
        assert post_push(running, "the-old-one").status == 202
        assert post_push(running, "the-new-one").status == 202
        assert post_push(running, "another").status == 401


def test_paths_and_methods_that_are_no_intake():
    with service({"github": "s"}) as running:
        for method, path, status in [("POST", "/webhook/gitea", 404), ("POST", "/webhook/", 404),
                                     ("GET", "/webhook/gitea", 404),
                                     ("GET", "/webhook/github?payload=%7B%7D", 405),
                                     ("PUT", "/webhook/github", 405)]:
            answer = webhook_cases.post(running.port, path, [], b"", method)
            assert answer.status == status, (method, path, answer)
            assert json.loads(answer.body)["error"]
            if status == 405:
                assert answer.headers["Allow"] == "POST"


def test_a_body_over_the_limit_is_refused_before_it_is_read():
    with service({"github": "s"}) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        connection.putrequest("POST", "/webhook/github")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(26 << 20))
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 413
        assert response.headers["Connection"] == "close"
        connection.close()
        compressed = webhook_cases.post(running.port, "/webhook/github",
                                        [*github_headers(PUSH, "s"), ("Content-Encoding", "gzip")],
                                        PUSH)
        assert compressed.status == 415


def test_a_large_body_below_the_limit_is_taken():
    body = json.dumps(webhook_own_cases.git_push(padding="x" * (20 << 20))).encode()
    with service({"github": "s"}) as running:
        answer = webhook_cases.post(running.port, "/webhook/github", github_headers(body, "s"), body)
        assert answer.status == 202


def test_chunked_bodies_are_taken():
    with service({"github": "s"}) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        connection.request("POST", "/webhook/github", iter([PUSH[:50], PUSH[50:]]),
                           dict(github_headers(PUSH, "s")), encode_chunked=True)
        assert connection.getresponse().status == 202
        connection.close()


def test_an_address_that_forges_all_the_time_has_to_wait():
    with service({"github": "s"}) as running:
        statuses = [post_push(running, "forged").status for _ in range(101)]
        assert statuses[:100] == [401] * 100
        assert statuses[100] == 429
        answer = post_push(running, "s")
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_forged_delivery_is_logged_without_what_it_sent():
    with service({"github": "s"}) as running:
        assert post_push(running, "forged").status == 401
        assert running.stop() == 0
    line = next(line for line in running.log if "webhook refused" in line)
    assert "forge=github" in line and "delivery=id-1" in line and "address=127.0.0.1" in line
    assert not any(webhook_own_cases.mac(PUSH, "forged") in line for line in running.log)


def test_the_clock_of_tests_is_refused_in_earnest():
    with pytest.raises(RuntimeError, match="AVIARY_TEST_NOW"):
        service({"github": "s"}, environment={"AVIARY_TEST_NOW": str(webhook_own_cases.CLOCK)})
