"""Two of three controllers die: metadata stands still, and whoever leads goes on serving; then they come back."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first)
    down = sorted(cluster.controllers, key=lambda id_: id_ != cluster.active_controller)[:2]
    for controller in down:
        cluster.kill(controller)
    sent += await scenario.send_all(cluster, producer, then)
    await scenario.answers(sent)  # acks=all works as long as nobody has to leave the ISR
    cluster.kill(f"follower:{TOPIC}-0")
    late = await scenario.send_all(cluster, producer, then[:1])
    await cluster.advance(20)
    assert cluster.active_controller is None
    for controller in down:
        cluster.restart(controller)
    await scenario.answers(late)  # now the dead follower can leave the ISR


SCENARIO = Scenario(
    name="quorum-lost",
    summary="two of three controllers die: leaders go on serving, no ISR can change until a majority is back",
    play=play,
    least_brokers=2,
    shape=ClusterShape(controllers=3),
)
