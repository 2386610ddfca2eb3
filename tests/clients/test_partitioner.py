"""Which partition a record goes to: Kafka's own answers for keys, the rules of stickiness for records without."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from kafsim.clients.partitioner import StickyPartitioner, murmur2, partition_for_key
from kafsim.cluster.chance import Chance

VECTORS = Path(__file__).parent.parent / "data" / "vectors" / "murmur2.jsonl"
SIZE = 1_000


@pytest.mark.parametrize("vector", [json.loads(line) for line in VECTORS.read_text().splitlines()], ids=str)
def test_a_key_goes_where_kafka_sends_it(vector: dict) -> None:
    key = bytes.fromhex(vector["key"])
    assert murmur2(key) == vector["murmur2"]
    assert {n: partition_for_key(key, int(n)) for n in vector["partition"]} == vector["partition"]


def _switches(sizes: list[int], partitioner: StickyPartitioner, partitions: int = 50, full: bool = True) -> list[int]:
    """How many records went to one partition before each switch."""
    runs, current = [0], partitioner.current(partitions, list(range(partitions)))
    for size in sizes:
        runs[-1] += 1
        partitioner.appended(size, partitions, list(range(partitions)), batch_full=full)
        following = partitioner.current(partitions, list(range(partitions)))
        if following != current:
            runs.append(0)
            current = following
    return runs[:-1]


def test_it_stays_until_a_batch_is_full() -> None:
    partitioner = StickyPartitioner(SIZE, Chance(1).stream("sticky"))
    runs = _switches([100] * 400, partitioner)
    assert len(runs) > 30
    assert all(run % 10 == 0 for run in runs)  # the same partition may be drawn again


def test_without_a_full_batch_it_goes_on_at_twice_the_size() -> None:
    partitioner = StickyPartitioner(SIZE, Chance(1).stream("sticky"))
    runs = _switches([100] * 400, partitioner, full=False)
    assert len(runs) > 15
    assert all(run % 20 == 0 for run in runs)


def test_only_partitions_with_a_leader_are_drawn() -> None:
    partitioner = StickyPartitioner(SIZE, Chance(2).stream("sticky"))
    drawn = set()
    for _ in range(100):
        drawn.add(partitioner.current(8, [1, 5]))
        partitioner.appended(2 * SIZE, 8, [1, 5], batch_full=True)
    assert drawn == {1, 5}


def test_short_queues_are_drawn_more_often() -> None:
    """Weights are the longest queue + 1 - the own one (KIP-794): 1, 4 and 5 of 10 here."""
    partitioner = StickyPartitioner(SIZE, Chance(3).stream("sticky"), lambda: {0: 4, 1: 1, 2: 0})
    drawn = Counter(_draws(partitioner, 5_000))
    assert [round(drawn[partition] / 500) for partition in range(3)] == [1, 4, 5]


def test_even_queues_and_no_adaptation_draw_evenly() -> None:
    for queues in ({0: 2, 1: 2, 2: 2}, None):
        partitioner = StickyPartitioner(SIZE, Chance(4).stream("sticky"), partial(_same, queues))
        drawn = Counter(_draws(partitioner, 6_000))
        assert all(1_800 < drawn[partition] < 2_200 for partition in range(3))


def _same(queues: dict[int, int] | None) -> dict[int, int] | None:
    return queues


def _draws(partitioner: StickyPartitioner, count: int) -> list[int]:
    found = []
    for _ in range(count):
        found.append(partitioner.current(3, [0, 1, 2]))
        partitioner.appended(2 * SIZE, 3, [0, 1, 2], batch_full=True)
    return found
