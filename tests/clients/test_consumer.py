"""A consumer with assigned partitions: positions, pauses, the replica it reads from, truncation."""

from __future__ import annotations

from typing import Any

import pytest

from kafsim import simulate
from kafsim.broker.replica_selector import RACK_AWARE
from kafsim.clients.calls import OffsetAndTimestamp
from kafsim.clients.errors import (
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.protocol import errors
from kafsim.protocol.facts import client as facts
from kafsim.protocol.types import TopicPartition

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Listening:
    level = 2

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def on_fact(self, stated: Any) -> None:
        self.facts.append(stated.fact)

    def of(self, kind: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


def _run(story, **options: Any) -> Listening:
    listening = Listening()
    run = simulate(story, listeners=(listening,), **options)
    assert run.violations == ()
    return listening


async def _send(cluster: Cluster, count: int, *, partition: int = 0, **settings: object) -> None:
    producer = cluster.producer({"linger.ms": 0, "acks": "1", **settings})
    for number in range(count):
        await producer.send_and_wait("t", str(number), partition=partition, timestamp_ms=1_000 + number)


async def _read(consumer: ConsumerHandle, count: int) -> list[int]:
    offsets: list[int] = []
    while len(offsets) < count:
        records = await consumer.getmany(timeout_ms=2_000)
        assert records, f"only {offsets}"
        offsets += [record.offset for record in records]
    return offsets


# ---------------------------------------------------------------------------------- positions


def test_seek_pause_and_bounds() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        await _send(cluster, 4)
        await _send(cluster, 3, partition=1)
        consumer = cluster.consumer(auto_offset_reset="earliest")
        assert await consumer.end_offsets([T0, T1]) == {T0: 4, T1: 3}
        assert await consumer.beginning_offsets([T0]) == {T0: 0}
        assert await consumer.offsets_for_times({T0: 1_002, T1: 9_999}) == {
            T0: OffsetAndTimestamp(2, 1_002, 0),
            T1: None,
        }
        await consumer.assign([T0, T1])
        await consumer.pause(T1)
        assert (await consumer.look_at(T1)).paused
        assert await _read(consumer, 4) == [0, 1, 2, 3]
        assert await consumer.getmany(timeout_ms=1_000) == ()
        await consumer.resume(T1)
        assert await _read(consumer, 3) == [0, 1, 2]
        await consumer.seek(T0, 3)
        view = await consumer.look_at(T0)
        assert (view.state, view.position, view.leader_epoch, view.lag) == ("FETCHING", 3, -1, 1)
        assert await _read(consumer, 1) == [3]
        assert (await consumer.look_at(T0)).leader_epoch == 0

    _run(story)


def test_what_was_fetched_of_a_paused_partition_is_kept() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        await _send(cluster, 3)
        consumer = cluster.consumer(auto_offset_reset="earliest", max_poll_records=1)
        await consumer.assign([T0])
        assert await _read(consumer, 1) == [0]
        await consumer.pause(T0)
        assert await consumer.getmany(timeout_ms=300) == ()
        cluster.kill("leader:t-0")
        await consumer.resume(T0)
        assert await _read(consumer, 2) == [1, 2]

    _run(story)


def test_nothing_is_fetched_while_nobody_polls() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await _send(cluster, 1)
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign([T0])
        await cluster.advance(5)
        assert (await consumer.look_at(T0)).state == "INITIALIZING"
        assert await _read(consumer, 1) == [0]

    _run(story)


def test_without_a_reset_policy_a_position_must_be_given() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await _send(cluster, 2)
        consumer = cluster.consumer(auto_offset_reset="none")
        await consumer.assign([T0])
        with pytest.raises(NoOffsetForPartitionError):
            await consumer.getmany(timeout_ms=1_000)
        await consumer.seek(T0, 7)
        for _ in range(2):
            with pytest.raises(OffsetOutOfRangeError) as raised:
                await consumer.getmany(timeout_ms=1_000)
            assert raised.value.offsets == {T0: 7}
        await consumer.seek(T0, 1)
        assert await _read(consumer, 1) == [1]

    _run(story)


def test_a_broken_record_is_told_until_somebody_seeks_past_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", replication_factor=1)
        await _send(cluster, 3)
        leader = cluster.leader("t-0")
        assert leader is not None
        log = cluster.replica("t-0", leader).log
        where = log.active.batches[1]
        last = where.position + where.size - 1
        was = log.active.file.read(last, 1)
        log.active.file.overwrite(last, b"\xff")
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign([T0])
        assert await _read(consumer, 1) == [0]
        for _ in range(2):
            with pytest.raises(KafkaError) as raised:
                await consumer.getmany(timeout_ms=1_000)
            assert raised.value.code == errors.CORRUPT_MESSAGE
        await consumer.seek(T0, 2)
        assert await _read(consumer, 1) == [2]
        log.active.file.overwrite(last, was)

    _run(story)


def test_what_cannot_be_asked_is_told() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,), 1: (1,)})
        consumer = cluster.consumer(default_api_timeout_ms=2_000)
        with pytest.raises(IllegalStateError, match="not subscribed to any topics or assigned"):
            await consumer.getmany(timeout_ms=100)
        await consumer.assign([T0])
        for asked in (consumer.position(T1), consumer.seek(T1, 0), consumer.pause(T1), consumer.look_at(T1)):
            with pytest.raises(IllegalStateError):
                await asked
        with pytest.raises(ValueError, match="negative"):
            await consumer.seek(T0, -1)
        cluster.pause(1)
        before = cluster.world.clock.now
        with pytest.raises(KafkaTimeoutError, match="Timeout of 2000ms expired before the position for partition t-0"):
            await consumer.position(T0)
        assert cluster.world.clock.now - before == 2_000_000
        cluster.resume(1)

    _run(story)


