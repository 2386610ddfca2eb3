"""Consumers of the consumer protocol (KIP-848): what their listeners hear, whatever fails."""

from __future__ import annotations

from typing import Any

import pytest

from kafsim.clients.errors import KafkaError
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.protocol.facts import client as cf
from kafsim.protocol.facts import group as gf
from kafsim.protocol.types import TopicPartition
from tests.clients.groups_kit import Heard, Noted, keep_polling, owned, run

SOON = {
    "group.consumer.session.timeout.ms": 6_000,
    "group.consumer.min.session.timeout.ms": 6_000,
    "group.consumer.heartbeat.interval.ms": 500,
    "group.consumer.min.heartbeat.interval.ms": 500,
}
MEMBER = {
    "group.id": "g",
    "group.protocol": "consumer",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "metadata.max.age.ms": 2_000,
}


def play(story: Any, *, settle: bool = True, **configs: object) -> Heard:
    return run(story, settle=settle, **{**SOON, **configs})


async def join(
    cluster: Cluster,
    noted: Noted | None = None,
    *,
    seconds: float = 60,
    topics: tuple[str, ...] = ("t",),
    **given: object,
) -> ConsumerHandle:
    """Polls for so long; ``max_poll_interval_ms=...``"""
    dotted = {name.replace("_", "."): value for name, value in given.items()}
    consumer = cluster.consumer({**MEMBER, **dotted})
    await consumer.subscribe(topics, listener=noted)
    keep_polling(cluster, consumer, seconds)
    return consumer


async def two(cluster: Cluster, first: Noted, second: Noted, **given: object) -> tuple[ConsumerHandle, ConsumerHandle]:
    """Members of a topic of four partitions, two each."""
    await cluster.admin.create_topic("t", partitions=4)
    one = await join(cluster, first, **given)
    await cluster.advance(3)
    other = await join(cluster, second, **given)
    await cluster.advance(4)
    return one, other


def test_partitions_are_handed_over_while_the_rest_is_read_on() -> None:
    first, second = Noted(), Noted()

    async def story(cluster: Cluster) -> None:
        assert await owned(*await two(cluster, first, second)) == [[0, 1], [2, 3]]

    heard = play(story)
    assert first.events == [("assigned", [0, 1, 2, 3]), ("revoked", [2, 3]), ("assigned", [])]
    assert second.events == [("assigned", []), ("assigned", [2, 3])]
    assert [fact.epoch for fact in heard.of(gf.GroupEpochBumped)] == [2, 3]


def test_a_member_that_is_killed_is_missed_after_its_session() -> None:
    first, second = Noted(), Noted()

    async def story(cluster: Cluster) -> None:
        one, other = await two(cluster, first, second)
        other.kill()
        await cluster.advance(5)
        assert await owned(one) == [[0, 1]]
        await cluster.advance(4)
        assert await owned(one) == [[0, 1, 2, 3]]

    play(story)
    assert first.events[-1] == ("assigned", [2, 3])


def test_one_that_sleeps_too_long_has_lost_its_partitions_and_joins_again() -> None:
    first, second = Noted(), Noted()

    async def story(cluster: Cluster) -> None:
        one, other = await two(cluster, first, second)
        other.node.pause()
        await cluster.advance(10)
        assert await owned(one) == [[0, 1, 2, 3]]
        other.node.resume()
        await cluster.advance(5)
        assert sorted(map(len, await owned(one, other))) == [2, 2]

    play(story)
    assert ("lost", [2, 3]) in second.events


def test_one_that_does_not_poll_leaves_and_comes_back_with_its_next_poll() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        slow = await join(cluster, noted, seconds=3, max_poll_interval_ms=4_000)
        await cluster.advance(12)
        assert (await cluster.admin.describe_group("g")).members == ()
        keep_polling(cluster, slow, 10)
        await cluster.advance(4)
        assert await owned(slow) == [[0, 1]]

    play(story)
    assert noted.events == [("assigned", [0, 1]), ("lost", [0, 1]), ("assigned", [0, 1])]


def test_a_static_member_that_is_closed_comes_back_to_what_it_had() -> None:
    first = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        one = await join(cluster, first, group_instance_id="i1")
        await cluster.advance(3)
        other = await join(cluster, group_instance_id="i2")
        await cluster.advance(4)
        had = await owned(other)
        await other.stop()
        await cluster.advance(2)
        again = await join(cluster, group_instance_id="i2")
        await cluster.advance(3)
        assert await owned(again) == had
        assert (await cluster.admin.describe_group("g")).epoch == 3
        assert await owned(one) == [[0, 1]]

    play(story)
    assert first.events == [("assigned", [0, 1, 2, 3]), ("revoked", [2, 3]), ("assigned", [])]


