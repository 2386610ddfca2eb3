"""Plays of heartbeats: one partition's coordinator by itself, and what it answers and writes, line by line.

    # name of the play
    topic NAME PARTITIONS              make it, or give it more partitions
    delete NAME                        the topic
    set NAME VALUE                     a setting of the broker; before the first request
    wait MS
    WHO join [TOPICS] [/REGEX/] [as INSTANCE] [with ASSIGNOR]   a heartbeat with epoch 0
    WHO beat [EPOCH] [owns PARTITIONS] [wants TOPICS]           the epoch of its last answer unless told otherwise
    WHO leaves [for a while]
    WHO joins TOPICS [owns PARTITIONS] [as INSTANCE]    by the classic protocol, with the id of its last answer
    WHO syncs [PARTITIONS] | beats                      the leader of a classic group gives itself partitions
    reload                             another broker coordinates the group
    disk full | disk empty             nothing can be appended; all can
    hold | go on                       nothing is committed; all is, and whoever waited has the answer behind "="
    wrote TYPES                        types of the records of the last request, "-" behind a tombstone; or "nothing"
    because TEXT                       the reason of the last refusal, as told
    is STATE GROUP-EPOCH ASSIGNMENT-EPOCH
    is member WHO EPOCH PREVIOUS STATE ASSIGNED [PENDING]

What a request is answered stands behind "=": an error, or the epoch and what it may read: "t:0,1", "-" for nothing,
"." when the answer does not say. A join by the classic protocol is answered the generation, a heartbeat "ok".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from kafsim.controller.metadata_state import MetadataState
from kafsim.coordinator.classic_group import Parked
from kafsim.coordinator.consumer_group import ConsumerGroup, Owned
from kafsim.coordinator.coordinator import Coordinator
from kafsim.coordinator.shard import GroupShard
from kafsim.coordinator.topics import Topics
from kafsim.protocol import effects, errors
from kafsim.protocol.config import broker_settings
from kafsim.protocol.consumer_protocol import decode_partitions, encode
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import group as facts
from kafsim.protocol.group_records import serde
from kafsim.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from kafsim.protocol.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitionResult,
)
from kafsim.protocol.messages.consumer_protocol import TopicPartition as OwnedTopic
from kafsim.protocol.messages.heartbeat import HeartbeatRequest
from kafsim.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.remove_topic_record import RemoveTopicRecord
from kafsim.protocol.metadata.topic_record import TopicRecord
from kafsim.protocol.records.record import Record, decode_batch
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, TopicPartition, by_topic
from kafsim.protocol.uuid import Uuid

GROUP = "g"


class Log:
    """Whatever is appended is committed once :meth:`GroupShard.on_high_watermark` is told."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.high_watermark = 0
        self.is_full = False

    def append(self, now: Micros, batch: bytes) -> tuple[int, int]:
        if self.is_full:
            return errors.NOT_ENOUGH_REPLICAS, -1
        self.kept += [one._replace(offset=len(self.kept) + n) for n, one in enumerate(decode_batch(batch, 0))]
        return errors.NONE, len(self.kept)

    def records(self) -> Iterator[Record]:
        yield from self.kept


class Numbers:
    """Ids in order."""

    def __init__(self) -> None:
        self._next = 0

    def uuid(self) -> Uuid:
        self._next += 1
        return self._next.to_bytes(16, "big")


@attrs.define
class Play:
    name: str
    lines: list[tuple[int, str]]


def read(path: Path) -> list[Play]:
    plays: list[Play] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("# "):
            plays.append(Play(text[2:], []))
        elif text.strip():
            plays[-1].lines.append((number, text.strip()))
    return plays


