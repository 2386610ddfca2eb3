"""Both followers are gone: the leader refuses acks=all rather than keep the only copy."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    settings = {"linger.ms": 0, "request.timeout.ms": 3_000, "delivery.timeout.ms": 6_000, **given.producer}
    producer = cluster.producer(settings)
    first, then = scenario.halves(given)
    await scenario.answers(await scenario.send_all(cluster, producer, first))
    leader = cluster.leader((TOPIC, 0))
    for follower in cluster.brokers:
        if follower != leader:
            cluster.kill(follower)
    await cluster.until(lambda: len(cluster.isr((TOPIC, 0))) == 1, within=120, what="an ISR of the leader alone")
    await scenario.answers(await scenario.send_all(cluster, producer, then))


SCENARIO = Scenario(
    name="min-isr-refused",
    summary="min.insync.replicas=2 with one replica left: acks=all is refused with NOT_ENOUGH_REPLICAS",
    play=play,
)
