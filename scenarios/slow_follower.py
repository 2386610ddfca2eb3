"""A follower cannot keep up and leaves the ISR; produce requests are quick again; it catches up and comes back."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario

SLOW = 3


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    cluster.slow_link(1, SLOW, extra_ms=3_000)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=200)
    await cluster.until(lambda: SLOW not in cluster.isr((TOPIC, 0)), within=60, what=f"broker {SLOW} out of the ISR")
    await scenario.answers(sent)
    cluster.slow_link(1, SLOW, extra_ms=0)
    await cluster.until(lambda: SLOW in cluster.isr((TOPIC, 0)), within=60, what=f"broker {SLOW} in the ISR")


SCENARIO = Scenario(
    name="slow-follower",
    summary="a follower behind a slow link leaves the ISR after replica.lag.time.max.ms and comes back later",
    play=play,
    least_brokers=3,
    records=40,
    shape=ClusterShape(configs={"replica.lag.time.max.ms": 2_000}),
)
