"""Consumers in classic groups, through what fails: members, coordinators, polls that come too late."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kafsim import simulate
from kafsim.clients.assignors.assignor import Assignment, Assignor, Subscriptions, Topics
from kafsim.clients.errors import CommitFailedError, IllegalStateError, InvalidGroupIdError, KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.cluster.world import Stated
from kafsim.protocol.config import ConfigError
from kafsim.protocol.facts import client as cf
from kafsim.protocol.facts import group as gf
from kafsim.protocol.facts.fact import CHATTER
from kafsim.protocol.facts.world import MessageSent
from kafsim.protocol.types import TopicPartition
from tests.clients.groups_kit import FEW, MEMBER, Noted, keep_polling, owned, run


async def _two(cluster: Cluster, *, partitions: int = 4, **settings: object) -> list[ConsumerHandle]:
    await cluster.admin.create_topic("t", partitions=partitions)
    members = [cluster.consumer({**MEMBER, **settings}) for _ in range(2)]
    for member in members:
        await member.subscribe(["t"])
        keep_polling(cluster, member, 60)
    await cluster.advance(5)
    return members


def test_partitions_are_shared_and_taken_over_from_a_member_that_dies() -> None:
    async def story(cluster: Cluster) -> None:
        first, second = await _two(cluster)
        assert sorted(await owned(first, second)) == [[0, 1], [2, 3]]
        second.kill()
        await cluster.advance(8)
        assert await owned(first) == [[0, 1, 2, 3]]

    (removed,) = run(story).of(gf.MemberRemoved)
    assert "session.timeout.ms=6000" in str(removed.because)


@pytest.mark.parametrize("settings", [{}, {"partition.assignment.strategy": "cooperative-sticky"}])
def test_a_new_member_goes_on_where_the_group_has_come_to(settings: dict[str, object]) -> None:
    """Nothing is left out. An eager owner commits before it gives up a partition, so that nothing is read twice either.

    A cooperative one reads on after that commit until it hears what it has to give up, as Kafka's does.
    """

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        producer = cluster.producer()
        first = cluster.consumer({**MEMBER, **settings, "enable.auto.commit": True})
        await first.subscribe(["t"])
        keep_polling(cluster, first, 30)
        second = cluster.consumer({**MEMBER, **settings, "enable.auto.commit": True})
        for number in range(100):
            producer.send("t", f"{number}", partition=number % 2)
            await cluster.advance(0.1)
            if number == 40:
                await second.subscribe(["t"])
                keep_polling(cluster, second, 20)
        await cluster.advance(3)
        await second.stop()

    heard = run(story)
    reads = heard.read_by("consumer-1") + heard.read_by("consumer-2")
    assert sorted(set(reads)) == [(partition, offset) for partition in range(2) for offset in range(50)]
    assert len(reads) <= 100 + 4 * bool(settings)
    assert len(heard.read_by("consumer-2")) > 10


def test_cooperative_members_read_on_while_partitions_move() -> None:
    """Only what moves is revoked; it takes two generations."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        settings = {**MEMBER, "partition.assignment.strategy": "cooperative-sticky"}
        first, noted = cluster.consumer(settings), Noted()
        await first.subscribe(["t"], listener=noted)
        keep_polling(cluster, first, 30)
        await cluster.advance(3)
        second = cluster.consumer(settings)
        await second.subscribe(["t"])
        keep_polling(cluster, second, 20)
        await cluster.advance(5)
        assert await owned(first, second) == [[0, 1], [2, 3]]
        assert noted.events == [("assigned", [0, 1, 2, 3]), ("revoked", [2, 3]), ("assigned", []), ("assigned", [])]

    generations = [fact.generation for fact in run(story).of(gf.AssignmentStored)]
    assert generations == [1, 2, 3]


