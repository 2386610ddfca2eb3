"""Groups by hand: requests to the coordinator, and what it writes."""

from __future__ import annotations

import base64
from typing import Any

from kafsim.broker.offsets_partitions import OffsetsPartition
from kafsim.cluster.cluster import Cluster
from kafsim.coordinator.coordinator_runtime import TOPIC
from kafsim.protocol import errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.group_records import serde
from kafsim.protocol.group_records.group_metadata import GroupMetadataKey
from kafsim.protocol.group_records.offset_commit import OffsetCommitKey
from tests.clients.groups_kit import run
from tests.coordinator.group_kit import Hand


def _records(cluster: Cluster, broker: int) -> list[tuple[Any, Any]]:
    """What a broker has of the groups, in order."""
    core = cluster.core(broker)
    assert core is not None
    every = (record for index in range(2) for record in OffsetsPartition(core.replicas, index).records())
    return [serde.decode(record.key or b"", record.value)[:2] for record in every]


def test_a_member_joins_is_assigned_commits_and_leaves() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        assert hand.generation == 1
        assert await hand.heartbeat() == errors.NONE
        assert await hand.commit(7) == errors.NONE
        assert await hand.committed() == {0: 7}
        described = await hand.describe()
        assert (described["groupState"], described["protocolData"]) == ("Stable", "range")
        assert base64.b64decode(described["members"][0]["memberAssignment"]) == b"mine"
        left = await hand.ask("LEAVE_GROUP", 5, members=[{"memberId": hand.member, "groupInstanceId": None}])
        assert (left["errorCode"], left["members"][0]["errorCode"]) == (errors.NONE, errors.NONE)
        assert (await hand.describe())["groupState"] == "Empty"
        assert await hand.committed() == {0: 7}
        written = _records(cluster, await hand.coordinator())
        groups = [value for key, value in written if isinstance(key, GroupMetadataKey)]
        assert [(g.generation, len(g.members), g.protocol) for g in groups] == [
            (0, 0, None),
            (1, 1, "range"),
            (2, 0, None),
        ]
        (offset,) = [value for key, value in written if isinstance(key, OffsetCommitKey)]
        assert (offset.offset, offset.leader_epoch) == (7, 0)

    heard = run(story)
    states = [(fact.was, fact.state) for fact in heard.of(facts.GroupStateChanged)]
    assert states == [
        ("Empty", "PreparingRebalance"),
        ("PreparingRebalance", "CompletingRebalance"),
        ("CompletingRebalance", "Stable"),
        ("Stable", "PreparingRebalance"),
        ("PreparingRebalance", "Empty"),
    ]


def test_the_next_coordinator_knows_generation_and_offsets() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        assert await hand.commit(5) == errors.NONE
        first = await hand.coordinator()
        cluster.kill(first)
        await cluster.advance(5)
        assert await hand.coordinator() != first
        assert await hand.heartbeat() == errors.NONE
        assert await hand.committed() == {0: 5}
        assert (await hand.describe())["groupState"] == "Stable"
        assert await hand.commit(6) == errors.NONE
        cluster.restart(first)
        await cluster.advance(5)
        assert await hand.commit(4, generation=0) == errors.ILLEGAL_GENERATION
        assert await hand.committed() == {0: 6}

    heard = run(story)
    assert any(fact.groups == 1 and fact.offsets == 1 for fact in heard.of(facts.CoordinatorLoaded))


def test_a_silent_member_is_removed_and_its_commit_refused() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        await cluster.advance(5.9)
        assert await hand.heartbeat() == errors.NONE
        await cluster.advance(6.1)
        assert (await hand.describe())["groupState"] == "Empty"
        assert await hand.heartbeat() == errors.UNKNOWN_MEMBER_ID
        assert await hand.commit(1) == errors.UNKNOWN_MEMBER_ID

    (removed,) = run(story).of(facts.MemberRemoved)
    assert str(removed.because).startswith("nothing was heard of admin-1-")


def test_a_static_member_comes_back_under_another_id_without_a_rebalance() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        first, second = Hand(cluster, instance="i"), Hand(cluster, instance="i")
        await first.enter()
        joined = await second.join()
        assert (joined["generationId"], joined["skipAssignment"]) == (1, True)
        assert second.member != first.member
        assert base64.b64decode((await second.sync(b"other"))["assignment"]) == b"mine"
        assert await first.heartbeat() == errors.FENCED_INSTANCE_ID
        assert await first.commit(1) == errors.FENCED_INSTANCE_ID
        assert await second.commit(2) == errors.NONE

    assert len(run(story).of(facts.AssignmentStored)) == 1


def test_nothing_is_answered_before_it_is_committed() -> None:
    """With one replica in sync and two asked for nothing is committed: the request is over after its time."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        await cluster.admin.alter_configs("topic", TOPIC, set={"min.insync.replicas": 2})
        coordinator = await hand.coordinator()
        others = [id_ for id_ in cluster.brokers if id_ != coordinator]
        for id_ in others:
            cluster.kill(id_)
        await cluster.advance(4)
        began = cluster.world.clock.now
        assert await hand.commit(3) == errors.COORDINATOR_NOT_AVAILABLE
        assert cluster.world.clock.now - began >= 5_000_000
        assert await hand.committed(stable=False) == {}
        cluster.restart(others[0])
        await cluster.advance(8)
        assert await hand.committed() == {0: 3}  # it was written, and was committed later

    run(story)


def test_offsets_expire_once_the_group_is_empty_long_enough() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.enter()
        assert await hand.commit(3) == errors.NONE
        await cluster.advance(50)
        assert await hand.committed() == {0: 3}
        assert (await hand.describe())["groupState"] == "Empty"
        await cluster.advance(75)
        assert await hand.committed() == {}
        assert (await hand.describe())["errorCode"] == errors.GROUP_ID_NOT_FOUND

    heard = run(story, **{"offsets.retention.minutes": 1, "offsets.retention.check.interval.ms": 10_000})
    assert len(heard.of(facts.GroupRemoved)) == 1


def test_the_offsets_of_a_deleted_topic_go_with_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        assert await hand.commit(3) == errors.NONE
        assert await hand.committed() == {0: 3}
        await cluster.admin.delete_topic("t")
        await cluster.advance(1)
        assert await hand.committed() == {}

    run(story)


def test_groups_are_listed_and_deleted() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand, other = Hand(cluster), Hand(cluster, group="other")
        await hand.enter()
        assert await other.commit(1) == errors.NONE
        listed = []
        for broker in cluster.brokers:
            answer: Any = await cluster.admin.raw(broker, "LIST_GROUPS", 5, {"statesFilter": [], "typesFilter": []})
            listed += [(g["groupId"], g["groupState"], g["protocolType"]) for g in answer["groups"]]
        assert sorted(listed) == [("g", "Stable", "consumer"), ("other", "Empty", "")]
        for one, error in ((hand, errors.NON_EMPTY_GROUP), (other, errors.NONE), (other, errors.GROUP_ID_NOT_FOUND)):
            node = await one.coordinator()
            deleted: Any = await cluster.admin.raw(node, "DELETE_GROUPS", 2, {"groupsNames": [one.group]})
            assert deleted["results"][0]["errorCode"] == error
        assert await other.committed() == {}

    run(story)