class Stage:
    """One shard, its topics, and who has said what."""

    def __init__(self) -> None:
        self.now = Micros(1_000_000)
        self.outbox = Outbox()
        self.outbox.heard = 9
        self.state = MetadataState()
        self.topics = Topics(self.state, lambda: self._version)
        self.given: dict[str, object] = {}
        self.epochs: dict[str, int] = {}
        self.instances: dict[str, str] = {}
        self._version = 0
        self.log = Log()
        self.is_held = False
        self._marks = 0
        self._answers: list[ConsumerGroupHeartbeatResponse] = []
        self._coordinator: Coordinator | None = None
        self._asker = ""
        self._replies: list[object] = []
        self.ids: dict[str, str] = {}
        self._timers: dict[Any, int] = {}
        self.refusal = ""

    @property
    def coordinator(self) -> Coordinator:
        if self._coordinator is None:
            given = Surroundings(
                address=Address.parse("broker-1"),
                incarnation=1,
                outbox=self.outbox,
                files=None,  # type: ignore[arg-type]
                entropy=Numbers(),  # type: ignore[arg-type]
                safeguards=Safeguards(),
            )
            shard = GroupShard(given, broker_settings(self.given), 0, self.log, 1)
            self._coordinator = Coordinator(shard, self.topics)
            shard.load(self.now)
        return self._coordinator

    @property
    def group(self) -> ConsumerGroup:
        found = self.coordinator.shard.groups.get(GROUP)
        assert isinstance(found, ConsumerGroup), "there is no such group"
        return found

    def reload(self) -> None:
        self._coordinator = None
        assert self.coordinator.shard.is_active

    # -------------------------------------------------------------------------------- topics

    def topic(self, name: str, partitions: int) -> None:
        id_ = self.state.topic_ids.get(name)
        if id_ is None:
            id_ = (name.encode() * 16)[:16]
            self._replay(TopicRecord(name=name, topic_id=id_))
        for index in range(self.state.partition_counts.get(id_) or 0, partitions):
            self._replay(PartitionRecord(partition_id=index, topic_id=id_, replicas=(1,), isr=(1,), leader=1))
        self.topics.on_changed([id_])

    def delete(self, name: str) -> None:
        id_ = self.state.topic_ids[name]
        self._replay(RemoveTopicRecord(topic_id=id_))
        self.topics.on_changed([id_])

    def _replay(self, record: object) -> None:
        self._version += 1
        self.state.replay(record, self._version)

    # ------------------------------------------------------------------------------ requests

    def request(self, who: str, **fields: Any) -> str:
        instance = self.instances.get(who)
        request = ConsumerGroupHeartbeatRequest(group_id=GROUP, member_id=who, instance_id=instance, **fields)
        self._marks = len(self.log.kept)
        self._answers.clear()
        self._asker = who
        parked = Parked(ConnectionId(1), Header(68, 1, 1, client_id=who))
        self.coordinator.consumers.heartbeat(self.now, parked, request, lambda _, answer: self._answers.append(answer))
        self.commit()
        return self.answer()

    def answer(self) -> str:
        """To the last heartbeat."""
        if not self._answers:
            return "waits"
        who, answer = self._asker, self._answers[-1]
        if answer.error_code:
            return errors.name(answer.error_code)
        self.epochs[who] = answer.member_epoch
        given = answer.assignment
        return f"{answer.member_epoch} " + (
            "."
            if given is None
            else self.named({t.topic_id: dict.fromkeys(t.partitions, 0) for t in given.topic_partitions})
        )

    # ------------------------------------------------------------------------ classic members

    def _ask(self, who: str, key: int, ask: Callable[[Parked], object]) -> Any:
        self._marks = len(self.log.kept)
        self._take_timers()
        self._replies.clear()
        answer = ask(Parked(ConnectionId(1), Header(key, 5, 1, client_id=who)))
        self.commit()
        return answer if answer is not None else self._replies[-1] if self._replies else None

    def join(self, who: str, topics: tuple[str, ...], owned: tuple[TopicPartition, ...]) -> str:
        """Once more with the id that it is given."""
        by_name = by_topic(owned).items()
        blob = ConsumerProtocolSubscription(
            topics=topics, owned_partitions=tuple(OwnedTopic(topic=t, partitions=tuple(i)) for t, i in by_name)
        )
        for _ in range(2):
            request = JoinGroupRequest(
                group_id=GROUP,
                session_timeout_ms=10_000,
                rebalance_timeout_ms=5_000,
                member_id=self.ids.get(who, ""),
                group_instance_id=self.instances.get(who),
                protocol_type="consumer",
                protocols=(JoinGroupRequestProtocol(name="range", metadata=encode(blob)),),
            )
            answer = self._ask(who, 11, lambda parked, one=request: self.coordinator.join(self.now, parked, one))
            if answer is None:
                return "waits"
            self.ids[who] = answer.member_id or self.ids.get(who, "")
            if answer.error_code != errors.MEMBER_ID_REQUIRED:
                break
        self.epochs[who] = answer.generation_id
        return errors.name(answer.error_code) if answer.error_code else str(answer.generation_id)

    def sync(self, who: str, given: tuple[TopicPartition, ...]) -> str:
        blob = ConsumerProtocolAssignment(
            assigned_partitions=tuple(
                TopicPartitionResult(topic=topic, partitions=tuple(i)) for topic, i in by_topic(given).items()
            )
        )
        mine = SyncGroupRequestAssignment(member_id=self.ids[who], assignment=encode(blob))
        request = SyncGroupRequest(
            group_id=GROUP,
            generation_id=self.epochs[who],
            member_id=self.ids[who],
            group_instance_id=self.instances.get(who),
            protocol_type="consumer",
            protocol_name="range",
            assignments=(mine,),
        )
        answer = self._ask(who, 14, lambda parked: self.coordinator.sync(self.now, parked, request))
        if answer.error_code:
            return errors.name(answer.error_code)
        found = by_topic(decode_partitions(answer.assignment))
        return " ".join(f"{name}:{','.join(map(str, i))}" for name, i in sorted(found.items())) or "-"

    def beat(self, who: str) -> str:
        request = HeartbeatRequest(
            group_id=GROUP,
            generation_id=self.epochs[who],
            member_id=self.ids[who],
            group_instance_id=self.instances.get(who),
        )
        error = self._ask(who, 12, lambda _: self.coordinator.heartbeat(self.now, request))
        return errors.name(error) if error else "ok"

    def leave(self, who: str) -> str:
        request = LeaveGroupRequest(group_id=GROUP, members=(MemberIdentity(member_id=self.ids[who]),))
        answers, _ = self._ask(who, 13, lambda _: self.coordinator.leave(self.now, request))
        return errors.name(answers[0].error_code) if answers[0].error_code else "ok"

    def named(self, owned: Owned) -> str:
        parts = ((self.state.topic_names.get(t) or "gone", sorted(p)) for t, p in owned.items())
        return " ".join(f"{name}:{','.join(map(str, p))}" for name, p in sorted(parts)) or "-"

    def commit(self) -> None:
        if self.is_held:
            self._take_timers()
            return
        self.log.high_watermark = len(self.log.kept)
        self.coordinator.shard.on_high_watermark(self.now)
        self._take_timers()

    def _take_timers(self) -> None:
        for effect in self.outbox.effects:
            if effect[0] == effects.SET_TIMER:
                self._timers[effect[1]] = effect[2]
            elif effect[0] == effects.REPLY:
                self._replies.append(effect[3])
            elif effect[0] == effects.CANCEL_TIMER:
                self._timers.pop(effect[1], None)
            elif effect[0] == effects.HAPPENED and isinstance(effect[1], facts.GroupRequestRefused):
                self.refusal = str(effect[1].because)
        self.outbox.effects.clear()

    def wait(self, ms: int) -> None:
        until = self.now + ms * 1_000
        self._take_timers()
        while self._timers and min(self._timers.values()) <= until:
            key = min(self._timers, key=lambda one: self._timers[one])
            self.now = Micros(max(self.now, self._timers.pop(key)))
            if key[0] == "coordinator":
                self.coordinator.shard.timers.on_timer(self.now)
            elif key[0] == "coordinator-writes":
                self.coordinator.shard.on_overdue(self.now)
            self.commit()
        self.now = Micros(until)

    def wrote(self) -> str:
        kept = self.log.kept[self._marks :]
        types = (f"{serde._number(one.key or b'')}{'-' if one.value is None else ''}" for one in kept)
        return " ".join(types) or "nothing"

    def partitions(self, text: str) -> tuple[TopicPartitions, ...]:
        if text == "-":
            return ()
        parts = (one.split(":") for one in text.split())
        return tuple(
            TopicPartitions(topic_id=self.state.topic_ids[name], partitions=tuple(map(int, indexes.split(","))))
            for name, indexes in parts
        )


