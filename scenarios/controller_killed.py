"""The active controller is killed: two seconds until the others notice, then another one decides."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    before = cluster.active_controller
    cluster.kill("controller")
    cluster.kill(f"leader:{TOPIC}-0")
    sent += await scenario.send_all(cluster, producer, then)
    await cluster.until(lambda: cluster.active_controller not in (None, before), within=60, what="another controller")
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="controller-killed",
    summary="the active controller and a leader are killed: first a controller is elected, then it elects the leader",
    play=play,
    shape=ClusterShape(controllers=3),
)
