"""A controller's disk is replaced: with dynamic voters it is another voter, and what was committed is not at risk."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    lost = cluster.select("standby").address.id
    cluster.power_failure(lost)
    cluster.wipe(lost)
    cluster.restart(lost)  # an observer now: its directory is not that of a voter
    sent += await scenario.send_all(cluster, producer, then)
    await cluster.advance(5)
    await cluster.remove_voter(lost)
    await cluster.add_voter(lost)
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="voter-replaced",
    summary="a controller loses its disk and comes back as another replica: removed from the voters, added again",
    play=play,
    shape=ClusterShape(controllers=3, features={KRAFT_VERSION: 1}),
)
