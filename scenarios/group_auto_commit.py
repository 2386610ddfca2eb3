"""A member dies between two automatic commits: what it read since the last one is read again by the next member."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    first = await groups.join(cluster, given, auto_commit_interval_ms=2_000)
    await groups.until_stable(cluster, first)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    await scenario.answers(sent)
    await cluster.advance(0.2)
    first.kill()
    second = await groups.join(cluster, given, auto_commit_interval_ms=2_000)
    await cluster.advance(9)
    await groups.until_stable(cluster, second)
    await cluster.advance(3)
    await groups.leave(second)


SCENARIO = Scenario(
    name="group-auto-commit",
    summary="a member dies between two automatic commits: the next one reads again what was not committed",
    play=play,
    has_consumers=True,
    records=30,
    shape=groups.SHAPE,
)
