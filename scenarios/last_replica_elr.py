"""The last replica in sync loses its disk; with eligible leader replicas one that holds everything leads."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.last_replica import play_last_replica
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    await play_last_replica(cluster, given)


SCENARIO = Scenario(
    name="last-replica-elr",
    summary="the last replica in sync loses its disk: with KIP-966 an eligible replica leads, nothing is lost",
    play=play,
    least_brokers=3,
    shape=ClusterShape(),
)
