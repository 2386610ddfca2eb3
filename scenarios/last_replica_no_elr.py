"""The last replica in sync loses its disk and, without eligible leader replicas, leads again with nothing."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.last_replica import play_last_replica
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    await play_last_replica(cluster, given)


SCENARIO = Scenario(
    name="last-replica-no-elr",
    summary="as last-replica-elr without KIP-966: the last one leads again with its empty disk, all is lost",
    play=play,
    least_brokers=3,
    shape=ClusterShape(features={"eligible.leader.replicas.version": 0}),
    expected="violated",
)
