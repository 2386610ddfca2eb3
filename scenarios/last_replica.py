"""The replicas die one after the other, and the last one loses its disk: the common part of two stories."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given

FIRST, SECOND, LAST = 3, 2, 1


async def play_last_replica(cluster: Cluster, given: Given) -> None:
    """All replicas have all that was acknowledged; 3 and 2 stop, then 1 loses its power and its disk."""
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    await scenario.answers(await scenario.send_all(cluster, producer, given.records))
    for broker in (FIRST, SECOND):
        cluster.stop(broker)
        await scenario.has_ended(cluster, broker)
    cluster.power_failure(LAST)
    cluster.wipe(LAST)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) is None, within=60, what="a partition without a leader")
    cluster.restart(LAST)
    await cluster.advance(15)
    for broker in (SECOND, FIRST):
        cluster.restart(broker)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) is not None, within=120, what="a leader")