@pytest.mark.parametrize("when", ["GroupStateChanged", "GroupAssignmentDecided", "AssignmentStored", "MemberAdded"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_the_coordinator_dies_in_each_phase_of_a_rebalance(when: str, nth: int) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        members = [cluster.consumer({**MEMBER, "request.timeout.ms": 2_000}) for _ in range(3)]

        def kill(_: Stated) -> None:
            coordinator = cluster.coordinator_of("g")
            if coordinator is not None:
                cluster.kill(coordinator)

        cluster.on(when, kill, nth=nth)
        for member in members:
            await member.subscribe(["t"])
            keep_polling(cluster, member, 60)
            await cluster.advance(0.3)
        await cluster.advance(40)
        assert sorted(itertools.chain(*await owned(*members))) == [0, 1, 2, 3]
        described = await cluster.admin.describe_group("g")
        assert (described.state, len(described.members)) == ("Stable", 3)

    run(story)


def test_a_member_that_does_not_poll_loses_its_partitions_and_its_commit_is_refused() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        slow, noted = cluster.consumer({**MEMBER, "max.poll.interval.ms": 4_000}), Noted()
        other = cluster.consumer({**MEMBER, "max.poll.interval.ms": 4_000})
        await slow.subscribe(["t"], listener=noted)
        await other.subscribe(["t"])
        keep_polling(cluster, slow, 4)
        keep_polling(cluster, other, 60)
        await cluster.advance(10)
        assert await owned(other) == [[0, 1]]
        with pytest.raises(CommitFailedError, match=r"longer than the configured max\.poll\.interval\.ms|not part of"):
            await slow.commit({"t-0": 1})
        keep_polling(cluster, slow, 20)
        await cluster.advance(5)
        assert sorted(await owned(slow, other)) == [[0], [1]]
        assert "lost" in [what for what, _ in noted.events]

    left = [fact for fact in run(story).of(gf.MemberRemoved) if "poll timeout has expired" in str(fact.because)]
    assert len(left) == 1


def test_a_leader_that_moves_during_a_rebalance_is_not_asked_again_and_again() -> None:
    """Positions are not validated while a join waits; a new leader that an answer names must do (KIP-951)."""
    asked: list[int] = []

    class Sent:
        level = CHATTER

        def on_fact(self, stated: Stated) -> None:
            if isinstance(stated.fact, MessageSent) and stated.fact.what == "FetchRequest":
                asked.extend([stated.time] * (str(stated.node) == "consumer-1"))

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3), 1: (1, 2, 3)})
        members = [cluster.consumer({**MEMBER, "partition.assignment.strategy": "cooperative-sticky"}) for _ in "abc"]
        for member in members[:2]:
            await member.subscribe(["t"])
            keep_polling(cluster, member, 40)
        await cluster.advance(5)
        members[1].node.pause()
        await members[2].subscribe(["t"])
        keep_polling(cluster, members[2], 30)
        await cluster.advance(1)
        asked.clear()
        cluster.stop(1)
        await cluster.advance(2)
        assert len(asked) < 40

    assert simulate(story, configs=FEW, listeners=(Sent(),)).ok


def test_a_paused_member_comes_back_as_nobody() -> None:
    """A zombie: its heartbeat and its commit are of a member that is gone; it joins anew and loses what it had."""

    async def story(cluster: Cluster) -> None:
        first, second = await _two(cluster)
        first.node.pause()
        await cluster.advance(10)
        assert await owned(second) == [[0, 1, 2, 3]]
        first.node.resume()
        await cluster.advance(5)
        assert sorted(await owned(first, second)) == [[0, 1], [2, 3]]

    heard = run(story)
    assert len(heard.of(cf.PartitionsLost)) == 1


def test_partitions_that_are_added_are_given_out() -> None:
    async def story(cluster: Cluster) -> None:
        first, second = await _two(cluster, partitions=2)
        await cluster.admin.create_partitions("t", 6)
        await cluster.advance(6)
        assert sorted(itertools.chain(*await owned(first, second))) == [0, 1, 2, 3, 4, 5]

    run(story)


def test_topics_that_match_a_pattern_come_and_go() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders-eu")
        member = cluster.consumer(MEMBER)
        await member.subscribe(pattern="orders-.*")
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        assert [tp.topic for tp in await member.assignment()] == ["orders-eu"]
        await cluster.admin.create_topic("orders-us")
        await cluster.admin.create_topic("payments")
        await cluster.advance(5)
        assert [tp.topic for tp in await member.assignment()] == ["orders-eu", "orders-us"]
        await cluster.admin.delete_topic("orders-eu")
        await cluster.advance(5)
        assert [tp.topic for tp in await member.assignment()] == ["orders-us"]

    run(story)


def test_a_static_member_that_restarts_keeps_its_partitions() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        static = [cluster.consumer({**MEMBER, "group.instance.id": f"i{n}"}) for n in range(2)]
        for member in static:
            await member.subscribe(["t"])
            keep_polling(cluster, member, 40)
            await cluster.advance(2)
        before = await owned(*static)
        static[1].kill()
        again = cluster.consumer({**MEMBER, "group.instance.id": "i1"})
        await again.subscribe(["t"])
        keep_polling(cluster, again, 20)
        await cluster.advance(4)
        assert await owned(static[0], again) == before

    heard = run(story)
    assert [fact.generation for fact in heard.of(gf.AssignmentStored)] == [1, 2]


def test_of_two_with_one_instance_id_the_first_is_fenced() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        first, second = (cluster.consumer({**MEMBER, "group.instance.id": "i"}) for _ in range(2))
        await first.subscribe(["t"])
        keep_polling(cluster, first, 3)
        await cluster.advance(3)
        await second.subscribe(["t"])
        keep_polling(cluster, second, 10)
        await cluster.advance(3)
        with pytest.raises(KafkaError, match="FENCED_INSTANCE_ID"):
            await first.getmany()

    run(story)


