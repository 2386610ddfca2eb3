"""A client that can reach none of the brokers it knows begins again (KIP-899, KIP-1102)."""

from __future__ import annotations

import itertools

from kafsim import simulate
from kafsim.clients.producer import Producer
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ProducerHandle

QUICK = {"broker.session.timeout.ms": 3_000, "broker.heartbeat.interval.ms": 500}


def _core(producer: ProducerHandle) -> Producer:
    assert producer.node.port is not None
    core = producer.node.port.core
    assert isinstance(core, Producer)
    return core


async def _moved_away(cluster: Cluster, **settings: object) -> ProducerHandle:
    """A producer that knows brokers 1 and 2 only, which both go for ever; its bootstrap servers are 3 and 1."""
    for broker in (3,):
        cluster.stop(broker)
    await cluster.until(lambda: cluster.brokers[3].port is None, within=30)
    await cluster.admin.create_topic("t", assignment={0: (1, 2)})
    cluster.bootstrap = [3, 1]
    producer = cluster.producer(linger_ms=0, delivery_timeout_ms=60_000, request_timeout_ms=5_000, **settings)
    await producer.send("t", "a")
    assert sorted(_core(producer).metadata.brokers) == [1, 2]
    cluster.restart(3)
    await cluster.until(lambda: cluster.is_serving(3), within=30)
    await cluster.admin.reassign("t-0", (3,))
    await cluster.until(lambda: cluster.leader("t-0") == 3, within=30)
    return producer


def test_a_client_finds_brokers_that_it_did_not_know() -> None:
    async def story(cluster: Cluster) -> None:
        producer = await _moved_away(cluster)
        cluster.kill(1)
        cluster.kill(2)
        assert (await producer.send("t", "b")).offset == 1
        assert _core(producer).metadata.brokers == [3]

    simulate(story, brokers=3, configs=QUICK)


def test_without_the_strategy_it_never_does() -> None:
    async def story(cluster: Cluster) -> None:
        producer = await _moved_away(cluster, metadata_recovery_strategy="none")
        cluster.kill(1)
        cluster.kill(2)
        sent = producer.send("t", "b")
        await cluster.advance(30)
        assert not sent.done
        cluster.restart(1)
        await sent

    simulate(story, brokers=3, configs=QUICK)


def test_brokers_that_do_not_answer_are_given_up_after_the_trigger() -> None:
    async def story(cluster: Cluster) -> None:
        producer = await _moved_away(cluster, metadata_recovery_rebootstrap_trigger_ms=20_000)
        cluster.pause(1)
        cluster.pause(2)
        sent = producer.send("t", "b")
        await cluster.advance(15)
        assert not sent.done
        await sent
        assert _core(producer).metadata.brokers == [3]

    simulate(story, brokers=3, configs=QUICK)


def test_metadata_that_tells_nothing_new_is_asked_for_ever_more_slowly() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1,)})
        producer = cluster.producer(linger_ms=0)
        await producer.send("t", "a")
        cluster.kill(1)
        await cluster.until(lambda: cluster.leader("t-0") is None, within=30)
        producer.send("t", "b")
        await cluster.advance(5)
        times: list[int] = []
        metadata = _core(producer).metadata
        version = metadata.version
        for _ in range(100):
            await cluster.advance(0.1)
            if metadata.version != version:
                times.append(cluster.world.clock.now)
                version = metadata.version
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) >= 7
        assert all(700_000 <= gap <= 1_300_000 for gap in gaps)  # retry.backoff.max.ms, by lot

    simulate(story, brokers=2, configs=QUICK)
