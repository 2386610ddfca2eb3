"""A producer shuns partitions whose broker does not take what is ready for it (partitioner.availability.timeout.ms)."""

from __future__ import annotations

from collections import Counter

import pytest

from kafsim import simulate
from kafsim.clients.broker_availability import BrokerAvailability
from kafsim.cluster.cluster import Cluster
from kafsim.protocol.types import Micros


@pytest.mark.parametrize(("timeout", "shunned"), [(0, False), (500, True)])
def test_a_paused_broker(timeout: int, shunned: bool) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,), 1: (2,), 2: (3,)})
        producer = cluster.producer(linger_ms=0, batch_size=100, partitioner_availability_timeout_ms=timeout)
        for _ in range(100):
            producer.send("t", b"x" * 50)
            await cluster.advance(0.01)
        cluster.pause(1)
        sent: Counter[int] = Counter()
        calls = []
        for number in range(300):
            calls.append((number, producer.send("t", b"x" * 50)))
            await cluster.advance(0.01)
        cluster.resume(1)
        await producer.flush()
        for number, call in calls:
            if number >= 150:
                sent[(await call).partition] += 1
        assert (sent[0] == 0) is shunned
        assert sent[1] > 10
        assert sent[2] > 10

    assert simulate(story, brokers=3).ok


def test_a_broker_that_takes_something_is_available_again() -> None:
    availability = BrokerAvailability(Micros(1_000))
    availability.note(Micros(0), [], [1])
    assert availability.is_available(1)
    availability.note(Micros(1_001), [], [1])
    assert not availability.is_available(1)
    assert availability.is_available(2)
    availability.note(Micros(2_000), [1], [])
    assert availability.is_available(1)
