"""Retention deletes segments that a slow consumer has not read: OFFSET_OUT_OF_RANGE, and a gap."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    tp = TopicPartition(TOPIC, 0)
    await scenario.create_topic(cluster, given, min_insync_replicas=2, segment_ms=1_000, retention_ms=5_000)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    consumer = cluster.consumer(
        {
            "max.partition.fetch.bytes": 1,
            "max.poll.records": 1,
            "auto.offset.reset": "earliest",
            **given.consumer,
        }
    )
    await consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first, every_ms=200)
    await consumer.getmany(timeout_ms=1_000)
    before = await consumer.position(tp)
    await cluster.advance(20)
    sent += await scenario.send_all(cluster, producer, then, every_ms=200)
    await scenario.answers(sent)
    for _ in range(2):  # the one that was fetched before, and the first one after the gap
        while not await consumer.getmany(timeout_ms=1_000):
            pass
    assert await consumer.position(tp) > before + 1, "the consumer has missed something"


SCENARIO = Scenario(
    name="retention-overtakes",
    summary="retention deletes what a slow consumer has not read: its position is out of range, and it is reset",
    play=play,
    has_consumers=True,
    expected="lost",
    records=40,
    shape=ClusterShape(configs={"log.retention.check.interval.ms": 2_000, "log.initial.task.delay.ms": 1_000}),
)