def test_a_static_member_that_was_killed_holds_its_instance_id_and_who_comes_is_refused_for_good() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        one = await join(cluster, group_instance_id="i1")
        await cluster.advance(3)
        one.kill()
        again = cluster.consumer({**MEMBER, "group.instance.id": "i1"})
        await again.subscribe(["t"])
        with pytest.raises(KafkaError) as raised:
            await again.getmany(timeout_ms=5_000)
        assert raised.value.name == "UNRELEASED_INSTANCE_ID"
        keep_polling(cluster, again, 20)
        await cluster.advance(15)
        assert await owned(again) == [[]]
        last = await join(cluster, group_instance_id="i1")
        await cluster.advance(3)
        assert await owned(last) == [[0, 1]]

    play(story)


def test_what_was_read_is_committed_before_it_is_given_up() -> None:
    """So nobody reads it again."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        producer = cluster.producer()
        settings = {"enable_auto_commit": True, "auto_commit_interval_ms": 60_000}
        await join(cluster, **settings)
        for number in range(40):
            await producer.send_and_wait("t", f"{number}", partition=number % 4)
        await join(cluster, **settings)
        await cluster.advance(5)
        for number in range(8):
            await producer.send_and_wait("t", f"more {number}", partition=number % 4)
        await cluster.advance(3)

    heard = play(story)
    read = [one for name in ("consumer-1", "consumer-2") for one in heard.read_by(name)]
    assert len(read) == len(set(read)) == 48


def test_a_commit_of_one_that_is_no_member_any_more_fails() -> None:
    async def story(cluster: Cluster) -> None:
        _, other = await two(cluster, Noted(), Noted())
        other.node.pause()
        await cluster.advance(10)
        call = other.begin_commit({"t-2": 7})
        other.node.resume()
        with pytest.raises(KafkaError) as raised:
            await call.wait()
        assert raised.value.name == "CommitFailedException"

    play(story)


def test_a_pattern_is_resolved_by_the_coordinator() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders-eu")
        await cluster.admin.create_topic("other")
        member = cluster.consumer(MEMBER)
        await member.subscribe(pattern="orders-.*", listener=noted)
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        assert [str(tp) for tp in await member.assignment()] == ["orders-eu-0"]
        await cluster.admin.create_topic("orders-us")
        await cluster.advance(14)
        assert [str(tp) for tp in await member.assignment()] == ["orders-eu-0", "orders-us-0"]

    play(story)
    assert [event for event, _ in noted.events] == ["assigned", "assigned", "assigned"]


def test_a_pattern_that_is_none_is_refused() -> None:
    async def story(cluster: Cluster) -> None:
        member = cluster.consumer(MEMBER)
        await member.subscribe(pattern="(")
        with pytest.raises(KafkaError, match="Invalid RE2J SubscriptionPattern") as raised:
            await member.getmany(timeout_ms=5_000)
        assert raised.value.name == "INVALID_REGULAR_EXPRESSION"

    play(story)


class Failing(Noted):
    """Raises the first time it is asked to do this."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._fails = what

    def _maybe_fail(self, what: str) -> None:
        if self._fails == what:
            self._fails = ""
            raise ValueError(what)

    def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        super().on_partitions_assigned(partitions)
        self._maybe_fail("assigned")

    def on_partitions_revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        super().on_partitions_revoked(partitions)
        self._maybe_fail("revoked")


@pytest.mark.parametrize("what", ["assigned", "revoked"])
def test_a_listener_that_fails_is_asked_again_with_the_next_poll(what: str) -> None:
    noted = Failing(what)

    async def story(cluster: Cluster) -> None:
        one, other = await two(cluster, noted, Noted())
        assert await owned(one, other) == [[0, 1], [2, 3]]

    heard = play(story)
    assert len(heard.of(cf.ExtensionFailed)) == 1
    assert noted.events.count((what, {"assigned": [0, 1, 2, 3], "revoked": [2, 3]}[what])) in (1, 2)


