"""Three groups side by side: eager, cooperative, of the consumer protocol.

One member of each takes two seconds for what it has read, while a fourth one comes and leaves.
"""

from __future__ import annotations

from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import Given, Scenario

GROUPS: dict[str, dict[str, object]] = {
    "eager": {"partition_assignment_strategy": "range"},
    "cooperative": {"partition_assignment_strategy": "cooperative-sticky"},
    "consumer": {"group_protocol": "consumer"},
}


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=12)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=10)
    members = await _join(cluster, given, 3)
    await cluster.advance(6)
    await groups.until_stable(cluster, *members)
    late = await _join(cluster, given, 1)
    await cluster.advance(5)
    await groups.until_stable(cluster, *members, *late)
    for member in late:
        await groups.leave(member)
        member.kill()
    await cluster.advance(5)
    await groups.until_stable(cluster, *members)
    await scenario.answers(sent)


async def _join(cluster: Cluster, given: Given, count: int) -> list[ConsumerHandle]:
    """So many members of each group, a quarter of a second apart; the first of three is slow."""
    members = []
    for number in range(count):
        every = 2_000 if number < count - 2 else groups.POLL_MS
        for name, settings in GROUPS.items():
            members.append(await groups.join(cluster, given, every_ms=every, group_id=name, **settings))
        await cluster.advance(0.25)
    return members


SCENARIO = Scenario(
    name="group-protocols",
    summary="eager, cooperative and consumer protocol side by side: which partitions stand still, and how long",
    play=play,
    has_consumers=True,
    records=40,
    shape=groups.SHAPE,
)
