"""DeleteRecords: answered when every replica that is up has moved its log start."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster


async def _filled(cluster: Cluster, **configs: object) -> None:
    await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)}, configs=configs)
    producer = cluster.producer(linger_ms=0)
    for number in range(6):
        await producer.send_and_wait("t", f"v{number}")


def _starts(cluster: Cluster) -> list[int]:
    return [replica.log_start_offset for replica in cluster.replicas("t-0")]


def _run(story) -> None:
    assert simulate(story).ok


def test_all_replicas_move_before_the_answer() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        began = cluster.world.clock.now
        assert await cluster.admin.delete_records("t-0", 4) == 4
        assert cluster.world.clock.now - began < 1_000_000  # with the next fetch of each follower
        assert _starts(cluster) == [4, 4, 4]
        assert await cluster.admin.delete_records("t-0", -1) == 6
        assert await cluster.admin.delete_records("t-0", 2) == 6  # nothing goes back
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign(["t-0"])
        assert await consumer.getmany(timeout_ms=1_000) == ()

    _run(story)


def test_a_replica_that_is_down_is_not_waited_for() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        cluster.kill(3)
        await cluster.until(lambda: cluster.isr("t-0") == (1, 2))
        await cluster.advance(10)  # until the controller has fenced it
        assert await cluster.admin.delete_records("t-0", 5) == 5
        cluster.restart(3)
        await cluster.until(lambda: _starts(cluster) == [5, 5, 5])

    _run(story)


def test_a_replica_that_hangs_lets_the_request_time_out() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        cluster.pause(3)
        body = {"topics": [{"name": "t", "partitions": [{"partitionIndex": 0, "offset": 3}]}], "timeoutMs": 2_000}
        answer = await cluster.admin.raw(1, "DELETE_RECORDS", 2, body)
        assert answer["topics"][0]["partitions"] == [{"partitionIndex": 0, "lowWatermark": 0, "errorCode": 7}]
        assert _starts(cluster)[0] == 3

    _run(story)


def test_a_leader_that_steps_down_says_so() -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        cluster.pause(3)
        body = {"topics": [{"name": "t", "partitions": [{"partitionIndex": 0, "offset": 3}]}], "timeoutMs": 60_000}
        cluster.world.at(cluster.world.clock.now + 500_000, lambda: cluster.stop(1), "stop")
        answer = await cluster.admin.raw(1, "DELETE_RECORDS", 2, body)
        assert answer["topics"][0]["partitions"] == [{"partitionIndex": 0, "lowWatermark": -1, "errorCode": 6}]

    _run(story)


@pytest.mark.parametrize(("before", "error"), [(7, "OFFSET_OUT_OF_RANGE"), (-2, "OFFSET_OUT_OF_RANGE")])
def test_offsets_outside_the_log_are_refused(before: int, error: str) -> None:
    async def story(cluster: Cluster) -> None:
        await _filled(cluster)
        with pytest.raises(KafkaError, match=error):
            await cluster.admin.delete_records("t-0", before)
        assert _starts(cluster) == [0, 0, 0]

    _run(story)


def test_a_compacted_topic_refuses_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("c", assignment={0: (1, 2)}, configs={"cleanup.policy": "compact"})
        with pytest.raises(KafkaError, match="POLICY_VIOLATION"):
            await cluster.admin.delete_records("c-0", 0)

    _run(story)