def test_the_coordinator_dies_while_partitions_are_handed_over() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        one = await join(cluster)
        await cluster.advance(3)
        other = await join(cluster)
        await cluster.until(lambda: any(fact.pending for fact in heard_so_far.of(gf.MemberReconciled)), within=10)
        broker = cluster.coordinator_of("g")
        assert broker is not None
        cluster.kill(broker)
        await cluster.advance(12)
        assert await owned(one, other) == [[0, 1], [2, 3]]

    heard_so_far = Heard()

    def begin(cluster: Cluster) -> Any:
        cluster.world.listen(heard_so_far)
        return story(cluster)

    play(begin)


def test_new_partitions_and_topics_that_go() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        await cluster.admin.create_topic("u", partitions=1)
        member = await join(cluster, noted, topics=("t", "u"), allow_auto_create_topics=False)
        await cluster.advance(3)
        await cluster.admin.create_partitions("t", 2)
        await cluster.advance(4)
        assert [str(tp) for tp in await member.assignment()] == ["t-0", "t-1", "u-0"]
        await cluster.admin.delete_topic("t")
        await cluster.advance(4)
        assert [str(tp) for tp in await member.assignment()] == ["u-0"]

    play(story)
    assert noted.events == [("assigned", [0, 0]), ("assigned", [1]), ("revoked", [0, 1]), ("assigned", [])]


def test_another_subscription_is_told_with_the_next_heartbeat() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=1)
        await cluster.admin.create_topic("u", partitions=1)
        member = await join(cluster)
        await cluster.advance(3)
        await member.subscribe(["u"])
        await cluster.advance(3)
        assert [str(tp) for tp in await member.assignment()] == ["u-0"]
        await member.unsubscribe()
        assert await member.assignment() == ()
        await member.subscribe(["t"])
        await cluster.advance(3)
        assert [str(tp) for tp in await member.assignment()] == ["t-0"]

    play(story)


def test_the_assignor_that_is_asked_for() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3)
        await cluster.admin.create_topic("u", partitions=3)
        members = [await join(cluster, topics=("t", "u"), group_remote_assignor="range") for _ in range(2)]
        await cluster.advance(6)
        assert sorted(await owned(*members)) == [[0, 1, 0, 1], [2, 2]]
        assert (await cluster.admin.describe_group("g")).assignor == "range"

    play(story)


def test_an_assignor_that_nobody_knows_is_refused() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer({**MEMBER, "group.remote.assignor": "mine"})
        await member.subscribe(["t"])
        with pytest.raises(
            KafkaError, match=r"ServerAssignor mine is not supported\. Supported assignors: uniform, range\."
        ):
            await member.getmany(timeout_ms=5_000)

    play(story)


def test_a_cluster_without_the_protocol_says_so() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        member = cluster.consumer(MEMBER)
        await member.subscribe(["t"])
        with pytest.raises(KafkaError, match="does not support the new CONSUMER group protocol"):
            await member.getmany(timeout_ms=5_000)

    play(story, **{"group.coordinator.rebalance.protocols": "classic"})


def test_close_during_a_hand_over_leaves_nothing_behind() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=4)
        one = await join(cluster, noted)
        await cluster.advance(3)
        other = await join(cluster)
        await cluster.advance(0.1)
        await other.stop()
        await cluster.advance(3)
        assert await owned(one) == [[0, 1, 2, 3]]
        assert len((await cluster.admin.describe_group("g")).members) == 1

    play(story)


def test_classic_members_may_be_kept_out() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        await join(cluster)
        await cluster.advance(3)
        classic = cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"})
        await classic.subscribe(["t"])
        with pytest.raises(KafkaError) as raised:
            await classic.getmany(timeout_ms=5_000)
        assert raised.value.name == "INCONSISTENT_GROUP_PROTOCOL"

    play(story, settle=False, **{"group.consumer.migration.policy": "disabled"})


def test_members_that_an_admin_removes() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        member = await join(cluster, noted)
        await cluster.advance(3)
        await cluster.admin.remove_members("g")
        await cluster.advance(3)
        assert await owned(member) == [[0, 1]]

    play(story)
    assert noted.events == [("assigned", [0, 1]), ("lost", [0, 1]), ("assigned", [0, 1])]


def test_an_empty_group_changes_its_protocol() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        one = await join(cluster, seconds=3)
        await cluster.advance(3.5)
        await one.stop()
        await cluster.advance(1)
        old = await join(cluster, group_protocol="classic")
        await cluster.advance(4)
        await old.commit({"t-0": 0})
        assert (await cluster.admin.describe_group("g")).type == "Classic"

    heard = play(story)
    assert [fact.type for fact in heard.of(gf.GroupConverted)] == ["classic"]


