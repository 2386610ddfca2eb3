"""What tests of the coordinator share: members whose requests are made by hand."""

from __future__ import annotations

import base64
from typing import Any

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.world import Stated
from kafsim.protocol import consumer_protocol, errors
from kafsim.protocol.facts.fact import STATE
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


def run(story: Any, **configs: object) -> Heard:
    heard = Heard()
    done = simulate(story, configs={**FEW, **configs}, listeners=(heard,))
    assert done.ok, done.verdict
    return heard
