"""Grey failure: the leader's disk takes a second for each append, its heartbeats are quick, so it goes on leading."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    cluster.slow_disk(1, append_ms=1_000)
    sent += await scenario.send_all(cluster, producer, then)
    await cluster.advance(20)
    assert cluster.leader((TOPIC, 0)) == 1, "nobody fences a leader that is only slow"
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="slow-leader",
    summary="grey failure: a leader with a slow disk is never fenced, since its heartbeats are in time; latency grows",
    play=play,
)
