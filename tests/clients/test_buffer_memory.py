"""buffer.memory: who waits for it, what that does to linger.ms, and how long."""

from __future__ import annotations

import pytest

from kafsim import simulate
from kafsim.clients.buffer_pool import BufferPool
from kafsim.clients.errors import KafkaError, KafkaTimeoutError
from kafsim.cluster.cluster import Cluster

SMALL = {"batch.size": 1_000, "buffer.memory": 2_500, "linger.ms": 20_000, "delivery.timeout.ms": 60_000}


def test_the_first_in_line_takes_what_becomes_free_and_the_small_pass() -> None:
    pool, ready = BufferPool(1_000), []
    assert pool.allocate(700, lambda: ready.append("first")) is None
    large = pool.allocate(900, lambda: ready.append("large"))
    assert large is not None
    assert (large.got, pool.available, pool.is_exhausted) == (300, 0, True)
    pool.allocate(100, lambda: ready.append("second"))
    pool.free(500)
    assert (ready, pool.available) == ([], 0)
    pool.free(200)
    assert (ready, pool.available) == (["large", "second"], 0)
    pool.free(900)
    assert ready == ["large", "second"]
    assert (pool.available, pool.is_exhausted) == (900, False)


def test_who_gives_up_leaves_what_it_has_to_the_next() -> None:
    pool, ready = BufferPool(1_000), []
    pool.allocate(800, lambda: None)
    first = pool.allocate(900, lambda: ready.append("first"))
    pool.allocate(150, lambda: ready.append("second"))
    assert first is not None
    pool.give_up(first)
    assert (ready, pool.available) == (["second"], 50)


def test_a_send_that_waits_for_memory_ends_the_lingering_of_the_others() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3)
        producer = cluster.producer(SMALL)
        before = cluster.world.clock.now
        sent = [producer.send("t", "v", partition=index) for index in range(3)]
        await sent[0]  # it frees the memory that the last one waits for; who can be reached later goes on lingering
        assert cluster.world.clock.now - before < 2_000_000
        await producer.flush()
        assert sent[2].done

    assert simulate(story).ok


def test_a_send_that_finds_no_memory_in_time_fails() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment=dict.fromkeys(range(3), (1,)))
        producer = cluster.producer({**SMALL, "max.block.ms": 2_000})
        warm = producer.send("t", "v", partition=0)
        await producer.flush()
        await warm
        cluster.pause(1)
        sent = [producer.send("t", "v", partition=index) for index in range(3)]
        before = cluster.world.clock.now
        with pytest.raises(KafkaTimeoutError, match=r"Failed to allocate 1000 bytes .* 2000 ms\. Total memory: 2500"):
            await sent[2]
        assert cluster.world.clock.now - before == 2_000_000
        cluster.resume(1)
        await producer.flush()
        assert all(one.done for one in sent)

    assert simulate(story).ok


def test_what_is_larger_than_all_memory_is_refused() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        with pytest.raises(KafkaError, match="larger than the total memory buffer"):
            await cluster.producer(SMALL).send_and_wait("t", "v" * 3_000)

    assert simulate(story).ok


def test_memory_is_given_back_in_the_end() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3)
        producer = cluster.producer({**SMALL, "linger.ms": 0})
        for number in range(40):
            producer.send("t", "v" * 300, partition=number % 3)
        await producer.flush()
        core = producer.node.port.core
        assert core.accumulator.pool.available == 2_500
        assert not core._starving

    assert simulate(story).ok
