"""A coordinator whose log cannot be read or written, and requests that wait for a write when something else happens."""

from __future__ import annotations

from typing import Any

import pytest

from kafsim.cluster.cluster import Cluster
from kafsim.cluster.world import Stated
from kafsim.coordinator.coordinator_runtime import TOPIC
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from tests.clients.groups_kit import run
from tests.coordinator.group_kit import SLOW_TO_LAG, Hand, Later, begin_join, cut, heal, limit

PROTOCOL = {"protocolType": "consumer", "protocolName": "range"}


class Replies:
    """How often each request was answered with what, as brokers say it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: dict[tuple[int, int], list[int]] = {}
        real = Outbox.reply

        def reply(outbox: Outbox, connection: Any, header: Any, body: Any) -> None:
            if type(body).__name__ == "JoinGroupResponse":
                self.errors.setdefault((connection, header.correlation_id), []).append(body.error_code)
            real(outbox, connection, header, body)

        monkeypatch.setattr(Outbox, "reply", reply)


def test_a_disk_that_fails_as_the_coordinator_loads_takes_neither_broker_nor_offsets() -> None:
    """The coordinator fails, its broker goes on, and what was committed is there when another disk has it."""
    failed: dict[str, int] = {}

    async def story(cluster: Cluster) -> None:
        hand = Hand(cluster)
        await cluster.admin.create_topic("t")
        assert await hand.commit(5) == 0
        coordinator = await hand.coordinator()
        core = cluster.core(coordinator)
        assert core is not None
        index = core.groups.partition_of("g")

        def fail(stated: Stated) -> None:
            logs = cluster.core(stated.node.id).replicas.logs  # type: ignore[union-attr]
            directory = logs.directory_of(cluster.replica((TOPIC, index), stated.node.id).log)
            failed["broker"] = stated.node.id
            cluster.fail_disk(stated.node.id, logs.live.index(directory))

        cluster.on("CoordinatorLoading", fail, where=lambda stated: stated.fact.partition == index)
        cluster.kill(coordinator)
        await cluster.advance(10)
        assert cluster.core(failed["broker"]) is not None
        assert await hand.committed() == {0: 5}

    heard = run(story, **{"log.dirs": "/a,/b"})
    assert 0 not in [fact.offsets for fact in heard.of(facts.CoordinatorLoaded)][2:]


@pytest.mark.parametrize("then", ["another takes the instance id", "it leaves"])
def test_a_static_member_whose_return_is_not_written_may_be_gone_meanwhile(then: str) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        first = Hand(cluster, instance="i")
        await first.enter()
        coordinator = await first.coordinator()
        cut(cluster, coordinator)
        second = begin_join(cluster, coordinator, instance="i")
        await cluster.advance(0.5)
        if then == "it leaves":
            Later(cluster, coordinator, "LEAVE_GROUP", 5, members=[{"memberId": "", "groupInstanceId": "i"}])
            error = errors.UNKNOWN_MEMBER_ID
        else:
            begin_join(cluster, coordinator, instance="i")
            error = errors.FENCED_INSTANCE_ID
        await cluster.advance(8)
        assert (await second.get())["errorCode"] == error
        heal(cluster, coordinator)

    run(story, **SLOW_TO_LAG)


def test_no_join_is_answered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A static member comes back, and a rebalance overtakes the write that its answer waits for."""
    replies = Replies(monkeypatch)

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        first = Hand(cluster, instance="i")
        await first.enter()
        coordinator = await first.coordinator()
        cut(cluster, coordinator)
        begin_join(cluster, coordinator, instance="i")
        await cluster.advance(0.05)
        begin_join(cluster, coordinator, instance="j")
        await cluster.advance(0.05)
        heal(cluster, coordinator)
        await cluster.advance(2)

    run(story)
    assert len(replies.errors) >= 3
    assert [told for told in replies.errors.values() if len(told) > 1] == []


