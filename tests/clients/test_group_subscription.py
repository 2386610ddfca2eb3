"""Subscriptions that change: by list, by pattern, to nothing."""

from __future__ import annotations

import pytest

from kafsim.clients.errors import IllegalStateError
from kafsim.cluster.cluster import Cluster
from kafsim.protocol.facts import client as cf
from tests.clients.groups_kit import MEMBER, Noted, keep_polling, owned, run

COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky"}


def test_a_pattern_that_matches_nothing_at_first() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("other")
        member = cluster.consumer(MEMBER)
        await member.subscribe(pattern="orders-.*")
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        await cluster.admin.create_topic("orders-eu")
        await cluster.advance(10)
        assert await owned(member) == [[0]]

    run(story)


def test_a_pattern_after_another_subscription_waits_for_all_topics() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("a")
        await cluster.admin.create_topic("orders-eu")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["a"])
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        await member.unsubscribe()
        await member.subscribe(pattern="orders-.*")
        await cluster.advance(10)
        assert [str(tp) for tp in await member.assignment()] == ["orders-eu-0"]

    run(story)


def test_a_member_that_is_unknown_when_it_joins_has_lost_its_partitions() -> None:
    """Also one that gives up nothing before a join (Kafka: ``resetStateOnResponseError``)."""
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        await cluster.admin.create_topic("u")
        member = cluster.consumer({**MEMBER, **COOPERATIVE, "heartbeat.interval.ms": 5_000})
        await member.subscribe(["t"], listener=noted)
        keep_polling(cluster, member, 20)
        await cluster.advance(6.3)
        await cluster.admin.remove_members("g")
        await member.subscribe(["t", "u"], listener=noted)
        await cluster.advance(6)
        assert await owned(member) == [[0, 1, 0]]

    assert len(run(story).of(cf.PartitionsLost)) == 1
    assert noted.events == [("assigned", [0, 1]), ("lost", [0, 1]), ("assigned", [0, 1, 0])]


def test_what_is_subscribed_no_more_is_neither_read_nor_asked_for() -> None:
    """A topic that is deleted then is not made again by questions for it."""

    async def story(cluster: Cluster) -> None:
        for topic in "ab":
            await cluster.admin.create_topic(topic)
        producer = cluster.producer()
        for number in range(3):
            await producer.send_and_wait("a", f"{number}")
        member = cluster.consumer({**MEMBER, **COOPERATIVE})
        await member.subscribe(["a"])
        while not await member.getmany(timeout_ms=300, max_records=1):
            pass
        await member.subscribe(["b"])
        assert await member.getmany(timeout_ms=3_000) == ()
        await cluster.admin.delete_topic("a")
        keep_polling(cluster, member, 20)
        await cluster.advance(15)
        assert member.node.port is not None
        assert list(member.node.port.core.metadata.topics) == ["b"]

    run(story)


def test_the_order_of_topics_is_no_change() -> None:
    async def story(cluster: Cluster) -> None:
        for topic in "ab":
            await cluster.admin.create_topic(topic)
        member = cluster.consumer(MEMBER)
        await member.subscribe(["a", "b"])
        keep_polling(cluster, member, 20)
        await cluster.advance(3)
        await member.subscribe(["b", "a"])
        await cluster.advance(3)
        assert member.node.port is not None
        assert member.node.port.core.group.membership.generation.id == 1
        with pytest.raises(IllegalStateError, match="mutually exclusive"):
            await member.subscribe(pattern="a")

    run(story)


def test_unsubscribe_of_what_is_assigned_by_hand_tells_no_listener() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"], listener=noted)
        keep_polling(cluster, member, 3)
        await cluster.advance(3)
        await member.unsubscribe()
        await member.assign(["t-0"])
        await member.unsubscribe()
        alone = cluster.consumer()
        await alone.assign(["t-0"])
        await alone.unsubscribe()
        assert await owned(member, alone) == [[], []]

    assert run(story).of(cf.PartitionsLost) == []
    assert noted.events == [("assigned", [0]), ("revoked", [0])]
