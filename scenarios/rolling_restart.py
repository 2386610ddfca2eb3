"""Every broker and every controller is restarted in turn, in good order, under load: nobody notices but by latency."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario
from kafsim.scenarios.simulation import is_recovered


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=3, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    sent = []
    turns = [*cluster.brokers, *cluster.controllers]
    share = -(-len(given.records) // len(turns))
    for turn, node in enumerate(turns):
        cluster.stop(node)
        sent += await scenario.send_all(cluster, producer, given.records[turn * share : (turn + 1) * share])
        await scenario.has_ended(cluster, node)
        cluster.restart(node)
        await cluster.until(lambda: is_recovered(cluster), within=120, what="all replicas to be in sync")
    await scenario.answers(sent)
    assert cluster.leader((TOPIC, 0)) is not None


SCENARIO = Scenario(
    name="rolling-restart",
    summary="brokers and controllers are restarted in turn under load: leadership moves first, nothing is lost",
    play=play,
    records=60,
    shape=ClusterShape(controllers=3),
)
