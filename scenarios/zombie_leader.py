"""A leader is cut off and does not know that it was deposed; what it takes meanwhile it cannot acknowledge."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, "request.timeout.ms": 5_000, **given.producer})
    first, then = scenario.halves(given)
    await scenario.answers(await scenario.send_all(cluster, producer, first))
    zombie = cluster.leader((TOPIC, 0))
    assert zombie is not None, "nothing has failed yet"
    cluster.isolate(zombie)
    sent = await scenario.send_all(cluster, producer, then)
    await cluster.until(lambda: cluster.leader((TOPIC, 0)) not in (zombie, None), within=120, what="another leader")
    await scenario.answers(sent)
    cluster.rejoin(zombie)
    await cluster.until(lambda: zombie in cluster.isr((TOPIC, 0)), within=120, what="the old leader in the ISR")


SCENARIO = Scenario(
    name="zombie-leader",
    summary="the leader is cut off from the cluster, clients still reach it: it takes records and cannot commit them",
    play=play,
)