def test_offsets_are_committed_asked_for_and_reset_by_an_admin() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        producer = cluster.producer()
        for number in range(5):
            await producer.send_and_wait("t", f"{number}")
        member = cluster.consumer(MEMBER)
        assert await member.committed("t-0") is None
        await member.subscribe(["t"])
        read: list[Any] = []
        while len(read) < 5:
            read += await member.getmany(timeout_ms=1_000)
        await member.commit()
        assert await member.committed("t-0") == 5
        assert await cluster.admin.list_group_offsets("g") == {TopicPartition("t", 0): 5}
        with pytest.raises(KafkaError, match="UNKNOWN_MEMBER_ID"):
            await cluster.admin.alter_group_offsets("g", {"t-0": 2})
        with pytest.raises(KafkaError, match="NON_EMPTY_GROUP"):
            await cluster.admin.delete_group("g")
        await member.stop()
        with pytest.raises(IllegalStateError, match="already been closed"):
            await member.getmany()
        await cluster.admin.alter_group_offsets("g", {"t-0": 2})
        again = cluster.consumer(MEMBER)
        await again.subscribe(["t"])
        assert [record.offset for record in await again.getmany(timeout_ms=5_000)] == [2, 3, 4]
        await cluster.admin.remove_members("g")
        await again.stop()
        await cluster.admin.delete_group_offsets("g", ["t-0"])
        assert await cluster.admin.list_group_offsets("g") == {}
        await cluster.admin.delete_group("g")
        with pytest.raises(KafkaError, match="GROUP_ID_NOT_FOUND"):
            await cluster.admin.describe_group("g")
        assert await cluster.admin.list_groups(cluster.brokers) == []

    run(story)


def test_a_consumer_with_assigned_partitions_may_commit_to_a_group() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        await cluster.producer().send_and_wait("t", "x")
        reader = cluster.consumer(MEMBER)
        await reader.assign(["t-0"])
        assert len(await reader.getmany(timeout_ms=5_000)) == 1
        await reader.commit()
        other = cluster.consumer(MEMBER)
        await other.assign(["t-0"])
        assert await other.getmany(timeout_ms=3_000) == ()
        assert await other.position("t-0") == 1
        with pytest.raises(IllegalStateError, match="mutually exclusive"):
            await other.subscribe(["t"])

    run(story)


class Everything(Assignor):
    """All to the member with the smallest id."""

    name = "everything"

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        every = [TopicPartition(topic, index) for topic, racks in topics.items() for index in range(len(racks))]
        return {member: every if member == min(subscriptions) else [] for member in subscriptions}


def test_an_assignor_of_your_own() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3)
        members = [cluster.consumer(MEMBER, assignors=[Everything()]) for _ in range(2)]
        for member in members:
            await member.subscribe(["t"])
            keep_polling(cluster, member, 20)
        await cluster.advance(5)
        assert sorted(await owned(*members)) == [[], [0, 1, 2]]
        assert (await cluster.admin.describe_group("g")).assignor == "everything"

    run(story)


def test_a_listener_that_fails_fails_the_poll() -> None:
    class Broken(RebalanceListener):
        def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
            raise RuntimeError("no")

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"], listener=Broken())
        with pytest.raises(KafkaError, match="User rebalance callback throws an error"):
            await member.getmany(timeout_ms=5_000)
        assert await owned(member) == [[0]]

    assert len(run(story).of(cf.ExtensionFailed)) == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"group.id": " "}, "should not be an empty string"),
        ({"enable.auto.commit": True}, "default group id"),
        ({"group.id": "g", "heartbeat.interval.ms": 45_000}, "Heartbeat must be set lower"),
        ({"group.id": "g", "partition.assignment.strategy": "stiky"}, "there is no assignor 'stiky'"),
        ({"group.id": "g", "group.protocol": "new"}, "String must be one of"),
        (
            {"group.id": "g", "group.protocol": "consumer", "session.timeout.ms": 9_000, "heartbeat.interval.ms": 500},
            "heartbeat.interval.ms, session.timeout.ms cannot be set when group.protocol=CONSUMER",
        ),
        ({"group.id": "g", "group.remote.assignor": "range"}, "cannot be set when group.protocol=CLASSIC"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], text: str) -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(ConfigError, match=text):
            cluster.consumer(settings)

    run(story)


def test_without_a_group_id_there_is_no_group() -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(InvalidGroupIdError, match="you must provide a valid"):
            await cluster.consumer().subscribe(["t"])
        with pytest.raises(IllegalStateError, match="not subscribed to any topics"):
            await cluster.consumer(MEMBER).getmany()

    run(story)


def test_groups_repeat_bit_for_bit() -> None:
    async def story(cluster: Cluster) -> None:
        first, second = await _two(cluster)
        await cluster.producer().send_and_wait("t", "x")
        coordinator = cluster.coordinator_of("g")
        assert coordinator is not None
        cluster.kill(coordinator)
        await cluster.advance(10)
        second.kill()
        await cluster.advance(10)
        await first.stop()

    ways = itertools.product(("channel", "direct"), ("codec", "share"))
    prints = {simulate(story, configs=FEW, dispatch=d, wire=w, seed=5).fingerprint for d, w in ways}
    assert len(prints) == 1


def test_a_single_broker_has_groups_too() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", replication_factor=1)
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"])
        await member.getmany(timeout_ms=5_000)
        assert await owned(member) == [[0]]

    assert simulate(story, configs=FEW, brokers=1).ok