@pytest.mark.parametrize("seconds", [0.0008, 0.0012, 0.002])
def test_the_coordinator_dies_while_the_group_changes_its_protocol(seconds: float) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        new = await join(cluster, seconds=8)
        await cluster.advance(3)
        old = await join(cluster, group_protocol="classic")
        await cluster.advance(5)
        broker = cluster.coordinator_of("g")
        assert broker is not None
        new.begin_stop()
        await cluster.advance(seconds)
        cluster.kill(broker)
        await cluster.advance(10)
        other = await join(cluster, group_protocol="classic")
        await cluster.advance(10)
        await old.commit({"t-0": 0})
        assert sorted(await owned(old, other)) == [[0], [1]]

    play(story)


async def still(cluster: Cluster, noted: Noted | None, **given: object) -> ConsumerHandle:
    """A member of a topic of two partitions, which has polled for a while and does not any more."""
    await cluster.admin.create_topic("t", partitions=2)
    member = await join(cluster, noted, seconds=2, **given)
    await cluster.advance(2.3)
    return member


async def make_fatal(cluster: Cluster) -> None:
    """Its group is gone before it beats again."""
    await cluster.admin.remove_members("g")
    await cluster.admin.delete_group("g")
    await cluster.advance(1)


def test_what_a_listener_failed_for_is_read_once_it_does_not() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        producer = cluster.producer()
        for number in range(10):
            await producer.send_and_wait("t", f"{number}", partition=number % 2)
        await join(cluster, Failing("assigned"))
        await cluster.advance(4)

    assert len(play(story).read_by("consumer-1")) == 10


def test_a_member_that_is_refused_for_good_has_lost_its_partitions_with_the_next_poll() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        member = await still(cluster, noted)
        await make_fatal(cluster)
        with pytest.raises(KafkaError, match="Consumer group g not found"):
            await member.getmany(timeout_ms=100)
        assert await member.assignment() == ()
        assert await member.getmany(timeout_ms=100) == ()
        await member.stop()

    play(story, settle=False)
    assert noted.events == [("assigned", [0, 1]), ("lost", [0, 1])]


def test_or_when_it_unsubscribes() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        member = await still(cluster, noted)
        await make_fatal(cluster)
        with pytest.raises(KafkaError, match="Consumer group g not found"):
            await member.unsubscribe()

    play(story, settle=False)
    assert noted.events[-1] == ("lost", [0, 1])


def test_unsubscribe_waits_for_the_coordinator_and_a_group_that_is_gone_is_none_of_its_business() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        member = await still(cluster, noted)
        await cluster.admin.remove_members("g")
        await cluster.admin.delete_group("g")
        await member.unsubscribe()
        await member.subscribe(["t"], listener=noted)
        keep_polling(cluster, member, 10)
        await cluster.advance(3)
        assert await owned(member) == [[0, 1]]
        await member.unsubscribe()
        assert (await cluster.admin.describe_group("g")).state == "Empty"

    play(story)


