"""The members of groups in a recorded history: they poll every 200 ms, and what they see is kept for the next look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from kafsim.clients.errors import KafkaError
from kafsim.clients.extensions import RebalanceListener
from kafsim.cluster.admin_handle import AdminHandle
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.handles import ConsumerHandle
from kafsim.cluster.waits import Call
from kafsim.cluster.world import Stated
from kafsim.protocol.config import ConfigError
from kafsim.protocol.facts.client import RecordRead
from kafsim.protocol.facts.fact import STATE
from kafsim.protocol.types import TopicPartition
from kafsim.scenarios.comparison import Seen, Step, Unsupported

POLL_MS = 200
_SETTINGS = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "metadata.max.age.ms": 2_000,
}
_OF_PROTOCOL: dict[str, dict[str, object]] = {
    "classic": {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500},
    "consumer": {"group.protocol": "consumer"},
}
_ASSIGNOR = {"classic": "partition.assignment.strategy", "consumer": "group.remote.assignor"}


def java_name(error: BaseException) -> str:
    """As the recordings name it: Kafka's name of an error code, or the class of what only clients have."""
    name = type(error).__name__
    if name in ("KafkaError", "CommitFailedError") and isinstance(error, KafkaError):
        return error.name
    return name.removesuffix("Error") + "Exception"