def test_an_admin_client_asks_the_leader_that_took_over() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        await _send(cluster, 3, acks="all")
        assert await cluster.admin.delete_records(T0, 1) == 1
        cluster.stop(1)
        await cluster.until(lambda: cluster.leader("t-0") == 2 and cluster.brokers[1].port is None, within=60)
        cluster.restart(1)
        await cluster.until(lambda: cluster.isr("t-0") == (1, 2) or cluster.isr("t-0") == (2, 1), within=60)
        assert await cluster.admin.delete_records(T0, 2) == 2

    _run(story)


# ----------------------------------------------------------------------------------- KIP-320


def test_another_leader_is_asked_whether_it_has_what_was_read() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", replication_factor=3)
        await _send(cluster, 3, acks="all")
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign([T0])
        await _read(consumer, 3)
        cluster.kill("leader:t-0")
        await cluster.until(lambda: cluster.leader("t-0"), within=30)
        await _send(cluster, 1, acks="all")
        assert await _read(consumer, 1) == [3]

    assert _run(story).of(facts.LogTruncationDetected) == []


async def _truncate(cluster: Cluster, consumer: ConsumerHandle) -> None:
    """Five of ten records that were read are lost: their only holder goes down, and another one leads."""
    await cluster.admin.create_topic("t", assignment={0: (1, 2)})
    await _send(cluster, 5, acks="all")
    cluster.kill(2)
    await cluster.until(lambda: cluster.isr("t-0") == (1,), within=30)
    await _send(cluster, 5)
    await consumer.assign([T0])
    await consumer.seek(T0, 0)
    assert await _read(consumer, 10) == list(range(10))
    cluster.kill(1)
    cluster.restart(2)
    await cluster.until(lambda: cluster.leader("t-0") == 2, within=60)


UNCLEAN = {
    "unclean.leader.election.enable": True,
    "min.insync.replicas": 1,
    "unclean.leader.election.interval.ms": 1_000,
}


def test_a_truncated_log_takes_the_position_back_to_where_it_ends() -> None:
    async def story(cluster: Cluster) -> None:
        consumer = cluster.consumer()
        await _truncate(cluster, consumer)
        await _send(cluster, 2)
        assert await _read(consumer, 2) == [5, 6]

    (fact,) = _run(story, configs=UNCLEAN).of(facts.LogTruncationDetected)
    assert (fact.position, dict(fact.because.values)) == (10, {"leader": 2, "asked": 0, "epoch": 0, "end": 5})


def test_without_a_reset_policy_truncation_is_told() -> None:
    async def story(cluster: Cluster) -> None:
        consumer = cluster.consumer(auto_offset_reset="none")
        await _truncate(cluster, consumer)
        with pytest.raises(LogTruncationError) as raised:
            await consumer.getmany(timeout_ms=10_000)
        assert (raised.value.offsets, raised.value.diverging) == ({T0: 10}, {T0: 5})
        await consumer.seek(T0, 5)
        await _send(cluster, 1)
        assert await _read(consumer, 1) == [5]

    _run(story, configs=UNCLEAN)


def test_a_seek_with_an_epoch_asks_the_leader_first() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await _send(cluster, 3)
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign([T0])
        await _read(consumer, 3)
        await consumer.seek(T0, 9, leader_epoch=0)
        assert (await consumer.look_at(T0)).state == "AWAIT_VALIDATION"
        assert await consumer.position(T0) == 3

    assert len(_run(story).of(facts.LogTruncationDetected)) == 1


# ----------------------------------------------------------------------------------- KIP-392


def test_a_consumer_reads_from_the_replica_in_its_rack() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        await _send(cluster, 5, acks="all")
        consumer = cluster.consumer(auto_offset_reset="earliest", client_rack="c")
        elsewhere = cluster.consumer(auto_offset_reset="earliest", client_rack="d")
        for reader in (consumer, elsewhere):
            await reader.assign([T0])
            assert await _read(reader, 5) == list(range(5))
        assert (await consumer.look_at(T0)).preferred_replica == 3
        assert (await elsewhere.look_at(T0)).preferred_replica is None
        await _send(cluster, 1, acks="all")
        assert await _read(consumer, 1) == [5]
        cluster.kill(3)
        await _send(cluster, 1, acks="all")
        assert await _read(consumer, 1) == [6]
        assert (await consumer.look_at(T0)).preferred_replica is None

    heard = _run(story, configs={"replica.selector.class": RACK_AWARE}, racks=("a", "b", "c"))
    assert [(fact.partition, fact.replica) for fact in heard.of(facts.ReadReplicaChosen)] == [(0, 3)]


def test_without_a_selector_the_leader_serves_every_rack() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        await _send(cluster, 2, acks="all")
        consumer = cluster.consumer(auto_offset_reset="earliest", client_rack="c")
        await consumer.assign([T0])
        assert await _read(consumer, 2) == [0, 1]

    assert _run(story, racks=("a", "b", "c")).of(facts.ReadReplicaChosen) == []