_JOIN = re.compile(r"(\w+) join ?(?P<topics>[\w ]*?)(?: ?/(?P<regex>.*)/)?(?: as (?P<i>\w+))?(?: with (?P<with>\w+))?$")
_CLASSIC = re.compile(r"(\w+) joins (?P<topics>[\w ]*?)(?: owns (?P<owns>[\w:, -]+?))?(?: as (?P<i>\w+))?$")
_BEAT = re.compile(r"(\w+) beat ?(?P<epoch>\d+)?(?: ?owns (?P<owns>[\w:, -]+?))?(?: ?wants (?P<wants>[\w ]*|-))?$")


def perform(play: Play) -> None:
    stage = Stage()
    for number, line in play.lines:
        said, _, expected = (part.strip() for part in line.partition(" = "))
        found = say(stage, said)
        wanted = expected or None
        if said.startswith(("wrote", "is ", "because ")):
            wanted = said.removeprefix("wrote ").removeprefix("is ").removeprefix("because ")
        assert found == wanted, f"line {number}: {line}: {found}"


def say(stage: Stage, said: str) -> str | None:
    words = said.split()
    match words:
        case ["topic", name, count]:
            stage.topic(name, int(count))
        case ["delete", name]:
            stage.delete(name)
        case ["set", name, value]:
            stage.given[name] = value
        case ["wait", ms]:
            stage.wait(int(ms))
        case ["reload"]:
            stage.reload()
        case ["disk", what]:
            stage.log.is_full = what == "full"
        case ["hold"]:
            stage.is_held = True
        case ["go", "on"]:
            stage.is_held = False
            stage.commit()
            return stage.answer()
        case ["wrote", *_]:
            return stage.wrote()
        case ["because", *_]:
            return stage.refusal
        case ["is", "member", who, *_]:
            member = stage.group.members[who]
            pending = f" {stage.named(member.pending)}" if member.pending else ""
            owned = stage.named(member.assigned) + pending
            return f"member {who} {member.epoch} {member.previous_epoch} {member.state.name} {owned}"
        case ["is", *_]:
            return f"{stage.group.state} {stage.group.epoch} {stage.group.assignment_epoch}"
        case [who, "joins", *_]:
            return _classic_join(stage, who, said)
        case [who, "syncs", *rest]:
            return stage.sync(who, _partitions(" ".join(rest)))
        case [who, "beats"]:
            return stage.beat(who)
        case [who, "leaves"] if who in stage.ids:
            return stage.leave(who)
        case [who, "leaves", *rest]:
            return stage.request(who, member_epoch=-2 if rest else -1)
        case [who, "join", *_]:
            return _join(stage, who, said)
        case [who, "beat", *_]:
            return _beat(stage, who, said)
        case _:
            raise AssertionError(f"nobody knows how to {said}")
    return None


