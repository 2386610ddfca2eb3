"""A follower is killed: the high watermark waits for it until it is out of the ISR; later it catches up and rejoins."""

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
    cluster.kill(lost)
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)
    cluster.restart(lost)
    await cluster.until(lambda: lost in cluster.isr((TOPIC, 0)), within=120, what=f"broker {lost} in the ISR")


SCENARIO = Scenario(
    name="follower-lost",
    summary="a follower is killed: produce requests wait until the ISR shrinks; it returns, catches up and rejoins",
    play=play,
    least_brokers=2,
)
