"""A member takes too long between two polls: it leaves its group by itself, and its commit fails."""

from __future__ import annotations

from kafsim.clients.errors import CommitFailedError
from kafsim.cluster.cluster import Cluster
from kafsim.scenarios import groups, scenario
from kafsim.scenarios.scenario import TOPIC, Given, Scenario


async def play(cluster: Cluster, given: Given) -> None:
    await scenario.create_topic(cluster, given, partitions=2)
    producer = cluster.producer({"linger.ms": 0, **given.producer})
    slow = cluster.consumer(
        {**groups.SETTINGS, "max.poll.interval.ms": 3_000, "enable.auto.commit": False, **given.consumer}
    )
    await slow.subscribe([TOPIC])
    sent = await scenario.send_all(cluster, producer, given.records, every_ms=20)
    await scenario.answers(sent)
    while not await slow.getmany(timeout_ms=500):
        pass
    await groups.join(cluster, given)
    await cluster.advance(6)  # it works on what it got
    try:
        await slow.commit()
    except CommitFailedError:
        await cluster.advance(1)
    groups.keep_polling(cluster, slow)
    await cluster.advance(2)
    await groups.until_stable(cluster, slow)


SCENARIO = Scenario(
    name="group-slow-poll",
    summary="a member that does not poll within max.poll.interval.ms loses its partitions and cannot commit",
    play=play,
    has_consumers=True,
    records=20,
    shape=groups.SHAPE,
)
