"""Several log directories: where replicas go, what a failed directory takes along, and how it comes back (KIP-112)."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.protocol import errors
from kafsim.protocol.config import ConfigError

TWO = {"log.dirs": "/a,/b"}
FAST = {"broker.session.timeout.ms": 3_000, "broker.heartbeat.interval.ms": 500}


def _run(story, **options: object):
    run = simulate(story, **options)
    assert run.violations == ()
    assert run.differences == ()
    return run


def _path(cluster: Cluster, broker: int, partition: str) -> str:
    core, replica = cluster.core(broker), cluster.replica(partition, broker)
    assert core is not None
    assert replica is not None
    return core.logs.directory_of(replica.log).path


def test_new_replicas_go_to_the_directory_with_the_fewest_logs_and_the_controller_learns_where() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4, replication_factor=1)
        await cluster.advance(2)
        assert [_path(cluster, 1, f"t-{i}") for i in range(4)] == ["/a", "/b", "/a", "/b"]
        core = cluster.core(1)
        for index in range(4):
            state = cluster.partition(("t", index))
            assert core is not None
            assert state is not None
            assert core.logs.paths["/" + "ab"[index % 2]].id == state.directories[0]

    _run(story, brokers=1, configs=TWO)


def test_a_failed_directory_takes_its_replicas_offline_and_the_others_go_on() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2), 1: (1, 2)})
        producer = cluster.producer(linger_ms=0)
        await producer.send("t", "a", partition=0)
        await producer.send("t", "b", partition=1)
        await cluster.advance(2)
        lost = next(i for i in (0, 1) if _path(cluster, 1, f"t-{i}") == "/b")
        cluster.fail_disk(1, 1)
        await producer.send("t", "c", partition=lost)  # refused by 1, taken by 2
        assert cluster.leader(("t", lost)) == 2
        assert cluster.isr(("t", lost)) == (2,)
        assert cluster.leader(("t", 1 - lost)) == 1
        await producer.send("t", "d", partition=1 - lost)
        topic = await cluster.admin.describe_topic("t")
        assert [p.offline_replicas for p in sorted(topic.partitions, key=lambda p: p.partition_index)][lost] == (1,)
        assert cluster.replica(("t", lost), 1) is None
        cluster.repair_disk(1, 1)
        cluster.restart(1)
        await cluster.until(lambda: len(cluster.isr(("t", lost))) == 2, within=60)

    _run(story, brokers=2, configs={**TWO, **FAST})


def test_a_broker_that_starts_without_a_directory_makes_no_log_anew_that_may_be_in_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,), 1: (1,)})
        producer = cluster.producer(linger_ms=0)
        for index in (0, 1):
            await producer.send("t", "x", partition=index)
        await cluster.advance(2)
        lost = next(i for i in (0, 1) if _path(cluster, 1, f"t-{i}") == "/b")
        cluster.kill(1)
        cluster.fail_disk(1, 1)
        await cluster.advance(5)
        cluster.restart(1)
        await cluster.until(lambda: cluster.is_serving(1), within=30)
        await producer.send("t", "y", partition=1 - lost)
        assert cluster.leader(("t", lost)) is None
        assert cluster.replica(("t", lost), 1) is None
        cluster.kill(1)
        cluster.repair_disk(1, 1)
        cluster.restart(1)
        await cluster.until(lambda: cluster.leader(("t", lost)) == 1, within=30)
        await producer.send("t", "z", partition=lost)

    run = _run(story, brokers=2, configs={**TWO, **FAST})
    assert run.history.lost == 0


def test_without_its_first_directory_a_node_halts() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2, replication_factor=2)
        cluster.fail_disk(1, 0)
        await cluster.until(lambda: cluster.brokers[1].port is None, within=10)
        cluster.restart(1)
        assert cluster.brokers[1].port is None
        cluster.repair_disk(1, 0)
        cluster.restart(1)
        await cluster.until(lambda: cluster.is_serving(1), within=30)

    _run(story, brokers=2, configs={**TWO, **FAST})


def test_clients_are_told_of_a_storage_error() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,), 1: (1,)})
        producer = cluster.producer(linger_ms=0, retries=0, delivery_timeout_ms=3_000, request_timeout_ms=1_000)
        await cluster.advance(2)
        lost = next(i for i in (0, 1) if _path(cluster, 1, f"t-{i}") == "/b")
        cluster.fail_disk(1, 1)
        with pytest.raises(KafkaError) as refused:
            await producer.send("t", "x", partition=lost)
        assert refused.value.code == errors.KAFKA_STORAGE_ERROR
        body = {
            "replicaId": -1,
            "topics": [{"name": "t", "partitions": [{"partitionIndex": lost, "timestamp": -1}]}],
        }
        answer = await cluster.admin.raw(1, "LIST_OFFSETS", 6, body)
        assert answer["topics"][0]["partitions"][0]["errorCode"] == errors.KAFKA_STORAGE_ERROR

    _run(story, brokers=1, configs={**TWO, **FAST}, settle=True)


def test_a_broker_that_cannot_tell_the_controller_stops() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4, replication_factor=2)
        await cluster.advance(2)
        cluster.cut(1, "controller")
        cluster.fail_disk(1, 1)
        tp = next(i for i in range(4) if _path(cluster, 1, f"t-{i}") == "/b")
        producer = cluster.producer(linger_ms=0, acks=0)
        producer.send("t", "x", partition=tp)
        await cluster.advance(5)
        core = cluster.core(1)
        assert core is not None
        assert core.lifecycle.is_running
        await cluster.advance(10)
        assert core.lifecycle.state.value == "PENDING_CONTROLLED_SHUTDOWN"
        cluster.heal(1, "controller")
        await cluster.until(lambda: cluster.brokers[1].port is None, within=30)

    _run(story, brokers=2, configs={**TWO, **FAST, "log.dir.failure.timeout.ms": 10_000})


@pytest.mark.parametrize("dirs", ["", "/a,/a"])
def test_log_dirs_that_cannot_be(dirs: str) -> None:
    async def story(cluster: Cluster) -> None: ...

    with pytest.raises(ConfigError, match=r"log\.dirs"):
        simulate(story, configs={"log.dirs": dirs})
