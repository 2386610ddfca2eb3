"""Without idempotence: a record is written, the answer is lost, the producer sends it again, and it is there twice."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, min_insync_replicas=2)
    settings = {"linger.ms": 0, "enable.idempotence": False, "request.timeout.ms": 2_000, **given.producer}
    producer = cluster.producer(settings)
    first, then = scenario.halves(given)
    await scenario.answers(await scenario.send_all(cluster, producer, first))
    leader = cluster.select(f"leader:{TOPIC}-0").address
    cluster.world.cut(leader, producer.node.address)
    sent = await scenario.send_all(cluster, producer, then[:1])
    await cluster.advance(2.5)
    cluster.world.heal(leader, producer.node.address)
    sent += await scenario.send_all(cluster, producer, then[1:])
    await scenario.answers(sent)


SCENARIO = Scenario(
    name="idempotence-off",
    summary="enable.idempotence=false: an answer gets lost, the retry writes the record a second time",
    play=play,
    expected="duplicated",
)
