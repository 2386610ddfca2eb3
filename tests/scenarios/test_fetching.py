"""Fetches of little room: every partition gets its turn."""

from __future__ import annotations

from collections import Counter

from kafsim import simulate
from kafsim.cluster.cluster import Cluster

PARTITIONS = dict.fromkeys(range(3), (1, 2))
"""All led by one broker, so that one session holds them."""


async def _produce(cluster: Cluster) -> None:
    producer = cluster.producer(linger_ms=0, acks=1, enable_idempotence=False)
    for number in range(9):
        await producer.send_and_wait("t", f"v{number}", partition=number % 3)


def test_a_consumer_with_room_for_one_batch_reads_all_partitions_in_turn() -> None:
    seen: list[int] = []

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment=PARTITIONS)
        await _produce(cluster)
        consumer = cluster.consumer(auto_offset_reset="earliest", fetch_max_bytes=100)
        await consumer.assign([f"t-{index}" for index in PARTITIONS])
        while len(seen) < 9:
            records = await consumer.getmany(timeout_ms=1_000)
            assert records, "nothing came within a second"
            seen.extend(record.partition for record in records)

    assert simulate(story).ok
    assert Counter(seen) == {0: 3, 1: 3, 2: 3}
    assert set(seen[:4]) == {0, 1, 2}


def test_a_follower_with_room_for_one_batch_copies_all_partitions() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment=PARTITIONS)
        cluster.kill(2)
        await _produce(cluster)
        cluster.restart(2)
        await cluster.advance(1)
        ends = [replica.log_end_offset for index in PARTITIONS for replica in cluster.replicas(f"t-{index}")]
        assert ends == [3] * 6

    assert simulate(story, brokers=2, configs={"replica.fetch.response.max.bytes": 100}).ok
