"""One of the leader's two disks fails: what was on it is led by others, what is on the other one stays."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await cluster.admin.create_topic("audit", partitions=1, replication_factor=3)  # on the first disk of each broker
    await scenario.create_topic(cluster, given, min_insync_replicas=2)  # on the second
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    broker = cluster.select(f"leader:{TOPIC}-0").address.id
    cluster.fail_disk(broker, 1)
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)
    cluster.repair_disk(broker, 1)
    await cluster.advance(5)  # the broker does not look at it again before it starts anew
    cluster.stop(broker)
    await cluster.until(lambda: cluster.brokers[broker].port is None, what=f"broker {broker} to end")
    cluster.restart(broker)
    await cluster.until(lambda: broker in cluster.isr((TOPIC, 0)), within=120, what=f"broker {broker} in the ISR")


SCENARIO = Scenario(
    name="disk-failed",
    summary="one of the leader's two log directories fails: others lead what was in it, the broker goes on",
    play=play,
    shape=ClusterShape(configs={"log.dirs": "/data/1,/data/2"}),
)
