"""After a restart one broker leads nothing, until the controller gives the preferred leaders their places back."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=3, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    cluster.stop(1)
    await scenario.has_ended(cluster, 1)
    cluster.restart(1)
    await cluster.until(lambda: 1 in cluster.isr((TOPIC, 0)), within=60, what="broker 1 in the ISR")
    assert 1 not in [cluster.leader((TOPIC, index)) for index in range(3)]
    sent += await scenario.send_all(cluster, producer, then)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) == 1, within=60, what="broker 1 to lead again")
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="preferred-leader",
    summary="a broker that was restarted leads nothing until auto.leader.rebalance.enable gives it its partitions back",
    play=play,
    least_brokers=2,
    records=40,
    shape=ClusterShape(configs={"leader.imbalance.check.interval.seconds": 20}),
)
