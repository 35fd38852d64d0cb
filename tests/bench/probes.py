"""1,000 HTTPS checks at once, beside `curl --parallel`."""

import contextlib
import json
import os
import resource
import socket
import subprocess
import time

from tests.bench import figures
from tests.lib import gitserver

CHECKS = 1000
HOSTS = 200  # addresses: a client's checks share a host
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log /dev/null;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 0.0.0.0:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {certificate};
        location / {{ return 200 "well"; }}
    }}
}}
"""


@contextlib.contextmanager
def serve(folder):
    """(ca, port) of nginx with a certificate for all addresses."""
    ca = gitserver.make_ca(folder)
    names = ",".join(f"IP:127.0.1.{number}" for number in range(1, HOSTS + 1))
    certificate, port = gitserver.make_certificate(ca, san=names), gitserver.free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, certificate=certificate, port=port))
    with subprocess.Popen(["nginx", "-p", folder, "-c", config], stderr=subprocess.DEVNULL,
                          env=gitserver.ENVIRONMENT) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.1.1", port)):
                    yield ca, port
                    return
                time.sleep(0.01)
        finally:
            process.terminate()


def run_aviary(build, ca, urls):
    done = subprocess.run([build / "tests/checks_bench", ca, *urls], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, encoding="utf-8", check=False)
    return json.loads(done.stdout)


def run_curl(folder, ca, urls):
    """(wall, processor) seconds."""
    config = folder / "curl.config"
    config.write_text("".join(f'url = "{url}"\noutput = /dev/null\n' for url in urls))
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["curl", "-q", "-s", "-S", "--no-progress-meter", "--cacert", ca, "--parallel", "--parallel-immediate",
                    "--parallel-max", "300", "-K", config], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.monotonic() - began,
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(build, folder, runs):
    os.environ["PATH"] += ":/usr/sbin"
    if not figures.has("1,000 HTTPS checks", "nginx", "curl", "openssl"):
        return
    figures.section(f"{CHECKS} HTTPS checks at once on one thread",
                    f"{HOSTS} addresses of one nginx, which shares the processors")
    ours, theirs = [], []
    with serve(folder) as (ca, port):
        urls = [f"https://127.0.1.{number % HOSTS + 1}:{port}/" for number in range(CHECKS)]
        for _ in range(runs):
            ours.append(run_aviary(build, ca, urls))
            theirs.append(run_curl(folder, ca, urls))
        strangers = run_aviary(build, "", urls)
    figures.row("aviary: wall time", [each["wall_s"] for each in ours], "s")
    figures.row("  processor time", [each["cpu_s"] for each in ours], "s")
    figures.row("  memory at most", [each["memory_kib"] / 1024 for each in ours], "MiB")
    figures.row("curl --parallel, 300 at once: wall time", [each[0] for each in theirs], "s")
    figures.row("  processor time", [each[1] for each in theirs], "s")
    figures.row("aviary, the system's authorities: processor time", [strangers["cpu_s"]], "s")
    if failed := sum(each["failed"] for each in ours):
        print(f"  {failed} checks of aviary failed")
