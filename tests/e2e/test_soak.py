"""Rollouts one after the other in one process of the service: it ends as large as it was.

`make test` runs a few, also under sanitizers; `make soak` (AVIARY_SOAK=N) N of them, and judges
memory as well, which needs a warm-up: the newest 500 records stay, and 20 rollback tags of each
client.
"""

import os
from collections import Counter
from statistics import median

import pytest

from tests.lib.faulty import scratch_folder
from tests.lib.soak import Footprint, Soak, descriptors

FEW, CLIENTS_OF_FEW = 40, 10
ROLLOUTS = int(os.environ.get("AVIARY_SOAK", FEW))
IS_LONG = ROLLOUTS > FEW
CLIENTS = 50 if IS_LONG else CLIENTS_OF_FEW
STEP = max(ROLLOUTS // 40, 20)
WARM_UP = 1500
HEAP_KIB = 1024  # what an allocator may hold more one time than another
THREADS = 64  # workers start when they are needed, at most 32 of them
FILES_MORE = 600  # loose objects and packs before they become one, references, logs of steps


@pytest.fixture(name="prints", scope="module")
def run():
    """(footprints at rest, how rollouts ended, rollback tags of each client)"""
    with scratch_folder("soak") as folder:
        soak = Soak(folder, CLIENTS, ROLLOUTS)
        with soak.serve() as service:
            soak.rest(service)
            soak.run(service, STEP)  # as many workers and connections as it takes
            prints = [soak.footprint(service)]
            before = descriptors(service.process.pid)
            print("\n" + Footprint.HEAD)
            print(prints[0], flush=True)
            while soak.done < ROLLOUTS:
                soak.run(service, min(STEP, ROLLOUTS - soak.done))
                prints.append(soak.footprint(service, before))
                print(prints[-1], flush=True)
            assert service.stop() == 0, soak.site.log_text()[-9000:]
        ends = Counter(fact.result for fact in soak.site.facts()
                       if fact.subject.startswith("rollout(") and not fact.stage)
        tags = Counter(name.split("/")[1] for name in
                       soak.site.git("tag", "-l", "rollback/*").splitlines())
        soak.close()
        yield prints, ends, tags


def test_each_change_became_a_rollout_of_its_own(prints):
    _, ends, tags = prints
    print(dict(ends))
    assert ends["started"] == ends["succeeded"] + ends["failed"]
    assert ends["started"] + ends["refused"] == ROLLOUTS + 1
    assert ends["failed"] >= ROLLOUTS // 40
    assert max(tags.values()) <= 20


def check_memory(prints):
    heaps = [each.heap_kib for each in prints if each.rollouts > WARM_UP]
    third = len(heaps) // 3
    assert third, f"{ROLLOUTS} rollouts are no more than a warm-up"
    first, last = median(heaps[:third]), median(heaps[-third:])
    print(f"heap: {first:,} KiB after the warm-up, {last:,} KiB at the end")
    assert last - first < HEAP_KIB


def test_the_service_ends_as_large_as_it_was(prints):
    """That nothing more is open, nobody alive, no temporary file left, was waited for."""
    prints, _, _ = prints
    for each in prints:
        assert each.descriptors == prints[0].descriptors and each.threads < THREADS, f"{each}"
        assert each.files < prints[0].files + FILES_MORE + (2500 if IS_LONG else 0), f"{each}"
    if IS_LONG:
        check_memory(prints)
