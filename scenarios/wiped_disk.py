"""A broker comes back with an empty disk: it is another log directory, and copies everything from the leader."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    lost = cluster.select(f"follower:{TOPIC}-0").address.id
    cluster.power_failure(lost)
    cluster.wipe(lost)
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)
    cluster.restart(lost)
    await cluster.until(lambda: lost in cluster.isr((TOPIC, 0)), within=120, what=f"broker {lost} in the ISR")


SCENARIO = Scenario(
    name="wiped-disk",
    summary="a follower loses its disk: it counts as shut down uncleanly, copies everything and rejoins",
    play=play,
    least_brokers=2,
)
