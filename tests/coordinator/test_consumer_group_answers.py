"""ConsumerGroupHeartbeat and ConsumerGroupDescribe by hand: what is refused, in Kafka's words, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from kafsim.cluster.cluster import Cluster
from kafsim.protocol import errors
from tests.clients.groups_kit import run
from tests.coordinator.group_kit import SLOW_TO_LAG, Hand, Later, cut, heal

JOIN: dict[str, Any] = {
    "memberId": "m",
    "memberEpoch": 0,
    "instanceId": None,
    "rackId": None,
    "rebalanceTimeoutMs": 5_000,
    "subscribedTopicNames": ["t"],
    "subscribedTopicRegex": None,
    "serverAssignor": None,
    "topicPartitions": [],
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"memberId": " "}, "MemberId can't be empty."),
        ({"instanceId": ""}, "InstanceId can't be empty."),
        ({"rackId": " "}, "RackId can't be empty."),
        ({"rebalanceTimeoutMs": -1}, "RebalanceTimeoutMs must be provided in first request."),
        ({"topicPartitions": None}, "TopicPartitions must be empty when (re-)joining."),
        (
            {"subscribedTopicNames": None},
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        ({"memberEpoch": -2}, "InstanceId can't be null."),
        ({"memberEpoch": -3}, "MemberEpoch is invalid."),
    ],
)
def test_what_is_wrong_by_itself(change: dict[str, Any], text: str) -> None:
    async def story(cluster: Cluster) -> None:
        answer = await Hand(cluster).ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, **change})
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.INVALID_REQUEST, text)

    run(story)


def test_a_group_without_a_name_and_an_assignor_that_nobody_has() -> None:
    async def story(cluster: Cluster) -> None:
        answer: Any = await cluster.admin.raw(1, "CONSUMER_GROUP_HEARTBEAT", 1, {**JOIN, "groupId": ""})
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.INVALID_REQUEST, "GroupId can't be empty.")
        answer = await Hand(cluster).ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "serverAssignor": "mine"})
        text = "ServerAssignor mine is not supported. Supported assignors: uniform, range."
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.UNSUPPORTED_ASSIGNOR, text)

    run(story)


def test_who_leaves_must_be_a_member() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        answer = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberEpoch": -1})
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.GROUP_ID_NOT_FOUND, "Group g not found.")
        assert (await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **JOIN))["memberEpoch"] == 2
        answer = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberEpoch": -1, "memberId": "other"})
        text = "Member other is not a member of group g."
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.UNKNOWN_MEMBER_ID, text)
        answer = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberEpoch": 5, "memberId": "other"})
        assert (answer["errorCode"], answer["errorMessage"]) == (errors.UNKNOWN_MEMBER_ID, text)
        answer = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberEpoch": -1})
        assert (answer["errorCode"], answer["memberId"], answer["memberEpoch"]) == (errors.NONE, "m", -1)

    run(story)


async def _describe(cluster: Cluster, broker: int, *groups: str) -> list[Any]:
    answer: Any = await cluster.admin.raw(broker, "CONSUMER_GROUP_DESCRIBE", 1, {"groupIds": list(groups)})
    found: list[Any] = answer["groups"]
    return found


def test_a_group_is_described_as_it_is_committed() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        hand = Hand(cluster)
        await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **JOIN)
        broker = await hand.coordinator()
        cut(cluster, broker)
        other = Later(cluster, broker, "CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberId": "late"})
        await cluster.advance(0.1)
        assert not other.is_answered
        (group,) = await _describe(cluster, broker, "g")
        assert [member["memberId"] for member in group["members"]] == ["m"]
        assert (group["groupState"], group["groupEpoch"], group["assignorName"]) == ("Stable", 2, "uniform")
        assert group["members"][0]["assignment"]["topicPartitions"][0]["partitions"] == [0, 1]
        listed: Any = await cluster.admin.raw(broker, "LIST_GROUPS", 5, {"statesFilter": ["stable"], "typesFilter": []})
        assert [(one["groupId"], one["groupType"]) for one in listed["groups"]] == [("g", "consumer")]
        heal(cluster, broker)
        assert (await other.get())["memberEpoch"] == 2
        (group,) = await _describe(cluster, broker, "g")
        assert (group["groupState"], group["groupEpoch"], len(group["members"])) == ("Assigning", 3, 2)

    run(story, **SLOW_TO_LAG)


def test_what_is_no_consumer_group_is_not_described() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.commit(3)
        broker = await hand.coordinator()
        found = await _describe(cluster, broker, "g", "")
        assert found[0]["errorMessage"] == "Group g is not a consumer group."
        assert found[1]["errorCode"] == errors.INVALID_GROUP_ID
        await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **JOIN)
        assert (await hand.describe())["errorMessage"] == "Group g is not a classic group."
        assert await hand.committed() == {0: 3}

    run(story)


def test_offsets_are_committed_in_the_epoch_that_a_partition_was_assigned_in_or_later() -> None:
    """And fetched in the present one only."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=2)
        hand = Hand(cluster)
        hand.member = "m"
        await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **JOIN)
        assert await hand.commit(1, generation=2) == errors.NONE
        assert await hand.commit(1, generation=3) == errors.STALE_MEMBER_EPOCH
        assert await hand.commit(1, generation=1) == errors.STALE_MEMBER_EPOCH
        await cluster.advance(1)
        await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**JOIN, "memberId": "other"})
        beat = {**JOIN, "memberEpoch": 2, "rebalanceTimeoutMs": -1, "subscribedTopicNames": None}
        kept = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**beat, "topicPartitions": None})
        owned = kept["assignment"]["topicPartitions"]
        answer = await hand.ask("CONSUMER_GROUP_HEARTBEAT", 1, **{**beat, "topicPartitions": owned})
        assert answer["memberEpoch"] == 3
        mine = owned[0]["partitions"][0]
        assert await hand.commit(4, partition=mine, generation=2) == errors.NONE
        assert await hand.commit(4, partition=1 - mine, generation=2) == errors.STALE_MEMBER_EPOCH
        broker = await hand.coordinator()
        for epoch, error in ((3, errors.NONE), (2, errors.STALE_MEMBER_EPOCH)):
            asked = {"groupId": "g", "memberId": "m", "memberEpoch": epoch, "topics": None}
            found: Any = await cluster.admin.raw(broker, "OFFSET_FETCH", 9, {"groups": [asked], "requireStable": True})
            assert found["groups"][0]["errorCode"] == error

    run(story)
