"""Members of groups when the coordinator, its connection, or users' code fails at the worst moment."""

from __future__ import annotations

import pytest

from kafsim.clients.assignors.assignor import Assignment, Assignor, Subscriptions, Topics
from kafsim.clients.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafsim.clients.extensions import RebalanceListener
from kafsim.clients.group_consumer import CALLBACK_FAILED
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.protocol.facts import client as cf
from kafsim.protocol.types import TopicPartition
from tests.clients.groups_kit import MEMBER, Messages, keep_polling, owned, run

SLOW_HEARTBEATS = {**MEMBER, "heartbeat.interval.ms": 3_000}


async def _wait_for(cluster: Cluster, messages: Messages, node: str, what: str) -> None:
    while not messages.count(node, what):
        await cluster.advance(0.0001)


def test_the_coordinator_dies_while_its_leader_waits_for_metadata() -> None:
    """What the leader sends then goes to nobody, and it joins again elsewhere."""

    async def story(cluster: Cluster) -> None:
        for topic in "tu":
            await cluster.admin.create_topic(topic, partitions=2)
        leader, second, third = (cluster.consumer(SLOW_HEARTBEATS) for _ in range(3))
        await leader.subscribe(["t"])
        keep_polling(cluster, leader, 5, every_ms=100)
        await cluster.advance(2)
        await second.subscribe(["t"])
        keep_polling(cluster, second, 3.4, every_ms=100)
        await cluster.advance(3.5)
        assert await owned(leader, second) == [[0], [1]]
        assert leader.node.port is not None
        membership = leader.node.port.core.group.membership
        await third.subscribe(["u"])
        keep_polling(cluster, third, 60)
        while not membership.is_rebalancing:
            leader.begin_poll(timeout_ms=50)
            await cluster.advance(1)
        keep_polling(cluster, second, 60)
        while membership._to_assign is None:
            leader.begin_poll(timeout_ms=1)
            await cluster.advance(0.0015)
        cluster.kill(cluster.coordinator_of("g"))
        await cluster.advance(0.2)
        keep_polling(cluster, leader, 60)
        await cluster.advance(30)
        assert sorted(await owned(leader, second, third)) == [[0], [0, 1], [1]]

    run(story, settle=False)


def test_a_consumer_without_a_subscription_commits_to_the_new_coordinator() -> None:
    """Its connection is idle when it breaks: the next commit finds out."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1, replication_factor=3)
        producer = cluster.producer()
        reader = cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"})
        await reader.assign(["t-0"])
        keep_polling(cluster, reader, 100)
        await cluster.advance(8)
        cluster.kill(cluster.coordinator_of("g"))
        for _ in range(10):
            await producer.send_and_wait("t", "x")
        await cluster.advance(15)
        assert await cluster.new_admin().list_group_offsets("g") == {TopicPartition("t", 0): 10}

    run(story, settle=False)


def test_a_paused_coordinator_is_given_up_after_the_session() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"])
        keep_polling(cluster, member, 60)
        await cluster.advance(3)
        assert member.node.port is not None
        channel = member.node.port.core.group.channel
        cluster.pause(cluster.coordinator_of("g"))
        await cluster.advance(16)
        assert channel.is_known
        assert member.node.port.core.network.is_checked(channel._node)

    run(story, settle=False, **{"broker.session.timeout.ms": 9_000})


def test_a_call_ends_with_its_own_deadline_although_a_try_is_under_way() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        writer = cluster.consumer({**MEMBER, "default.api.timeout.ms": 20_000})
        await writer.assign(["t-0"])
        await writer.commit({"t-0": 0})
        messages = Messages()
        cluster.world.listen(messages)
        cluster.kill(cluster.coordinator_of("g"))
        begun = cluster.world.clock.now
        commit = writer.begin_commit({"t-0": 1})
        await _wait_for(cluster, messages, "consumer-1", "OffsetCommitRequest")
        cluster.pause(cluster.coordinator_of("g"))
        with pytest.raises(KafkaTimeoutError, match="expired before successfully committing"):
            await commit.wait()
        assert cluster.world.clock.now - begun == 20_000_000

    run(story, settle=False)


def test_a_call_ends_with_its_own_deadline_while_it_waits_to_try_again() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        pauses = {"retry.backoff.ms": 3_000, "retry.backoff.max.ms": 3_000}
        writer = cluster.consumer({**MEMBER, **pauses, "default.api.timeout.ms": 5_000})
        await writer.assign(["t-0"])
        await writer.commit({"t-0": 0})
        for broker in cluster.brokers:
            cluster.kill(broker)
        begun = cluster.world.clock.now
        with pytest.raises(KafkaTimeoutError, match="expired before successfully committing"):
            await writer.commit({"t-0": 1})
        assert cluster.world.clock.now - begun == 5_000_000

    run(story, settle=False)


def test_the_commit_before_a_join_is_tried_again() -> None:
    """The coordinator dies as the commit is sent: nothing is read twice all the same."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        producer = cluster.producer()
        settings = {**MEMBER, "enable.auto.commit": True, "auto.commit.interval.ms": 60_000}
        first, second = cluster.consumer(settings), cluster.consumer(settings)
        await first.subscribe(["t"])
        keep_polling(cluster, first, 60)
        await cluster.advance(3)
        for number in range(20):
            await producer.send_and_wait("t", f"{number}", partition=number % 2)
        await cluster.advance(1)
        messages = Messages()
        cluster.world.listen(messages)
        await second.subscribe(["t"])
        keep_polling(cluster, second, 60)
        await _wait_for(cluster, messages, "consumer-1", "OffsetCommitRequest")
        cluster.kill(cluster.coordinator_of("g"))
        await cluster.advance(15)
        assert sorted(await owned(first, second)) == [[0], [1]]

    heard = run(story, settle=False)
    read = heard.read_by("consumer-1") + heard.read_by("consumer-2")
    assert len(read) == len(set(read)) == 20
    assert [fact.error for fact in heard.of(cf.CommitFailed)] != []


