"""Groups by hand: requests to the coordinator, and what it writes."""

from __future__ import annotations

import base64
from typing import Any

from kafsim import simulate
from kafsim.broker.offsets_partitions import OffsetsPartition
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.world import Stated
from kafsim.coordinator.coordinator_runtime import TOPIC
from kafsim.protocol import consumer_protocol, errors
from kafsim.protocol.facts import group as facts
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.group_records import serde
from kafsim.protocol.group_records.group_metadata import GroupMetadataKey
from kafsim.protocol.group_records.offset_commit import OffsetCommitKey
from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolSubscription

FEW = {"offsets.topic.num.partitions": 2, "group.initial.rebalance.delay.ms": 0, "broker.session.timeout.ms": 3_000}
WANTS = base64.b64encode(consumer_protocol.encode(ConsumerProtocolSubscription(topics=("t",)))).decode()


class Hand:
    """A member whose requests are made by hand."""

    def __init__(self, cluster: Cluster, group: str = "g", instance: str | None = None) -> None:
        self.cluster, self.group, self.instance = cluster, group, instance
        self.member, self.generation = "", -1

    async def coordinator(self) -> int:
        while True:
            body = {"keyType": 0, "coordinatorKeys": [self.group]}
            answer: Any = await self.cluster.admin.raw(self._alive(), "FIND_COORDINATOR", 6, body)
            found = answer["coordinators"][0]
            if not found["errorCode"]:
                return int(found["nodeId"])
            await self.cluster.advance(0.1)

    def _alive(self) -> int:
        return next(id_ for id_, node in self.cluster.brokers.items() if node.port is not None)

    async def ask(self, api: str, version: int, **body: object) -> dict[str, Any]:
        """To the coordinator, until one is ready."""
        while True:
            node = await self.coordinator()
            answer: Any = await self.cluster.admin.raw(node, api, version, {"groupId": self.group, **body})
            if answer.get("errorCode") not in (errors.NOT_COORDINATOR, errors.COORDINATOR_LOAD_IN_PROGRESS):
                return answer
            await self.cluster.advance(0.05)

    async def join(self, *, session_ms: int = 6_000, metadata: str = WANTS) -> dict[str, Any]:
        while True:
            answer = await self.ask(
                "JOIN_GROUP",
                9,
                sessionTimeoutMs=session_ms,
                rebalanceTimeoutMs=10_000,
                memberId=self.member,
                groupInstanceId=self.instance,
                protocolType="consumer",
                protocols=[{"name": "range", "metadata": metadata}],
            )
            self.member = answer["memberId"] or self.member
            if answer["errorCode"] != errors.MEMBER_ID_REQUIRED:
                self.generation = answer["generationId"]
                return answer

    @property
    def identity(self) -> dict[str, Any]:
        return {"generationId": self.generation, "memberId": self.member, "groupInstanceId": self.instance}

    async def sync(self, assignment: bytes | None = None) -> dict[str, Any]:
        given = [] if assignment is None else [_assigned(self.member, assignment)]
        return await self.ask(
            "SYNC_GROUP", 5, **self.identity, protocolType="consumer", protocolName="range", assignments=given
        )

    async def heartbeat(self) -> int:
        return int((await self.ask("HEARTBEAT", 4, **self.identity))["errorCode"])

    async def commit(self, offset: int, *, partition: int = 0, generation: int | None = None) -> int:
        one = {"partitionIndex": partition, "committedOffset": offset, "committedMetadata": ""}
        topics = [{"name": "t", "partitions": [{**one, "committedLeaderEpoch": 0}]}]
        identity = {"memberId": self.member, "groupInstanceId": self.instance, "topics": topics}
        number = self.generation if generation is None else generation
        while True:
            answer = await self.ask("OFFSET_COMMIT", 9, generationIdOrMemberEpoch=number, **identity)
            error = int(answer["topics"][0]["partitions"][0]["errorCode"])
            if error not in (errors.NOT_COORDINATOR, errors.COORDINATOR_LOAD_IN_PROGRESS):
                return error
            await self.cluster.advance(0.05)

    async def committed(self, *, stable: bool = True) -> dict[int, int]:
        while True:
            node = await self.coordinator()
            body = {"groups": [{"groupId": self.group, "topics": None}], "requireStable": stable}
            answer: Any = await self.cluster.admin.raw(node, "OFFSET_FETCH", 9, body)
            group = answer["groups"][0]
            if not group["errorCode"]:
                return {p["partitionIndex"]: p["committedOffset"] for t in group["topics"] for p in t["partitions"]}
            await self.cluster.advance(0.05)

    async def describe(self) -> dict[str, Any]:
        while True:
            node = await self.coordinator()
            answer: Any = await self.cluster.admin.raw(node, "DESCRIBE_GROUPS", 6, {"groups": [self.group]})
            found: dict[str, Any] = answer["groups"][0]
            if found["errorCode"] not in (errors.NOT_COORDINATOR, errors.COORDINATOR_LOAD_IN_PROGRESS):
                return found
            await self.cluster.advance(0.05)

    async def enter(self, assignment: bytes = b"mine") -> None:
        """Join alone, and assign."""
        joined = await self.join()
        assert joined["errorCode"] == errors.NONE
        assert joined["leader"] == self.member
        assert base64.b64decode((await self.sync(assignment))["assignment"]) == assignment


def _assigned(member: str, assignment: bytes) -> dict[str, str]:
    return {"memberId": member, "assignment": base64.b64encode(assignment).decode()}


class Heard:
    level = STATE

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def on_fact(self, stated: Stated) -> None:
        self.facts.append(stated.fact)

    def of(self, cls: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, cls)]


def _run(story: Any, **configs: object) -> Heard:
    heard = Heard()
    assert simulate(story, configs={**FEW, **configs}, listeners=(heard,)).ok
    return heard


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

    heard = _run(story)
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

    heard = _run(story)
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

    (removed,) = _run(story).of(facts.MemberRemoved)
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

    assert len(_run(story).of(facts.AssignmentStored)) == 1


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

    _run(story)


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

    heard = _run(story, **{"offsets.retention.minutes": 1, "offsets.retention.check.interval.ms": 10_000})
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

    _run(story)


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

    _run(story)