@pytest.mark.parametrize("how", ["no poll", "removed"])
def test_a_commit_that_is_due_goes_out_before_partitions_are_lost(how: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        producer = cluster.producer()
        for number in range(10):
            await producer.send_and_wait("t", f"{number}")
        given = {"enable_auto_commit": True, "auto_commit_interval_ms": 3_000, "max_poll_interval_ms": 4_000}
        member = await join(cluster, Noted(), seconds=2, **given)
        if how == "removed":
            await cluster.advance(5)
            await cluster.admin.remove_members("g")
        await cluster.advance(8)
        keep_polling(cluster, member, 5)
        await cluster.advance(4)
        assert await member.committed("t-0") == 10

    assert len(play(story).read_by("consumer-1")) == 10


def test_a_topic_that_is_deleted_is_not_made_again_for_a_pattern() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders-a")
        await cluster.admin.create_topic("orders-b")
        member = cluster.consumer(MEMBER)
        await member.subscribe(pattern="orders-.*")
        keep_polling(cluster, member, 60)
        await cluster.advance(4)
        await cluster.admin.delete_topic("orders-b")
        await cluster.advance(20)
        assert [str(tp) for tp in await member.assignment()] == ["orders-a-0"]
        core = cluster.controller_core
        assert core is not None
        assert "orders-b" not in core.state.topic_ids
        await member.unsubscribe()
        await cluster.admin.create_topic("x")
        await member.subscribe(["x"])
        await cluster.advance(4)
        assert [str(tp) for tp in await member.assignment()] == ["x-0"]

    play(story)


class Losing(Noted):
    def on_partitions_lost(self, partitions: tuple[TopicPartition, ...]) -> None:
        super().on_partitions_lost(partitions)
        raise ValueError("lost")


def test_a_listener_that_fails_when_it_is_told_what_is_lost_fails_the_poll_and_the_member_comes_back() -> None:
    noted = Losing()

    async def story(cluster: Cluster) -> None:
        member = await still(cluster, noted)
        await cluster.admin.remove_members("g")
        await cluster.advance(1)
        with pytest.raises(KafkaError, match="User rebalance callback throws an error"):
            await member.getmany(timeout_ms=100)
        keep_polling(cluster, member, 10)
        await cluster.advance(3)
        assert await owned(member) == [[0, 1]]

    play(story)


def test_who_has_no_listener_needs_no_poll_to_give_up_and_to_come_back() -> None:
    async def story(cluster: Cluster) -> None:
        member = await still(cluster, None)
        await cluster.admin.remove_members("g")
        await cluster.advance(1)
        assert await member.assignment() == ()
        assert len((await cluster.admin.describe_group("g")).members) == 1

    play(story, settle=False)


def test_close_of_a_member_that_does_not_know_what_it_has_lost_revokes_it() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        member = await still(cluster, noted)
        await cluster.admin.remove_members("g")
        await cluster.advance(1)
        await member.stop()

    play(story, settle=False)
    assert noted.events[-1] == ("revoked", [0, 1])


def test_an_automatic_commit_waits_for_the_coordinator() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        producer = cluster.producer()
        await producer.send_and_wait("t", "one")
        member = await join(cluster, enable_auto_commit=True, auto_commit_interval_ms=20_000, request_timeout_ms=2_000)
        await cluster.advance(10)
        broker = cluster.coordinator_of("g")
        assert broker is not None
        cluster.kill(broker)
        await cluster.advance(15)
        cluster.restart(broker)
        await cluster.advance(5)
        assert await member.committed("t-0") == 1

    play(story, **{"offsets.topic.replication.factor": 1})


def test_automatic_commits_are_one_at_a_time_and_no_interval_is_lost() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", assignment={0: (1, 2, 3)})
        producer = cluster.producer()
        member = await join(cluster, enable_auto_commit=True, auto_commit_interval_ms=1_000)
        await cluster.advance(2)
        broker = cluster.coordinator_of("g")
        assert broker is not None
        cluster.slow_link(broker, "consumer:1", extra_ms=1_200)
        await producer.send_and_wait("t", "one")
        await cluster.advance(8)
        assert await member.committed("t-0") == 1

    heard = play(story)
    assert len(heard.of(cf.PositionsTaken, "consumer-1")) >= 5


def test_other_partitions_by_hand_after_a_commit_and_none_is_to_unsubscribe() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        producer = cluster.producer()
        await producer.send_and_wait("t", "one", partition=0)
        settings = {**MEMBER, "enable.auto.commit": True, "auto.commit.interval.ms": 1_000}
        member = cluster.consumer(settings)
        await member.assign(["t-0"])
        assert len(await member.getmany(timeout_ms=2_000)) == 1
        await cluster.advance(2)
        await member.assign(["t-1"])
        await cluster.advance(1)
        assert await member.committed("t-0") == 1
        other = await join(cluster)
        await cluster.advance(3)
        await other.assign([])
        assert (await cluster.admin.describe_group("g")).members == ()

    play(story)


def test_the_group_metadata_is_that_of_the_present_membership() -> None:
    async def story(cluster: Cluster) -> None:
        member = await still(cluster, None)
        core: Any = member.node.port and member.node.port.core
        assert core.group.joined.id == 2
        await member.unsubscribe()
        assert core.group.joined.is_none

    play(story)


def test_one_that_comes_back_to_a_group_that_is_a_classic_one_by_now_is_refused_for_good() -> None:
    noted = Noted()

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        member = await join(cluster, noted, seconds=4)
        await join(cluster, group_protocol="classic")
        await cluster.advance(8)
        member.node.pause()
        await cluster.advance(12)
        member.node.resume()
        with pytest.raises(KafkaError, match="Group g is not a consumer group"):
            await member.getmany(timeout_ms=5_000)

    heard = play(story)
    assert [fact.type for fact in heard.of(gf.GroupConverted)] == ["classic"]
    assert noted.events[-1][0] == "lost"