def test_a_consumer_that_is_closed_commits_although_its_coordinator_has_died() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", replication_factor=3)
        producer = cluster.producer()
        for number in range(5):
            await producer.send_and_wait("t", f"{number}")
        member = cluster.consumer({**MEMBER, "enable.auto.commit": True})
        await member.subscribe(["t"])
        read = 0
        while read < 5:
            read += len(await member.getmany(timeout_ms=500))
        cluster.kill(cluster.coordinator_of("g"))
        await cluster.advance(0.5)
        await member.stop()
        assert await cluster.new_admin().list_group_offsets("g") == {TopicPartition("t", 0): 5}
        await member.stop()

    run(story)


def test_a_commit_that_waits_is_answered_when_the_consumer_is_closed() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.assign(["t-0"])
        commit, stop = member.begin_commit({"t-0": 0}), member.begin_stop()
        await stop.wait()
        with pytest.raises(IllegalStateError, match="already been closed"):
            await commit.wait()

    run(story)


class Fragile(RebalanceListener):
    """Fails when it is told of what goes; the first time, also when it is told of what comes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.calls.append(("assigned", len(partitions)))
        if len(self.calls) == 1:
            raise RuntimeError("not yet")

    def on_partitions_revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.calls.append(("revoked", len(partitions)))
        raise RuntimeError("not at all")


async def _errors_of_polls(member: ConsumerHandle, polls: int) -> list[str]:
    found = []
    for _ in range(polls):
        try:
            await member.getmany(timeout_ms=500)
        except KafkaError as error:
            found.append(error.message or "")
    return found


def test_a_listener_that_fails_is_heard_of_in_polls_and_at_the_end() -> None:
    """The join is completed once more after it failed; a member whose listener fails does not leave (as in Kafka)."""
    listener = Fragile()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        member, other = cluster.consumer(MEMBER), cluster.consumer(MEMBER)
        await member.subscribe(["t"], listener=listener)
        assert await _errors_of_polls(member, 6) == [CALLBACK_FAILED]
        assert listener.calls == [("assigned", 2), ("assigned", 0)]
        await other.subscribe(["t"])
        keep_polling(cluster, other, 10)
        assert await _errors_of_polls(member, 8) == [CALLBACK_FAILED]
        with pytest.raises(KafkaError, match="callback throws"):
            await member.unsubscribe()
        assert await owned(member) == [[]]
        assert len((await cluster.admin.describe_group("g")).members) == 2

    run(story)


class Lazy(Assignor):
    """Leaves everybody out, or fails."""

    name = "lazy"

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def assign(self, topics: Topics, subscriptions: Subscriptions) -> Assignment:
        if self._error is not None:
            raise self._error
        return {}


@pytest.mark.parametrize(
    ("assignor", "text"),
    [(Lazy(), "has 0 bytes and cannot be read"), (Lazy(RuntimeError("boom")), "lazy failed with RuntimeError")],
)
def test_an_assignor_that_fails_is_heard_of_in_the_poll(assignor: Lazy, text: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER, assignors=[assignor])
        await member.subscribe(["t"])
        with pytest.raises(KafkaError, match=text):
            await member.getmany(timeout_ms=3_000)

    run(story, settle=False)


def test_a_pattern_that_is_none_is_refused() -> None:
    async def story(cluster: Cluster) -> None:
        member = cluster.consumer(MEMBER)
        with pytest.raises(ValueError, match="is not a pattern"):
            await member.subscribe(pattern="(")
        with pytest.raises(IllegalStateError, match="not subscribed"):
            await member.getmany()

    run(story)


def test_a_join_is_not_gone_on_with_before_the_next_poll() -> None:
    """So a member that works between its polls holds the group up (Kafka's thread for heartbeats rests in a join)."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"])
        await member.getmany(timeout_ms=400)
        await cluster.advance(5)
        assert (await cluster.admin.describe_group("g")).state == "CompletingRebalance"
        await member.getmany(timeout_ms=400)
        assert await owned(member) == [[0]]

    run(story, **{"group.initial.rebalance.delay.ms": 3_000})


def test_an_admin_finds_the_next_coordinator() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"])
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        assert (await cluster.admin.describe_group("g")).state == "Stable"
        cluster.kill(cluster.coordinator_of("g"))
        begun = cluster.world.clock.now
        assert (await cluster.admin.describe_group("g")).state == "Stable"
        assert cluster.world.clock.now - begun < 10_000_000

    run(story)
