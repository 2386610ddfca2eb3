"""A classic group changes to the consumer protocol member by member, under load, and back again."""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=4)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    old = [await groups.join(cluster, given), await groups.join(cluster, given)]
    await cluster.advance(2)
    await groups.until_stable(cluster, *old)
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=100)
    new = []
    for member in old:
        new.append(await groups.join(cluster, given, group_protocol="consumer"))
        await cluster.advance(5)
        await groups.leave(member)
        member.kill()
        await cluster.advance(5)
    await groups.until_stable(cluster, *new)
    back = await groups.join(cluster, given)
    await cluster.advance(5)
    for member in new:
        await groups.leave(member)
        member.kill()
        await cluster.advance(3)
    await groups.until_stable(cluster, back)
    await scenario.answers(sent)
    await cluster.advance(2)


SCENARIO = Scenario(
    name="group-migration",
    summary="members of a classic group are replaced one by one by such of the consumer protocol, and back (KIP-848)",
    play=play,
    has_consumers=True,
    records=100,
    shape=groups.SHAPE,
)
