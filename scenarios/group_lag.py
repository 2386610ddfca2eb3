"""A member is stopped for a while and lag grows; when it goes on it catches up."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    member = await groups.join(cluster, given, session_timeout_ms=30_000, max_poll_records=10)
    await groups.until_stable(cluster, member)
    half = len(given.records) // 2
    sent = await scenario.send_all(cluster, producer, given.records[:half], every_ms=100)
    await cluster.advance(2)
    member.node.pause()
    sent += await scenario.send_all(cluster, producer, given.records[half:], every_ms=100)
    await cluster.advance(2)
    member.node.resume()
    await scenario.answers(sent)
    await cluster.advance(4)
    await groups.leave(member)


SCENARIO = Scenario(
    name="group-lag",
    summary="a member stands still and lag grows; it goes on and catches up",
    play=play,
    has_consumers=True,
    records=60,
    shape=groups.SHAPE,
)
