"""Where logs begin and end: told to whoever has to know it, and reached by replicas that begin empty."""

from __future__ import annotations

from kafsim import simulate
from kafsim.cluster.cluster import Cluster

SMALL = {"segment.bytes": 1_048_576, "retention.bytes": 1_048_576}


def _run(story, **configs: object) -> None:
    run = simulate(story, configs={name.replace("_", "."): value for name, value in configs.items()})
    assert run.violations == ()


async def _batch(cluster: Cluster, count: int, size: int = 1, **settings: object) -> None:
    """So many records in one batch."""
    producer = cluster.producer({"linger.ms": 50, "batch.size": 900_000, **settings})
    sent = [producer.send("t", b"x" * size) for _ in range(count)]
    for one in sent:
        await one


def test_an_empty_replica_begins_with_the_batch_that_holds_the_log_start() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: [1, 2]})
        await _batch(cluster, 10)
        await cluster.admin.delete_records("t-0", 4)
        cluster.stop(2)
        await cluster.until(lambda: cluster.brokers[2].port is None)
        cluster.wipe(2)
        cluster.restart(2)
        await cluster.until(lambda: cluster.isr("t-0") == (1, 2), within=60)
        view = next(view for view in cluster.replicas("t-0") if view.broker == 2)
        assert (view.log_start_offset, view.log_end_offset) == (4, 10)

    _run(story)


def test_what_was_fetched_once_is_given_again_to_whoever_seeks_back() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await _batch(cluster, 3)
        consumer = cluster.consumer(auto_offset_reset="earliest")
        await consumer.assign(["t-0"])
        for _ in range(3):
            read = await consumer.getmany(timeout_ms=2_000)
            assert [record.offset for record in read] == [0, 1, 2]
            await consumer.seek("t-0", 0)

    _run(story)


def test_a_log_start_moved_by_retention_is_told_to_the_leader() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: [1, 2]}, configs=SMALL)
        for _ in range(4):
            await _batch(cluster, 1, 800_000)
        await cluster.advance(20)
        starts = {view.log_start_offset for view in cluster.replicas("t-0")}
        assert starts == {2}
        before = cluster.world.clock.now
        assert await cluster.admin.delete_records("t-0", 2) == 2
        assert cluster.world.clock.now - before < 1_000_000

    _run(story, log_retention_check_interval_ms=5_000, log_initial_task_delay_ms=1_000)


def test_an_offset_that_the_new_topic_of_the_name_does_not_know_is_not_written_to_it() -> None:
    """A producer goes by the id of its topic: what was for the topic that is gone fails there, and is sent anew."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        producer = cluster.producer({"linger.ms": 0})
        await producer.send_and_wait("t", "one")
        body = {
            "acks": 1,
            "timeoutMs": 1_000,
            "topicData": [{"topicId": "AAAAAAAAAAAAAAAAAAAAAQ", "partitionData": [{"index": 0, "records": b""}]}],
        }
        answer = await cluster.admin.raw(1, "PRODUCE", 13, body)
        assert answer["responses"][0]["partitionResponses"][0]["errorCode"] == 100
        await cluster.admin.delete_topic("t")
        await cluster.admin.create_topic("t")
        assert (await producer.send_and_wait("t", "two")).offset == 0

    _run(story)


def test_fetch_min_bytes_above_what_one_answer_can_hold_does_not_wait() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await _batch(cluster, 10, 1_000)
        consumer = cluster.consumer(
            {"fetch.min.bytes": 5_000_000, "fetch.max.bytes": 5_000, "fetch.max.wait.ms": 20_000},
            auto_offset_reset="earliest",
        )
        await consumer.assign(["t-0"])
        before = cluster.world.clock.now
        assert len(await consumer.getmany(timeout_ms=30_000)) == 10
        assert cluster.world.clock.now - before < 1_000_000

    _run(story)
