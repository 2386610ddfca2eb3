"""Replication throttles: replicas that lag are copied no faster than the rates allow, others are not held back."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.broker.replication_quota import FOLLOWER_RATE, FOLLOWER_REPLICAS, LEADER_RATE, LEADER_REPLICAS, MOVE_RATE
from kafsim.cluster.cluster import Cluster

RATE = 20_000
BATCHES, SIZE = 40, 10_000
SMALL_STEPS = {"replica.fetch.max.bytes": 20_000}


async def _filled(cluster: Cluster) -> None:
    await cluster.admin.create_topic("t", assignment={0: (1, 2)})
    producer = cluster.producer(linger_ms=0)
    for _ in range(BATCHES):
        producer.send("t", b"x" * SIZE)
        await cluster.advance(0.02)
    await producer.flush()


async def _seconds_of_reassignment(cluster: Cluster) -> float:
    begin = cluster.world.clock.now / 1e6
    await cluster.admin.reassign(("t", 0), (1, 3))
    await cluster.until(lambda: _isr(cluster) == [1, 3], within=120, what="the reassignment to end")
    return cluster.world.clock.now / 1e6 - begin


def _isr(cluster: Cluster) -> list[int]:
    core = cluster.controller_core
    assert core is not None
    (state,) = core.state.partitions.values()
    return [] if state.adding or state.removing else sorted(state.isr)


async def _throttle(cluster: Cluster, topic: dict[str, str], rates: dict[str, int]) -> None:
    await cluster.admin.alter_configs("topic", "t", set=topic)
    for id_ in cluster.brokers:
        await cluster.admin.alter_configs("broker", str(id_), set=rates)
    await cluster.advance(1)


@pytest.mark.parametrize(
    ("topic", "rates"),
    [
        ({LEADER_REPLICAS: "0:1"}, {LEADER_RATE: RATE}),
        ({FOLLOWER_REPLICAS: "0:3"}, {FOLLOWER_RATE: RATE}),
        ({LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*"}, {LEADER_RATE: RATE, FOLLOWER_RATE: RATE}),
    ],
)
def test_a_reassignment_takes_its_time(topic: dict[str, str], rates: dict[str, int]) -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        await _throttle(cluster, topic, rates)
        took = await _seconds_of_reassignment(cluster)
        assert 0.5 * BATCHES * SIZE / RATE < took < 2 * BATCHES * SIZE / RATE

    assert simulate(story, configs=SMALL_STEPS).ok


@pytest.mark.parametrize(
    ("topic", "rates"),
    [
        ({LEADER_REPLICAS: "0:3"}, {LEADER_RATE: RATE}),
        ({FOLLOWER_REPLICAS: "0:1"}, {FOLLOWER_RATE: RATE}),
        ({LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*"}, {}),
        ({}, {LEADER_RATE: RATE, FOLLOWER_RATE: RATE}),
    ],
)
def test_replicas_that_no_topic_lists_go_on(topic: dict[str, str], rates: dict[str, int]) -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        await _throttle(cluster, topic, rates)
        assert await _seconds_of_reassignment(cluster) < 2

    assert simulate(story, configs=SMALL_STEPS).ok


def test_a_follower_in_sync_is_not_held_back() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        topic = {LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*", "min.insync.replicas": "2"}
        await _throttle(cluster, topic, {LEADER_RATE: 100, FOLLOWER_RATE: 100})
        producer = cluster.producer(linger_ms=0)
        begin = cluster.world.clock.now / 1e6
        for _ in range(BATCHES):
            producer.send("t", b"x" * SIZE)
        await producer.flush()
        assert cluster.world.clock.now / 1e6 - begin < 2

    assert simulate(story, configs=SMALL_STEPS).ok


def test_a_throttle_that_is_lifted() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        topic = {LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*"}
        await _throttle(cluster, topic, {LEADER_RATE: 10, FOLLOWER_RATE: 10})
        await cluster.admin.reassign(("t", 0), (1, 3))
        await cluster.advance(30)
        assert _isr(cluster) == []
        await cluster.admin.alter_configs("topic", "t", delete=list(topic))
        await cluster.until(lambda: _isr(cluster) == [1, 3], within=3, what="the reassignment to end")

    assert simulate(story, configs=SMALL_STEPS).ok


def test_a_move_between_directories_takes_its_time() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        await cluster.admin.alter_configs("broker", "1", set={MOVE_RATE: RATE})
        core = cluster.core(1)
        assert core is not None
        (partition,) = core.replicas.by_key.values()
        (other,) = [one.path for one in core.logs.live if one is not core.logs.directory_of(partition.log)]
        begin = cluster.world.clock.now / 1e6
        await cluster.admin.move_replica("t-0", 1, other)
        await cluster.until(lambda: not core.replicas.mover.moves, within=120, what="the move to end")
        assert cluster.world.clock.now / 1e6 - begin > 5

    assert simulate(story, configs={"log.dirs": "/a,/b", **SMALL_STEPS}).ok


async def _held_by_another_topic(cluster: Cluster) -> None:
    """Broker 2 follows all of t in sync, and has taken too much of big."""
    await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
    await cluster.admin.create_topic("u", assignment={0: (1, 2)})
    await cluster.admin.create_topic("big", assignment={0: (1, 3)})
    producer = cluster.producer(linger_ms=0)
    for _ in range(BATCHES):
        for topic in ("t", "u"):
            producer.send(topic, b"y")
        producer.send("big", b"x" * SIZE)
        await cluster.advance(0.02)
    await producer.flush()
    for topic in ("t", "big"):
        await cluster.admin.alter_configs("topic", topic, set={FOLLOWER_REPLICAS: "*"})
    await cluster.admin.alter_configs("broker", "2", set={FOLLOWER_RATE: 10})
    await cluster.advance(1)
    await cluster.admin.reassign("big-0", (1, 3, 2))
    await cluster.advance(3)


async def _messages_in(cluster: Cluster, *, seconds: float) -> int:
    before = cluster.world.messages
    await cluster.advance(seconds)
    return cluster.world.messages - before


@pytest.mark.parametrize("removed", [False, True])
def test_a_partition_that_is_held_in_a_new_epoch_leaves_the_session_of_the_leader(removed: bool) -> None:
    """Else the leader answers for the old epoch at once, again and again."""

    async def story(cluster: Cluster) -> None:
        await _held_by_another_topic(cluster)
        usual = await _messages_in(cluster, seconds=5)
        await cluster.admin.reassign("t-0", (1, 2))
        await cluster.advance(0.5)
        if removed:
            await cluster.admin.reassign("t-0", (1, 3))
        await cluster.advance(2)
        assert await _messages_in(cluster, seconds=5) < 1.5 * usual

    assert not simulate(story, configs=SMALL_STEPS, settle=False).violations  # what is held takes hours


def test_a_throttle_ends_with_its_topic() -> None:
    async def story(cluster: Cluster) -> None:
        configs = {LEADER_REPLICAS: "*", "max.message.bytes": 1_234}
        await cluster.admin.create_topic("t", assignment={0: (1, 2)}, configs=configs)
        await cluster.advance(1)
        await cluster.admin.delete_topic("t")
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        await cluster.advance(1)
        core = cluster.core(1)
        assert core is not None
        assert not core.replicas.quotas.leader.throttled
        (partition,) = core.replicas.by_key.values()
        assert partition.log.config.max_message_bytes == 1_048_588

    assert simulate(story).ok
