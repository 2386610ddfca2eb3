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


# ------------------------------------------------------------------------ moves between directories


def _lag(described, path: str, topic: str = "t") -> list[tuple[int, int, bool]]:
    return [
        (p.partition_index, p.offset_lag, p.is_future_key)
        for found in described[path].topics
        if found.name == topic
        for p in found.partitions
    ]


@pytest.mark.parametrize("broker", [1, 2])
def test_a_replica_moves_under_load_and_nobody_but_the_controller_hears_of_it(broker: int) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2)})
        producer = cluster.producer(linger_ms=0)
        sent = [producer.send("t", f"{i}" * 100, partition=0) for i in range(50)]
        await cluster.advance(1)
        source = _path(cluster, broker, "t-0")
        target = "/b" if source == "/a" else "/a"
        before = cluster.partition("t-0")
        await cluster.admin.move_replica("t-0", broker, target)
        assert [future for _, _, future in _lag(await cluster.admin.describe_log_dirs(broker), target)] == [True]
        sent += [producer.send("t", f"{i}" * 100, partition=0) for i in range(50)]
        await cluster.until(lambda: _path(cluster, broker, "t-0") == target, within=10)
        sent += [producer.send("t", f"{i}", partition=0) for i in range(10)]
        for one in sent:
            await one
        await cluster.advance(2)
        after, core = cluster.partition("t-0"), cluster.core(broker)
        assert (after.leader_epoch, after.isr) == (before.leader_epoch, before.isr)
        assert after.directories[broker - 1] == core.logs.paths[target].id
        assert after.partition_epoch == before.partition_epoch + 1
        described = await cluster.admin.describe_log_dirs(broker)
        assert _lag(described, target) == [(0, 0, False)]
        assert _lag(described, source) == []
        cluster.kill(broker)
        cluster.restart(broker)
        await cluster.until(lambda: cluster.replica("t-0", broker) is not None, within=30)
        assert _path(cluster, broker, "t-0") == target

    run = _run(story, brokers=2, configs={**TWO, **FAST})
    assert run.history.lost == 0
    assert run.history.duplicated == 0


def test_a_move_goes_on_after_a_restart() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,)})
        producer = cluster.producer(linger_ms=0)
        for i in range(20):
            await producer.send("t", f"{i}" * 1_000, partition=0)
        await cluster.advance(1)
        target = "/b" if _path(cluster, 1, "t-0") == "/a" else "/a"
        cluster.cut(1, "controller")
        await cluster.admin.move_replica("t-0", 1, target)
        await cluster.advance(0.5)
        cluster.kill(1)
        cluster.heal(1, "controller")
        cluster.restart(1)
        await cluster.until(lambda: cluster.replica("t-0", 1) and _path(cluster, 1, "t-0") == target, within=60)

    run = _run(story, brokers=2, configs={**TWO, **FAST})
    assert run.history.lost == 0


def test_a_move_is_given_up_for_another_one_or_when_its_directory_fails() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,)})
        producer = cluster.producer(linger_ms=0)
        await producer.send("t", "x", partition=0)
        await cluster.advance(1)
        source = _path(cluster, 1, "t-0")
        second, third = (path for path in ("/a", "/b", "/c") if path != source)
        cluster.cut(1, "controller")
        await cluster.admin.move_replica("t-0", 1, second)
        await cluster.admin.move_replica("t-0", 1, third)
        described = await cluster.admin.describe_log_dirs(1)
        assert _lag(described, second) == []
        assert [future for _, _, future in _lag(described, third)] == [True]
        await cluster.admin.move_replica("t-0", 1, source)  # as kafka-reassign-partitions cancels
        assert _lag(await cluster.admin.describe_log_dirs(1), third) == []
        await cluster.admin.move_replica("t-0", 1, second)
        cluster.heal(1, "controller")
        number = "/a/b/c".index(second) // 2
        if number:
            cluster.fail_disk(1, number)
            await cluster.advance(2)
            with pytest.raises(KafkaError) as refused:
                await cluster.admin.move_replica("t-0", 1, third)
            assert refused.value.code == errors.KAFKA_STORAGE_ERROR
        await producer.send("t", "y", partition=0)

    run = _run(story, brokers=2, configs={**FAST, "log.dirs": "/a,/b,/c"})
    assert run.history.lost == 0


@pytest.mark.parametrize(
    ("partition", "path", "error"),
    [("t-0", "/z", errors.LOG_DIR_NOT_FOUND), ("x-0", "/a", errors.UNKNOWN_TOPIC_OR_PARTITION),
     ("t-1", "/a", errors.REPLICA_NOT_AVAILABLE)],
)  # fmt: skip
def test_moves_that_cannot_be(partition: str, path: str, error: int) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,), 1: (2,)})
        with pytest.raises(KafkaError) as refused:
            await cluster.admin.move_replica(partition, 1, path)
        assert refused.value.code == error

    _run(story, brokers=2, configs=TWO)


def test_a_replica_that_comes_later_goes_where_it_was_wanted() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,)})
        with pytest.raises(KafkaError):
            await cluster.admin.move_replica("t-0", 2, "/b")
        await cluster.admin.reassign("t-0", (2,))
        await cluster.until(lambda: cluster.replica("t-0", 2) is not None, within=10)
        assert _path(cluster, 2, "t-0") == "/b"

    _run(story, brokers=2, configs=TWO)
