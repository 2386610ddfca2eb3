"""flush.messages and flush.ms: what a power failure takes, and what it does not (log.flush.*)."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster


async def _after_power_failure(cluster: Cluster, *, wait: float = 0, **configs: object) -> int:
    """How many of 200 records, acknowledged by the only replica, are there after its power failed."""
    await cluster.admin.create_topic("t", partitions=1, replication_factor=1, configs=configs)
    producer = cluster.producer(linger_ms=0, acks=1, batch_size=1)
    for number in range(200):
        await producer.send("t", str(number))
    await cluster.advance(wait)
    cluster.power_failure(1)
    cluster.restart(1)
    await cluster.until(lambda: cluster.leader("t-0") == 1 and cluster.is_serving(1), within=60)
    replica = cluster.replica("t-0", 1)
    assert replica is not None
    return replica.log.log_end_offset


@pytest.mark.parametrize(("configs", "least"), [({}, 0), ({"flush.messages": 1}, 200), ({"flush.messages": 50}, 150)])
def test_so_many_messages_at_most_are_not_durable(configs: dict[str, int], least: int) -> None:
    kept: list[int] = []

    async def story(cluster: Cluster) -> None:
        kept.append(await _after_power_failure(cluster, **configs))

    for seed in range(4):
        simulate(story, seed=seed, brokers=1, settle=False)
    assert min(kept) >= least
    if not configs:
        assert min(kept) < 200


def test_flush_ms_needs_the_scheduler() -> None:
    kept: list[int] = []

    async def story(cluster: Cluster) -> None:
        kept.append(await _after_power_failure(cluster, wait=1.2, **{"flush.ms": 100}))

    for seed in range(4):
        simulate(story, seed=seed, brokers=1, settle=False)
    assert min(kept) < 200
    kept.clear()
    configs = {"log.flush.scheduler.interval.ms": 1_000, "log.initial.task.delay.ms": 0}
    for seed in range(4):
        simulate(story, seed=seed, brokers=1, settle=False, configs=configs)
    assert kept == [200] * 4


def test_an_answer_waits_for_the_disk() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1, replication_factor=1, configs={"flush.messages": 1})
        cluster.slow_disk(1, append_ms=0, flush_ms=300)
        producer = cluster.producer(linger_ms=0, acks=1)
        await producer.send("t", "warm")
        before = cluster.world.clock.now
        await producer.send("t", "x")
        assert cluster.world.clock.now - before >= 300_000

    simulate(story, brokers=1, settle=False)