def test_only_who_made_a_group_hears_that_it_was_not_written() -> None:
    """Its second join waits for the others, and belongs to a generation in the end."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        coordinator = await hand.coordinator()
        await cluster.advance(1)
        cut(cluster, coordinator)
        given = (await begin_join(cluster, coordinator, ms=60_000).get())["memberId"]
        join = begin_join(cluster, coordinator, member=given, ms=60_000)
        await cluster.advance(5.5)
        assert not join.is_answered
        heal(cluster, coordinator)
        await cluster.advance(4)
        assert (await join.get())["generationId"] == 1

    run(story, **{"group.initial.rebalance.delay.ms": 8_000}, **SLOW_TO_LAG)


def test_a_static_member_that_waits_to_join_is_not_timed_out() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        begin_join(cluster, coordinator, instance="i", ms=60_000)
        await cluster.advance(1)
        again = begin_join(cluster, coordinator, instance="i", ms=60_000)
        await cluster.advance(9)
        assert not again.is_answered
        await cluster.advance(3)
        assert (await again.get())["errorCode"] == 0

    run(story, **{"group.initial.rebalance.delay.ms": 12_000})


def test_what_expires_is_written_in_several_batches_if_it_must() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=60)
        for number in range(5):
            hand = Hand(cluster, group=f"g{number}")
            for partition in range(0, 60, 3):
                assert await hand.commit(1, partition=partition) == 0
        await limit(cluster, 800)
        await cluster.advance(120)
        for number in range(5):
            assert await Hand(cluster, group=f"g{number}").committed() == {}

    heard = run(story, **{"offsets.retention.minutes": 1, "offsets.retention.check.interval.ms": 10_000})
    assert sorted(fact.group for fact in heard.of(facts.GroupRemoved)) == [f"g{number}" for number in range(5)]


@pytest.mark.parametrize("is_asked_elsewhere", [False, True])
def test_a_leave_that_is_not_written_is_refused(is_asked_elsewhere: bool) -> None:
    """Its coordinator knows the member no more, the next one does."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        coordinator = await hand.coordinator()
        await limit(cluster, 60)
        leaving = [{"memberId": hand.member, "groupInstanceId": None}]
        leave = Later(cluster, coordinator, "LEAVE_GROUP", 5, members=leaving)
        assert (await leave.get())["errorCode"] == errors.UNKNOWN_SERVER_ERROR
        await limit(cluster, 100_000)
        if is_asked_elsewhere:
            cluster.kill(coordinator)
            await cluster.advance(5)
        described = await hand.describe()
        expected = ("Stable", 1) if is_asked_elsewhere else ("Empty", 0)
        assert (described["groupState"], len(described["members"])) == expected

    run(story)


def test_a_commit_that_is_not_written_makes_no_group() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster, group="zz")
        coordinator = await hand.coordinator()
        await cluster.advance(1)
        await limit(cluster, 60)
        assert await hand.commit(3) == errors.UNKNOWN_SERVER_ERROR
        await limit(cluster, 100_000)
        core = cluster.core(coordinator)
        assert core is not None
        index = core.groups.partition_of("zz")
        beside = next(f"x{n}" for n in range(100) if core.groups.partition_of(f"x{n}") == index)
        assert await Hand(cluster, group=beside).commit(1) == 0
        assert [group.group_id for group in await cluster.admin.list_groups([coordinator])] == [beside]

    run(story)


def test_a_heartbeat_whose_wait_fails_tells_that_first() -> None:
    """So that the member looks for the coordinator instead of joining at this one."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        coordinator = await hand.coordinator()
        cut(cluster, coordinator)
        other = (await begin_join(cluster, coordinator).get())["memberId"]
        begin_join(cluster, coordinator, member=other)
        commit = {"partitionIndex": 0, "committedOffset": 1, "committedMetadata": "", "committedLeaderEpoch": 0}
        topics = [{"name": "t", "partitions": [commit]}]
        member = {"memberId": hand.member, "groupInstanceId": None, "generationIdOrMemberEpoch": 1}
        Later(cluster, coordinator, "OFFSET_COMMIT", 9, **member, topics=topics)
        await cluster.advance(0.05)
        heartbeat = Later(cluster, coordinator, "HEARTBEAT", 4, **hand.identity)
        await cluster.advance(0.05)
        assert not heartbeat.is_answered
        assert (await heartbeat.get())["errorCode"] == errors.COORDINATOR_NOT_AVAILABLE
        heal(cluster, coordinator)

    run(story, **SLOW_TO_LAG)


def test_the_delay_of_a_group_that_could_not_be_made_ends_with_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        await cluster.advance(1)
        await limit(cluster, 60)
        assert (await begin_join(cluster, coordinator, instance="i").get())["errorCode"] == errors.UNKNOWN_SERVER_ERROR
        await limit(cluster, 100_000)
        assert (await begin_join(cluster, coordinator).get())["errorCode"] == errors.MEMBER_ID_REQUIRED
        await cluster.advance(8)

    run(story, **{"group.initial.rebalance.delay.ms": 3_000})


def test_a_static_member_without_a_rebalance_timeout_is_waited_for() -> None:
    """Nobody has joined, and the one that may come back gives no time for it: looked at again a millisecond later."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        await cluster.advance(1)
        static = begin_join(cluster, coordinator, instance="i", ms=0)
        other = (await begin_join(cluster, coordinator).get())["memberId"]
        begin_join(cluster, coordinator, member=other, ms=2_000)
        for member, instance in (((await static.get())["memberId"], "i"), (other, None)):
            own = {"generationId": 1, "memberId": member, "groupInstanceId": instance}
            Later(cluster, coordinator, "SYNC_GROUP", 5, **own, assignments=[], **PROTOCOL)
        await cluster.advance(0.1)
        late = (await begin_join(cluster, coordinator).get())["memberId"]
        begin_join(cluster, coordinator, member=late, ms=2_000)
        await cluster.advance(0.1)
        leaving = [{"memberId": member, "groupInstanceId": None} for member in (other, late)]
        Later(cluster, coordinator, "LEAVE_GROUP", 5, members=leaving)
        await cluster.advance(8)
        assert (await Hand(cluster).describe())["groupState"] == "Empty"

    run(story, **{"group.initial.rebalance.delay.ms": 500})
