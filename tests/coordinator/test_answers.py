"""Forms of answers to requests by hand: what is committed, old versions, names and ids."""

from __future__ import annotations

import base64
from typing import Any

from kafsim.cluster.cluster import Cluster
from kafsim.protocol import consumer_protocol, errors
from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolSubscription
from tests.clients.groups_kit import run
from tests.coordinator.group_kit import SLOW_TO_LAG, Hand, Later, begin_join, cut, heal, limit


async def _fetch(cluster: Cluster, broker: int, topics: object, version: int = 9) -> list[Any]:
    groups = [{"groupId": "g", "topics": topics}]
    answer: Any = await cluster.admin.raw(broker, "OFFSET_FETCH", version, {"groups": groups, "requireStable": False})
    found: list[Any] = answer["groups"][0]["topics"]
    return found


def test_what_is_deleted_is_there_until_that_is_committed() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        assert await hand.commit(5) == 0
        coordinator = await hand.coordinator()
        cut(cluster, coordinator)
        topics = [{"name": "t", "partitions": [{"partitionIndex": 0}]}]
        deletion = Later(cluster, coordinator, "OFFSET_DELETE", 0, topics=topics)
        await cluster.advance(0.05)
        assert not deletion.is_answered
        assert [topic["name"] for topic in await _fetch(cluster, coordinator, None)] == ["t"]
        Later(cluster, coordinator, "DELETE_GROUPS", 2, groupsNames=["g"])
        await cluster.advance(0.05)
        listed: Any = await cluster.admin.list_groups([coordinator])
        assert [group.group_id for group in listed] == ["g"]
        heal(cluster, coordinator)
        await cluster.advance(1)
        assert await _fetch(cluster, coordinator, None) == []

    run(story, **SLOW_TO_LAG)


def test_old_versions() -> None:
    """OffsetFetch 1 has no error of the group, and FindCoordinator 3 a text for each error."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        await hand.commit(5)
        coordinator = await hand.coordinator()
        other = next(id_ for id_ in cluster.brokers if id_ != coordinator)
        body = {"groupId": "g", "topics": [{"name": "t", "partitionIndexes": [0]}]}
        answer: Any = await cluster.admin.raw(other, "OFFSET_FETCH", 1, body)
        assert answer["topics"][0]["partitions"][0]["errorCode"] == errors.NOT_COORDINATOR
        answer = await cluster.admin.raw(other, "FIND_COORDINATOR", 3, {"key": "g", "keyType": 7})
        assert answer["errorMessage"].startswith("This most likely occurs because of a request being malformed")

    run(story)


def test_a_commit_names_each_topic_once() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        await cluster.advance(1)
        parts = [
            {"partitionIndex": index, "committedOffset": 1, "committedMetadata": "", "committedLeaderEpoch": 0}
            for index in (0, 9)
        ]
        who = {"groupId": "g", "memberId": "", "generationIdOrMemberEpoch": -1, "groupInstanceId": None}
        body = {**who, "topics": [{"name": "t", "partitions": parts}]}
        answer: Any = await cluster.admin.raw(coordinator, "OFFSET_COMMIT", 9, body)
        found = [[(p["partitionIndex"], p["errorCode"]) for p in topic["partitions"]] for topic in answer["topics"]]
        assert found == [[(9, errors.UNKNOWN_TOPIC_OR_PARTITION), (0, errors.NONE)]]

    run(story)


def test_an_offset_of_an_earlier_topic_is_found_by_its_name() -> None:
    """Only who asks by id asks for this topic alone (version 10)."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        hand = Hand(cluster)
        assert await hand.commit(5) == 0
        coordinator = await hand.coordinator()
        await limit(cluster, 60)
        await cluster.admin.delete_topic("t")
        await cluster.advance(1)
        asked = [{"name": "t", "partitionIndexes": [0]}]
        assert await _fetch(cluster, coordinator, None, version=10) == []
        await cluster.admin.create_topic("t")
        await cluster.advance(1)
        (found,) = await _fetch(cluster, coordinator, asked)
        assert found["partitions"][0]["committedOffset"] == 5

    run(story)


def test_an_id_that_was_given_out_is_of_no_static_member() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        await cluster.advance(1)
        given = (await begin_join(cluster, coordinator).get())["memberId"]
        refused = await begin_join(cluster, coordinator, member=given, instance="i").get()
        assert (refused["errorCode"], refused["memberId"]) == (errors.UNKNOWN_SERVER_ERROR, "")

    run(story)


def test_of_a_subscription_only_the_topics_are_read() -> None:
    """Its tail may be of any form: offsets of other topics can be deleted."""
    blob = bytearray(consumer_protocol.encode(ConsumerProtocolSubscription(topics=("t",)), 0))
    blob[1] = 3

    async def story(cluster: Cluster) -> None:
        for topic in "tu":
            await cluster.admin.create_topic(topic)
        hand = Hand(cluster)
        assert (await hand.join(metadata=base64.b64encode(blob).decode()))["errorCode"] == 0
        await hand.sync(b"mine")
        coordinator = await hand.coordinator()
        topics = [{"name": topic, "partitions": [{"partitionIndex": 0}]} for topic in "tu"]
        answer = await Later(cluster, coordinator, "OFFSET_DELETE", 0, topics=topics).get()
        found = [topic["partitions"][0]["errorCode"] for topic in answer["topics"]]
        assert found == [errors.GROUP_SUBSCRIBED_TO_TOPIC, errors.NONE]

    run(story)


def test_an_offset_with_a_time_to_expire_has_no_topic_id_in_its_record() -> None:
    """As old clients commit it; that the coordinator knows the id until it loads is no difference."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t")
        coordinator = await Hand(cluster).coordinator()
        await cluster.advance(1)
        parts = [{"partitionIndex": 0, "committedOffset": 3, "committedMetadata": ""}]
        who = {"groupId": "g", "memberId": "", "generationIdOrMemberEpoch": -1, "retentionTimeMs": 10**9}
        body = {**who, "topics": [{"name": "t", "partitions": parts}]}
        answer: Any = await cluster.admin.raw(coordinator, "OFFSET_COMMIT", 2, body)
        assert answer["topics"][0]["partitions"][0]["errorCode"] == errors.NONE

    run(story)
