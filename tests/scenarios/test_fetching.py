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


def test_a_follower_serves_consumers_below_its_high_watermark() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment=PARTITIONS)
        await _produce(cluster)
        await cluster.advance(1)
        asked = {"partition": 0, "fetchOffset": 1, "partitionMaxBytes": 1_000}
        body = {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1_000, "sessionEpoch": -1}
        by_name = {**body, "replicaId": -1, "topics": [{"topic": "t", "partitions": [asked]}]}
        for version, error in ((10, 6), (11, 0), (12, 0)):
            answer = await cluster.admin.raw(2, "FETCH", version, by_name)
            assert answer["responses"][0]["partitions"][0]["errorCode"] == error
            assert answer["responses"][0]["topic"] == "t"
        assert answer["responses"][0]["partitions"][0]["highWatermark"] == 3
        assert answer["responses"][0]["partitions"][0]["records"]
        unknown = {**by_name, "topics": [{"topic": "nope", "partitions": [asked]}]}
        answer = await cluster.admin.raw(2, "FETCH", 12, unknown)
        assert (answer["responses"][0]["topic"], answer["responses"][0]["partitions"][0]["errorCode"]) == ("nope", 3)

    assert simulate(story, brokers=2).ok
