"""What tests of the coordinator share: members whose requests are made by hand."""

from __future__ import annotations

import base64
from typing import Any

import attrs

from kafsim.clients import calls
from kafsim.cluster.admin_handle import _request_class
from kafsim.cluster.cluster import Cluster
from kafsim.coordinator.coordinator_runtime import TOPIC
from kafsim.protocol import consumer_protocol, errors
from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolSubscription
from kafsim.protocol.wire.json_form import from_json, to_json

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


PATIENT = {"request.timeout.ms": 600_000, "default.api.timeout.ms": 600_000}
SLOW_TO_LAG = {"replica.lag.time.max.ms": 30_000}


class Later:
    """A request whose answer is looked at later."""

    def __init__(self, cluster: Cluster, broker: int, api: str, version: int, **body: Any) -> None:
        cls, key = _request_class(api, version)
        group = {"groupId": "g"} if "group_id" in attrs.fields_dict(cls) else {}
        ask = calls.Ask(key, from_json(cls, {**group, **body}, version), to_broker=broker, version=version)
        self._version = version
        self._call = cluster.new_admin(PATIENT)._ask(ask, api)

    @property
    def is_answered(self) -> bool:
        return self._call.parking.done

    async def get(self) -> Any:
        return to_json(await self._call.wait(), self._version)


def begin_join(
    cluster: Cluster, broker: int, *, member: str = "", instance: str | None = None, ms: int = 10_000
) -> Later:
    return Later(
        cluster,
        broker,
        "JOIN_GROUP",
        9,
        sessionTimeoutMs=6_000,
        rebalanceTimeoutMs=ms,
        memberId=member,
        groupInstanceId=instance,
        protocolType="consumer",
        protocols=[{"name": "range", "metadata": WANTS}],
    )


def cut(cluster: Cluster, broker: int) -> None:
    """Nothing that it writes is committed."""
    for other in cluster.brokers:
        if other != broker:
            cluster.cut(broker, other)


def heal(cluster: Cluster, broker: int) -> None:
    for other in cluster.brokers:
        if other != broker:
            cluster.heal(broker, other)


async def limit(cluster: Cluster, most: int) -> None:
    await cluster.admin.alter_configs("topic", TOPIC, set={"max.message.bytes": most})
    await cluster.advance(0.5)
