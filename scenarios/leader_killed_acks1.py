"""The same with acks=1: the leader answers before its followers have the record, and takes it to the grave."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given)
    producer = cluster.producer({"linger.ms": 0, "acks": "1", "enable.idempotence": False, **given.producer})
    first, then = scenario.halves(given)
    sent = await scenario.send_all(cluster, producer, first[:-1])
    await scenario.answers(sent)
    leader = cluster.leader((TOPIC, 0))
    assert leader is not None, "nobody was killed yet"
    for follower in cluster.brokers:
        if follower != leader:
            cluster.cut(follower, leader)
    doomed = await scenario.send_all(cluster, producer, first[-1:])
    await scenario.answers(doomed)
    cluster.kill(leader)
    for follower in cluster.brokers:
        if follower != leader:
            cluster.heal(follower, leader)
    await scenario.answers(await scenario.send_all(cluster, producer, then))


SCENARIO = Scenario(
    name="leader-killed-acks1",
    summary="acks=1: the leader is killed before its followers have what it acknowledged; the record is lost",
    play=play,
    expected="lost",
)
