"""The leader is killed half way; with acks=all nothing that was acknowledged is lost, and nothing comes twice."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario
from kafsim.scenarios.simulation import outcome


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    await outcome(sent[0])
    cluster.kill(f"leader:{TOPIC}-0")
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="leader-killed",
    summary="acks=all, min.insync.replicas=2: the leader is killed half way, nothing acknowledged is lost",
    play=play,
)
