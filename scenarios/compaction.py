"""A compacted topic: of each key the last value stays at its offset; a tombstone stays until its horizon is over."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(
        cluster,
        given,
        cleanup_policy="compact",
        delete_retention_ms=10_000,
        min_cleanable_dirty_ratio=0.1,
        min_insync_replicas=2,
        segment_ms=1_000,
    )
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    keyed = tuple((key or f"customer {number % 3}", value) for number, (key, value) in enumerate(given.records))
    first, then = keyed[: len(keyed) // 2], keyed[len(keyed) // 2 :]
    await scenario.answers(await scenario.send_all(cluster, producer, first, every_ms=100))
    await producer.send_and_wait(TOPIC, None, key=keyed[0][0])
    await cluster.advance(5)
    await scenario.answers(await scenario.send_all(cluster, producer, then, every_ms=100))
    await cluster.advance(20)
    await scenario.answers(await scenario.send_all(cluster, producer, then[:1]))  # rolls the segment
    await cluster.advance(10)


SCENARIO = Scenario(
    name="compaction",
    summary="cleanup.policy=compact: the last value of each key stays at its offset, tombstones go after a while",
    play=play,
    records=30,
    shape=ClusterShape(configs={"log.cleaner.backoff.ms": 1_000}),
)