class Callbacks(RebalanceListener):
    def __init__(self) -> None:
        self.events: list[list[Any]] = []

    def on_partitions_assigned(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(["assigned", _listed(partitions)])

    def on_partitions_revoked(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(["revoked", _listed(partitions)])

    def on_partitions_lost(self, partitions: tuple[TopicPartition, ...]) -> None:
        self.events.append(["lost", _listed(partitions)])


@attrs.define(eq=False)
class Member:
    """``error``: what a poll ended with, after which it polls no more.

    ``assignment`` and ``generation`` are those of the last poll that succeeded.
    """

    handle: ConsumerHandle
    group: str
    callbacks: Callbacks
    polls: bool = True
    poll: Call | None = None
    error: str | None = None
    assignment: list[list[Any]] = attrs.field(factory=list)
    generation: int = -1
    records: list[list[Any]] = attrs.field(factory=list)


class GroupMembers:
    """``actions`` and ``looks``: by the word of a step."""

    level = STATE

    def __init__(self, cluster: Cluster, admin: AdminHandle) -> None:
        self._cluster = cluster
        self._admin = admin
        self._members: dict[str, Member] = {}
        self.actions: dict[str, Callable[[Step], Awaitable[Seen]]] = {
            "consumer": self._consumer,
            "leave": self._leave,
            "crash": self._crash,
            "stall": self._stall,
            "unstall": self._stall,
            "commit": self._commit,
            "alter_offsets": self._alter_offsets,
            "delete_group": self._delete_group,
            "remove_member": self._remove_member,
        }
        self.looks: dict[str, Callable[[Step], Awaitable[Seen]]] = {
            "assignment": self._assignment,
            "group": self._group,
            "committed": self._committed,
            "callbacks": self._callbacks,
            "consumed": self._consumed,
            "member": self._member,
        }
        cluster.world.listen(self)

    def on_fact(self, stated: Stated) -> None:
        fact = stated.fact
        if isinstance(fact, RecordRead):
            for member in self._members.values():
                if member.handle.name == str(stated.node):
                    value = None if fact.value is None else fact.value.decode()
                    member.records.append([fact.topic, fact.partition, fact.offset, value])

    # ----------------------------------------------------------------------------- actions

    async def _consumer(self, step: Step) -> Seen:
        protocol = step.get("protocol", "classic")
        settings = {**_SETTINGS, **_OF_PROTOCOL[protocol], "client.id": step["id"], "group.id": step["group"]}
        settings.update(step.get("config", {}))
        if step.get("assignor"):
            settings[_ASSIGNOR[protocol]] = step["assignor"]
        if step.get("instance_id"):
            settings["group.instance.id"] = step["instance_id"]
        try:
            handle = self._cluster.consumer(settings)
        except ConfigError as error:
            raise Unsupported(f"consumer: {error}") from None
        member = self._members[step["id"]] = Member(handle, step["group"], Callbacks())
        await handle.subscribe(step.get("topics", ()), pattern=step.get("pattern"), listener=member.callbacks)
        self._poll(member)
        return {}

    def _poll(self, member: Member) -> None:
        """Every 200 ms, unless the poll before has not come back yet, or failed."""
        port = member.handle.node.port
        if port is None:
            return
        if member.poll is not None and member.poll.parking.done:
            self._note_poll(member, member.poll, port.core)
        if member.polls and member.poll is None:
            member.poll = member.handle.begin_poll(timeout_ms=POLL_MS)
        world = self._cluster.world
        world.at(world.clock.now + POLL_MS * 1_000 + 1, lambda: self._poll(member), "replay")  # the poll is over then

    def _note_poll(self, member: Member, poll: Call, core: Any) -> None:
        member.poll = None
        if poll.error is None:
            member.assignment = _listed(sorted(core.subscriptions.assigned))
            member.generation = core.group.joined.id
        else:
            member.error = java_name(poll.error)
            member.callbacks.events.append(["error", member.error])
            member.polls = False

    async def _leave(self, step: Step) -> Seen:
        member = self._members[step["id"]]
        member.polls = False
        await member.handle.stop()
        member.handle.kill()
        return {}

    async def _crash(self, step: Step) -> Seen:
        self._members[step["id"]].handle.kill()
        return {}

    async def _stall(self, step: Step) -> Seen:
        self._members[step["id"]].polls = step["do"] == "unstall"
        return {}

    async def _commit(self, step: Step) -> Seen:
        try:
            await self._members[step["id"]].handle.commit({(t, p): offset for t, p, offset in step["offsets"]})
        except KafkaError as error:
            return {"error": java_name(error)}
        return {"ok": True}

    async def _alter_offsets(self, step: Step) -> Seen:
        tp = (step["topic"], step["partition"])
        await self._admin.alter_group_offsets(step["group"], {tp: step["offset"]})
        return {}

    async def _delete_group(self, step: Step) -> Seen:
        await self._admin.delete_group(step["group"])
        return {}

    async def _remove_member(self, step: Step) -> Seen:
        await self._admin.remove_members(step["group"], [step["instance_id"]])
        return {}

    # -------------------------------------------------------------------------------- looks

    async def _assignment(self, step: Step) -> Seen:
        found = {id_: self._members[id_].assignment for id_ in step["ids"]}
        return {"members": found, "sizes": sorted(map(len, found.values()))}

    async def _group(self, step: Step) -> Seen:
        described = await self._admin.describe_group(step["group"])
        generations = [self._members[id_].generation for id_ in step.get("ids", ())]
        return {
            "state": described.state,
            "type": described.type,
            "assignor": described.assignor,
            "generation": max(generations, default=None),
            "group_epoch": described.epoch,
            "target_epoch": described.target_epoch,
            "coordinator": self._cluster.coordinator_of(step["group"]),
            "members": {member.client_id: _listed(sorted(member.assignment)) for member in described.members},
        }

    async def _committed(self, step: Step) -> Seen:
        offsets = await self._admin.list_group_offsets(step["group"])
        return {"offsets": [[tp.topic, tp.partition, offset] for tp, offset in sorted(offsets.items())]}

    async def _callbacks(self, step: Step) -> Seen:
        return {"events": self._take(step)[0]}

    async def _consumed(self, step: Step) -> Seen:
        return {"records": self._take(step)[1]}

    def _take(self, step: Step) -> tuple[list[Any], list[Any]]:
        """Callbacks and records; whoever looks at the ones forgets the others too, as the recorder did."""
        member = self._members[step["id"]]
        events, member.callbacks.events = member.callbacks.events, []
        records, member.records = member.records, []
        return events, records

    async def _member(self, step: Step) -> Seen:
        member = self._members[step["id"]]
        seen: Seen = {"generation": member.generation, "assignment": member.assignment}
        return {**seen, "error": member.error} if member.error else seen


def _listed(partitions: Any) -> list[list[Any]]:
    return [[tp.topic, tp.partition] for tp in partitions]
