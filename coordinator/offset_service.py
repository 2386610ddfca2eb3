"""The requests that are about committed offsets (Kafka: ``KafkaApis``, ``GroupCoordinatorService``).

Topics and partitions that the broker does not know are refused before the group is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kafsim.controller.metadata_state import MetadataState
from kafsim.coordinator.coordinator import Coordinator
from kafsim.coordinator.coordinator_runtime import CoordinatorRuntime
from kafsim.coordinator.offset_metadata_manager import Commit, Committer
from kafsim.coordinator.shard import OffsetAndMetadata
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kafsim.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kafsim.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from kafsim.protocol.schema import changed
from kafsim.protocol.types import ConnectionId, Header, Micros, TopicPartition
from kafsim.protocol.uuid import ZERO_UUID, Uuid

IDS_SINCE, GROUPS_SINCE, ERROR_SINCE = 10, 8, 2
Handle = Callable[[Micros, ConnectionId, Header, Any], None]


class Named(NamedTuple):
    """A topic of a request as the broker knows it, with those of its partitions that exist."""

    asked: OffsetCommitRequestTopic
    name: str
    id: Uuid
    partitions: list[Any]


class OffsetService:
    def __init__(self, outbox: Outbox, runtime: CoordinatorRuntime, metadata: MetadataState) -> None:
        self._outbox = outbox
        self._runtime = runtime
        self._metadata = metadata

    @property
    def apis(self) -> dict[type, Handle]:
        return {
            OffsetCommitRequest: self.commit,
            OffsetFetchRequest: self.fetch,
            OffsetDeleteRequest: self.delete,
        }

    # ------------------------------------------------------------------------------ commit

    def commit(self, now: Micros, connection: ConnectionId, header: Header, request: OffsetCommitRequest) -> None:
        refused, known = self._resolve(header, request)
        commits = [
            Commit(TopicPartition(t.name, p.partition_index), t.id, p.committed_offset, p.committed_leader_epoch, m)
            for t in known
            for p in t.partitions
            for m in (p.committed_metadata,)
        ]
        too_large: dict[TopicPartition, int] = {}

        def then(_: Micros, error: int) -> None:
            topics = _merged((*refused, *(_committed(topic, error, too_large) for topic in known)))
            self._outbox.reply(connection, header, OffsetCommitResponse(topics=topics))

        coordinator, error = self._runtime.find(request.group_id)
        if not commits or coordinator is None:
            then(now, error)
            return
        too_large.update(coordinator.offsets.too_large(commits))
        generation, instance = request.generation_id_or_member_epoch, request.group_instance_id
        who = Committer(request.group_id, request.member_id, instance, generation, header.version)
        taken = [one for one in commits if one.tp not in too_large]
        coordinator.offsets.commit(now, who, taken, request.retention_time_ms, then)

    def _resolve(
        self, header: Header, request: OffsetCommitRequest
    ) -> tuple[list[OffsetCommitResponseTopic], list[Named]]:
        """What is refused at once, and what the group is asked for."""
        by_id = header.version >= IDS_SINCE
        refused, known = [], []
        for topic in request.topics:
            id_ = topic.topic_id if by_id else self._metadata.topic_ids.get(topic.name) or ZERO_UUID
            name = self._metadata.topic_names.get(id_)
            error = errors.UNKNOWN_TOPIC_ID if by_id and name is None else errors.UNKNOWN_TOPIC_OR_PARTITION
            exists = [p for p in topic.partitions if name is not None and self._has(id_, p.partition_index)]
            missing = tuple(
                OffsetCommitResponsePartition(partition_index=p.partition_index, error_code=error)
                for p in topic.partitions
                if p not in exists
            )
            if missing:
                answer = OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id, partitions=missing)
                refused.append(answer)
            if exists and name is not None:
                known.append(Named(topic, name, id_, exists))
        return refused, known

    def _has(self, topic_id: Uuid, index: int) -> bool:
        return (topic_id, index) in self._metadata.partitions

    # ------------------------------------------------------------------------------- fetch

    def fetch(self, now: Micros, connection: ConnectionId, header: Header, request: OffsetFetchRequest) -> None:
        """Each group by itself; what must be stable is answered when all before is committed."""
        groups = request.groups if header.version >= GROUPS_SINCE else (_as_group(request),)
        answers: dict[int, OffsetFetchResponseGroup] = {}

        def settle(index: int, answer: OffsetFetchResponseGroup) -> None:
            answers[index] = answer
            if len(answers) == len(groups):
                found = tuple(answers[number] for number in range(len(groups)))
                self._outbox.reply(connection, header, _fetched(header, found, groups[0].topics or ()))

        for index, group in enumerate(groups):
            self._fetch(now, header, group, index, settle, stable=request.require_stable)
        if not groups:
            self._outbox.reply(connection, header, OffsetFetchResponse())

    def _fetch(
        self,
        now: Micros,
        header: Header,
        group: OffsetFetchRequestGroup,
        index: int,
        settle: Callable[[int, OffsetFetchResponseGroup], None],
        *,
        stable: bool,
    ) -> None:
        coordinator, error = self._runtime.find(group.group_id)
        if coordinator is None:
            settle(index, OffsetFetchResponseGroup(group_id=group.group_id, error_code=error))
            return
        error = coordinator.offsets.may_fetch(group.group_id, group.member_id, group.member_epoch, newest=stable)
        if error:
            settle(index, OffsetFetchResponseGroup(group_id=group.group_id, error_code=error))
            return
        topics = self._read(coordinator, group, header, newest=stable)

        def then(_: Micros, lost: int) -> None:
            lost = errors.NOT_COORDINATOR if lost == errors.COORDINATOR_NOT_AVAILABLE else lost
            found = () if lost else topics
            settle(index, OffsetFetchResponseGroup(group_id=group.group_id, error_code=lost, topics=found))

        if stable:
            coordinator.shard.write(now, [], then)
        else:
            then(now, errors.NONE)

    def _read(
        self, coordinator: Coordinator, group: OffsetFetchRequestGroup, header: Header, *, newest: bool
    ) -> tuple[OffsetFetchResponseTopics, ...]:
        by_id = header.version >= IDS_SINCE
        if group.topics is None:
            found = self._read_all(coordinator, group.group_id, newest=newest)
            return tuple(topic for topic in found if topic.topic_id != ZERO_UUID) if by_id else found
        known, unknown = [], []
        for topic in group.topics:
            id_ = topic.topic_id if by_id else ZERO_UUID  # by name, an offset of an earlier topic counts too
            name = self._metadata.topic_names.get(id_) if by_id else topic.name
            if name is None:
                parts = tuple(_fetched_partition(i, None, errors.UNKNOWN_TOPIC_ID) for i in topic.partition_indexes)
                unknown.append(OffsetFetchResponseTopics(topic_id=topic.topic_id, partitions=parts))
                continue
            parts = tuple(
                _fetched_partition(i, coordinator.offsets.fetch(group.group_id, TopicPartition(name, i), id_, newest))
                for i in topic.partition_indexes
            )
            known.append(OffsetFetchResponseTopics(name=topic.name, topic_id=topic.topic_id, partitions=parts))
        return (*known, *unknown)

    def _read_all(self, coordinator: Coordinator, group: str, *, newest: bool) -> tuple[OffsetFetchResponseTopics, ...]:
        topics: dict[str, list[OffsetFetchResponsePartitions]] = {}
        for tp, offset in coordinator.offsets.of_group(group, newest).items():
            topics.setdefault(tp.topic, []).append(_fetched_partition(tp.partition, offset))
        return tuple(
            OffsetFetchResponseTopics(
                name=name, topic_id=self._metadata.topic_ids.get(name) or ZERO_UUID, partitions=tuple(parts)
            )
            for name, parts in topics.items()
        )

    # ------------------------------------------------------------------------------ delete

    def delete(self, now: Micros, connection: ConnectionId, header: Header, request: OffsetDeleteRequest) -> None:
        group, error = request.group_id, errors.INVALID_GROUP_ID
        coordinator = None
        if group:
            coordinator, error = self._runtime.find(group)
        asked = [TopicPartition(t.name, p.partition_index) for t in request.topics for p in t.partitions]
        known = [tp for tp in asked if self._has(self._metadata.topic_ids.get(tp.topic) or ZERO_UUID, tp.partition)]
        found = dict.fromkeys(asked, errors.UNKNOWN_TOPIC_OR_PARTITION)
        if coordinator is not None:
            error, judged = coordinator.offsets.judge_delete(group, known)
            found.update(judged)

        def then(_: Micros, error: int) -> None:
            self._outbox.reply(connection, header, _deleted(found, error))

        if coordinator is None or error:
            then(now, error)
        else:
            coordinator.offsets.delete(now, group, [tp for tp in known if not found[tp]], then)


def _merged(topics: tuple[OffsetCommitResponseTopic, ...]) -> tuple[OffsetCommitResponseTopic, ...]:
    """Each topic once."""
    found: dict[tuple[str, Uuid], OffsetCommitResponseTopic] = {}
    for topic in topics:
        key = (topic.name, topic.topic_id)
        before = found[key].partitions if key in found else ()
        found[key] = changed(topic, partitions=(*before, *topic.partitions))
    return tuple(found.values())


def _committed(topic: Named, error: int, found: dict[TopicPartition, int]) -> OffsetCommitResponseTopic:
    parts = tuple(
        OffsetCommitResponsePartition(
            partition_index=p.partition_index,
            error_code=error or found.get(TopicPartition(topic.name, p.partition_index), errors.NONE),
        )
        for p in topic.partitions
    )
    return OffsetCommitResponseTopic(name=topic.asked.name, topic_id=topic.asked.topic_id, partitions=parts)


def _as_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup:
    """What an old client asks for."""
    topics = None
    if request.topics is not None:
        topics = tuple(
            OffsetFetchRequestTopics(name=t.name, partition_indexes=t.partition_indexes) for t in request.topics
        )
    return OffsetFetchRequestGroup(group_id=request.group_id, topics=topics)


def _fetched(
    header: Header, groups: tuple[OffsetFetchResponseGroup, ...], asked: tuple[OffsetFetchRequestTopics, ...]
) -> OffsetFetchResponse:
    """An error of the group has a place of its own since version 2; before, each partition has it."""
    if header.version >= GROUPS_SINCE:
        return OffsetFetchResponse(groups=groups)
    (group,) = groups
    given = group.topics
    if group.error_code and header.version < ERROR_SINCE:
        given = tuple(
            OffsetFetchResponseTopics(
                name=topic.name,
                partitions=tuple(_fetched_partition(i, None, group.error_code) for i in topic.partition_indexes),
            )
            for topic in asked
        )
    topics = tuple(
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=tuple(_old_form(p) for p in topic.partitions),
        )
        for topic in given
    )
    return OffsetFetchResponse(topics=topics, error_code=group.error_code)


def _old_form(given: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition:
    return OffsetFetchResponsePartition(
        partition_index=given.partition_index,
        committed_offset=given.committed_offset,
        committed_leader_epoch=given.committed_leader_epoch,
        metadata=given.metadata,
        error_code=given.error_code,
    )


def _fetched_partition(
    index: int, found: OffsetAndMetadata | None, error: int = errors.NONE
) -> OffsetFetchResponsePartitions:
    if found is None:
        return OffsetFetchResponsePartitions(partition_index=index, committed_offset=-1, error_code=error)
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=found.offset,
        committed_leader_epoch=found.leader_epoch,
        metadata=found.metadata,
    )


def _deleted(found: dict[TopicPartition, int], error: int) -> OffsetDeleteResponse:
    if error:
        return OffsetDeleteResponse(error_code=error)
    topics: dict[str, list[OffsetDeleteResponsePartition]] = {}
    for tp, code in found.items():
        one = OffsetDeleteResponsePartition(partition_index=tp.partition, error_code=code)
        topics.setdefault(tp.topic, []).append(one)
    return OffsetDeleteResponse(
        topics=tuple(OffsetDeleteResponseTopic(name=name, partitions=tuple(parts)) for name, parts in topics.items())
    )