def _join(stage: Stage, who: str, said: str) -> str:
    found = _JOIN.match(said)
    assert found is not None, said
    if found["i"]:
        stage.instances[who] = found["i"]
    return stage.request(
        who,
        member_epoch=0,
        rebalance_timeout_ms=5_000,
        subscribed_topic_names=tuple(found["topics"].split()),
        subscribed_topic_regex=found["regex"],
        server_assignor=found["with"],
        topic_partitions=(),
    )


def _classic_join(stage: Stage, who: str, said: str) -> str:
    found = _CLASSIC.match(said)
    assert found is not None, said
    if found["i"]:
        stage.instances[who] = found["i"]
    return stage.join(who, tuple(found["topics"].split()), _partitions(found["owns"] or ""))


def _partitions(text: str) -> tuple[TopicPartition, ...]:
    parts = (one.split(":") for one in text.split())
    return tuple(TopicPartition(name, int(index)) for name, indexes in parts for index in indexes.split(","))


def _beat(stage: Stage, who: str, said: str) -> str:
    found = _BEAT.match(said)
    assert found is not None, said
    wants = found["wants"]
    return stage.request(
        who,
        member_epoch=stage.epochs[who] if found["epoch"] is None else int(found["epoch"]),
        topic_partitions=None if found["owns"] is None else stage.partitions(found["owns"]),
        subscribed_topic_names=None if wants is None else tuple(wants.replace("-", "").split()),
    )
