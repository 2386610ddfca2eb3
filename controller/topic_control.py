"""Decides about topics: creation, deletion, and the errors an admin client sees (Kafka: ``createTopics``, ...)."""

from __future__ import annotations

import re
from typing import Any

from kafsim.controller.heartbeats import Heartbeats
from kafsim.controller.metadata_state import TOPIC, MetadataState
from kafsim.controller.placer import PlacementError, Usable, place
from kafsim.protocol import errors
from kafsim.protocol.config import TOPIC as TOPIC_SETTINGS
from kafsim.protocol.config import ConfigError, check_topic, to_text
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.java import timeline_order
from kafsim.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from kafsim.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kafsim.protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.metadata.partition_record import PartitionRecord
from kafsim.protocol.metadata.remove_topic_record import RemoveTopicRecord
from kafsim.protocol.metadata.topic_record import TopicRecord
from kafsim.protocol.uuid import ZERO_UUID, Uuid

MAX_PARTITIONS = 10_000
Placement = tuple[tuple[int, ...], tuple[int, ...]]
"""The replicas of a partition, and its first ISR."""
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


class TopicError(Exception):
    """An error code and Kafka's words for it."""

    def __init__(self, code: int, message: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_name(name: str) -> str | None:
    """Why a topic cannot be called that (Kafka: ``Topic.validate``)."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > 249:
        return f"the length of '{name}' is longer than the max allowed length 249"
    if not _LEGAL.fullmatch(name):
        return f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    return None


class TopicControl:
    """``settings`` are the controller's static broker settings."""

    def __init__(
        self, state: MetadataState, heartbeats: Heartbeats, settings: dict[str, Any], entropy: Entropy
    ) -> None:
        self.state = state
        self.heartbeats = heartbeats
        self.settings = settings
        self.entropy = entropy

    # ---------------------------------------------------------------------------- create

    def create(self, request: CreateTopicsRequest) -> tuple[list[Any], CreateTopicsResponse]:
        """All topics that can be created, in one batch; an error for each of the others."""
        total = sum(self._partition_count(topic) for topic in request.topics)
        names = [topic.name for topic in request.topics]
        records: list[Any] = []
        results: list[CreatableTopicResult] = []
        for topic in request.topics:
            try:
                if total > MAX_PARTITIONS:
                    text = "Excessively large number of partitions per request."
                    raise TopicError(errors.POLICY_VIOLATION, text)
                if names.count(topic.name) > 1:
                    raise TopicError(errors.INVALID_REQUEST, "Duplicate topic name.")
                made, result = self._create_one(topic)
            except TopicError as error:
                results.append(
                    CreatableTopicResult(name=topic.name, error_code=error.code, error_message=error.message)
                )
                continue
            records += made
            results.append(result)
        if request.validate_only:
            records = []
        return records, CreateTopicsResponse(topics=tuple(results))

    def _partition_count(self, topic: CreatableTopic) -> int:
        if topic.assignments:
            return len(topic.assignments)
        return int(self.settings["num.partitions"]) if topic.num_partitions == -1 else max(topic.num_partitions, 0)

    def _create_one(self, topic: CreatableTopic) -> tuple[list[Any], CreatableTopicResult]:
        self._check_name(topic.name)
        configs = self._check_configs(topic)
        placements = self._manual(topic) if topic.assignments else self._placed(topic)
        topic_id = self.entropy.uuid()
        records: list[Any] = [TopicRecord(name=topic.name, topic_id=topic_id)]
        for name, value in configs.items():
            records.append(ConfigRecord(resource_type=TOPIC, resource_name=topic.name, name=name, value=value))
        if self.state.elr_enabled and "min.insync.replicas" in configs:
            records.append(ClearElrRecord(topic_name=topic.name))
        for index, (replicas, isr) in enumerate(placements):
            records.append(self._partition(topic_id, index, replicas, isr))
        result = CreatableTopicResult(
            name=topic.name,
            topic_id=topic_id,
            num_partitions=len(placements),
            replication_factor=len(placements[0][0]),
            configs=self._effective(configs),
        )
        return records, result

    def _check_name(self, name: str) -> None:
        why = invalid_name(name)
        if name in self.state.topic_ids:
            raise TopicError(errors.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if why is not None:
            raise TopicError(errors.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {why}")
        if name == "__cluster_metadata":
            text = "Creation of internal topic __cluster_metadata is prohibited."
            raise TopicError(errors.INVALID_REQUEST, text)
        if "." in name or "_" in name:
            for other in self.state.topic_ids:
                if other.replace(".", "_") == name.replace(".", "_"):
                    text = f"Topic '{name}' collides with existing topic: {other}"
                    raise TopicError(errors.INVALID_TOPIC_EXCEPTION, text)

    def _check_configs(self, topic: CreatableTopic) -> dict[str, str]:
        missing = [config.name for config in topic.configs if config.value is None]
        if missing:
            text = f"Null value not supported for topic configs: {','.join(missing)}"
            raise TopicError(errors.INVALID_CONFIG, text)
        configs = {config.name: config.value or "" for config in topic.configs}
        try:
            check_topic(configs)
        except ConfigError as error:
            raise TopicError(errors.INVALID_CONFIG, str(error)) from None
        return configs

    def _manual(self, topic: CreatableTopic) -> list[Placement]:
        for field, value in (("replication factor", topic.replication_factor), ("numPartitions", topic.num_partitions)):
            if value != -1:
                text = f"A manual partition assignment was specified, but {field} was not set to -1."
                raise TopicError(errors.INVALID_REQUEST, text)
        found: dict[int, Placement] = {}
        expected = -1
        for assignment in topic.assignments:
            index, replicas = assignment.partition_index, assignment.broker_ids
            if index in found:
                text = f"Found multiple manual partition assignments for partition {index}"
                raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, text)
            found[index] = self._assigned(index, replicas, expected)
            expected = len(replicas)
        if sorted(found) != list(range(len(found))):
            text = "partitions should be a consecutive 0-based integer sequence"
            raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, text)
        return [found[index] for index in range(len(found))]

    def _assigned(self, index: int, replicas: tuple[int, ...], expected: int) -> Placement:
        """``expected``: how many replicas the partitions before have, -1 for the first one."""
        self.check_assignment(replicas, expected)
        isr = tuple(broker for broker in replicas if self.state.is_active(broker))
        if not isr:
            text = (
                f"All brokers specified in the manual partition assignment for partition {index} are fenced or "
                "in controlled shutdown."
            )
            raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, text)
        return replicas, isr

    def check_assignment(self, replicas: tuple[int, ...], expected: int = -1) -> None:
        """TopicError for replicas that nobody can be; ``expected``: how many there must be, -1 for any number."""
        why = None
        if not replicas:
            why = "an empty replica list."
        for broker in sorted(set(replicas)):
            if why is None and broker not in self.state.brokers:
                why = f"broker {broker}, but no such broker is registered."
            if why is None and replicas.count(broker) > 1:
                why = f"the broker {broker} more than once."
        if why is None and expected not in (-1, len(replicas)):
            why = (
                f"a partition with {len(replicas)} replica(s), but this is not consistent with previous partitions, "
                f"which have {expected} replica(s)."
            )
        if why is not None:
            raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment includes {why}")

    def _placed(self, topic: CreatableTopic) -> list[Placement]:
        factor, count = topic.replication_factor, self._partition_count(topic)
        if factor < -1 or factor == 0:
            text = "Replication factor must be larger than 0, or -1 to use the default value."
            raise TopicError(errors.INVALID_REPLICATION_FACTOR, text)
        if topic.num_partitions < -1 or topic.num_partitions == 0:
            text = "Number of partitions was set to an invalid non-positive value."
            raise TopicError(errors.INVALID_PARTITIONS, text)
        return self._place(count, int(self.settings["default.replication.factor"]) if factor == -1 else factor)

    def _place(self, count: int, factor: int) -> list[Placement]:
        prefix = f"Unable to replicate the partition {factor} time(s): "
        try:
            placed = place(self._usable(), count, factor, self.entropy)
        except PlacementError as error:
            raise TopicError(errors.INVALID_REPLICATION_FACTOR, prefix + str(error)) from None
        found = [(replicas, tuple(b for b in replicas if self.state.is_active(b))) for replicas in placed]
        if not all(isr for _, isr in found):
            text = prefix + "All brokers are currently fenced or in controlled shutdown."
            raise TopicError(errors.INVALID_REPLICATION_FACTOR, text)
        return found

    def _usable(self) -> list[Usable]:
        return [
            Usable(broker, state.rack, soft.fenced)
            for broker, soft in self.heartbeats.brokers.items()
            if not soft.is_shutting_down and (state := self.state.brokers.get(broker)) is not None
        ]

    def _partition(self, topic_id: Uuid, index: int, replicas: tuple[int, ...], isr: tuple[int, ...]) -> Any:
        return PartitionRecord(
            partition_id=index,
            topic_id=topic_id,
            replicas=replicas,
            isr=isr,
            leader=isr[0],
            leader_epoch=0,
            partition_epoch=0,
            directories=tuple(self._directory(broker) for broker in replicas),
        )

    def _directory(self, broker: int) -> Uuid:
        state = self.state.brokers.get(broker)
        return state.directories[0] if state is not None and len(state.directories) == 1 else ZERO_UUID

    def _effective(self, configs: dict[str, str]) -> tuple[CreatableTopicConfigs, ...]:
        return tuple(
            CreatableTopicConfigs(name=name, value=to_text(configs.get(name, setting.default)), config_source=5)
            for name, setting in sorted(TOPIC_SETTINGS.by_name.items())
            if not name.startswith("internal.")
        )

    # ------------------------------------------------------------------------------ grow

    def create_partitions(self, request: CreatePartitionsRequest) -> tuple[list[Any], CreatePartitionsResponse]:
        """More partitions for topics that are there; never fewer."""
        names = [topic.name for topic in request.topics]
        records: list[Any] = []
        results: dict[str, CreatePartitionsTopicResult] = {}
        for topic in request.topics:
            code, message = errors.NONE, None
            try:
                if names.count(topic.name) > 1:
                    raise TopicError(errors.INVALID_REQUEST, "Duplicate topic name.")
                records += self._grow(topic)
            except TopicError as error:
                code, message = error.code, error.message
            results[topic.name] = CreatePartitionsTopicResult(name=topic.name, error_code=code, error_message=message)
        response = CreatePartitionsResponse(results=tuple(results.values()))
        return [] if request.validate_only else records, response

    def _grow(self, topic: CreatePartitionsTopic) -> list[Any]:
        topic_id = self.state.topic_ids.get(topic.name)
        if topic_id is None:
            text = "This server does not host this topic-partition."
            raise TopicError(errors.UNKNOWN_TOPIC_OR_PARTITION, text)
        now = self.state.partition_counts[topic_id]
        if topic.count == now:
            raise TopicError(errors.INVALID_PARTITIONS, f"Topic already has {now} partition(s).")
        if topic.count < now:
            text = f"The topic {topic.name} currently has {now} partition(s); {topic.count} would not be an increase."
            raise TopicError(errors.INVALID_PARTITIONS, text)
        like = timeline_order(range(now))[0]
        factor, more = len(self.state.partitions[topic_id, like].replicas), topic.count - now
        if topic.assignments is None:
            placements = self._place(more, factor)
        else:
            placements = self._assigned_anew(topic.assignments, now, more, factor)
        return [self._partition(topic_id, now + n, replicas, isr) for n, (replicas, isr) in enumerate(placements)]

    def _assigned_anew(
        self, given: tuple[CreatePartitionsAssignment, ...], first: int, more: int, factor: int
    ) -> list[Placement]:
        if len(given) != more:
            text = (
                f"Attempted to add {more} additional partition(s), but only {len(given)} assignment(s) were specified."
            )
            raise TopicError(errors.INVALID_REPLICA_ASSIGNMENT, text)
        return [self._assigned(first + n, assignment.broker_ids, factor) for n, assignment in enumerate(given)]

    # ---------------------------------------------------------------------------- delete

    def delete(self, request: DeleteTopicsRequest) -> tuple[list[Any], DeleteTopicsResponse]:
        records: list[Any] = []
        results = []
        for topic in request.topics:
            name, topic_id = topic.name, topic.topic_id
            if name is not None:
                topic_id = self.state.topic_ids.get(name) or ZERO_UUID
            known = topic_id in self.state.topic_names
            unknown = errors.UNKNOWN_TOPIC_OR_PARTITION if name is not None else errors.UNKNOWN_TOPIC_ID
            if not self.settings["delete.topic.enable"]:
                results.append(DeletableTopicResult(name=name, error_code=errors.TOPIC_DELETION_DISABLED))
            elif known:
                records.append(RemoveTopicRecord(topic_id=topic_id))
                results.append(DeletableTopicResult(name=self.state.topic_names[topic_id], topic_id=topic_id))
            else:
                results.append(DeletableTopicResult(name=name, topic_id=topic_id, error_code=unknown))
        return records, DeleteTopicsResponse(responses=tuple(results))
