"""Decides about topics: creation, deletion, and the errors an admin client sees (Kafka: ``createTopics``, ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafsim.controller.heartbeats import Heartbeats
from kafsim.controller.metadata_state import BROKER, TOPIC, MetadataState
from kafsim.controller.placer import PlacementError, Usable, place
from kafsim.protocol import errors
from kafsim.protocol.config import (
    BROKER_DEFAULT_OF_TOPIC,
    DEFAULT,
    DYNAMIC_BROKER,
    DYNAMIC_DEFAULT_BROKER,
    DYNAMIC_TOPIC,
    STATIC_BROKER,
    ConfigError,
    check_topic,
    to_text,
)
from kafsim.protocol.config import TOPIC as TOPIC_SETTINGS
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
from kafsim.protocol.names import illegal
from kafsim.protocol.uuid import ZERO_UUID, Uuid

MAX_PARTITIONS = 10_000
MAX_RECORDS = 10_000
"""Of one request (Kafka: ``MAX_RECORDS_PER_USER_OP``)."""
TOO_LARGE = "Unable to perform excessively large batch operation."
METADATA_TOPIC = "__cluster_metadata"
Placement = tuple[tuple[int, ...], tuple[int, ...]]
"""The replicas of a partition, and its first ISR."""


class TopicError(Exception):
    """An error code and Kafka's words for it."""

    def __init__(self, code: int, message: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _not_created(name: str, error: int, message: str | None) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=error, error_message=message)


class TopicControl:
    """``settings`` of this node, with the names of those that were given, ``static``; ``node``: its id."""

    def __init__(
        self,
        state: MetadataState,
        heartbeats: Heartbeats,
        settings: dict[str, Any],
        entropy: Entropy,
        directory_of: Callable[[int], Uuid],
        *,
        node: int,
        static: frozenset[str],
    ) -> None:
        self.node = node
        self.static = static
        self.state = state
        self.heartbeats = heartbeats
        self.settings = settings
        self.entropy = entropy
        self.directory_of = directory_of

    # ---------------------------------------------------------------------------- create

    def create(self, request: CreateTopicsRequest) -> tuple[list[Any], CreateTopicsResponse]:
        """All topics that can be created, in one batch; an error for each of the others.

        Names that are given twice, and that of the metadata, are answered last and count for nothing (Kafka:
        ``ControllerApis.createTopics``).
        """
        names = [topic.name for topic in request.topics]
        twice = dict.fromkeys(name for name in names if names.count(name) > 1)
        topics = [topic for topic in request.topics if topic.name not in (*twice, METADATA_TOPIC)]
        records, results = self._create_all(topics)
        results += [_not_created(name, errors.INVALID_REQUEST, "Duplicate topic name.") for name in twice]
        if METADATA_TOPIC in names and METADATA_TOPIC not in twice:
            text = f"Creation of internal topic {METADATA_TOPIC} is prohibited."
            results.append(_not_created(METADATA_TOPIC, errors.INVALID_REQUEST, text))
        if request.validate_only:
            records = []
        return records, CreateTopicsResponse(topics=tuple(results))

    def _create_all(self, topics: list[CreatableTopic]) -> tuple[list[Any], list[CreatableTopicResult]]:
        if sum(self._partition_count(topic) for topic in topics) > MAX_PARTITIONS:
            text = "Excessively large number of partitions per request."
            return [], [_not_created(topic.name, errors.POLICY_VIOLATION, text) for topic in topics]
        records: list[Any] = []
        results: list[CreatableTopicResult] = []
        for topic in topics:
            try:
                made, result = self._create_one(topic)
            except TopicError as error:
                results.append(_not_created(topic.name, error.code, error.message))
                continue
            records += made
            results.append(result)
        if len(records) > MAX_RECORDS:
            return [], [_not_created(topic.name, errors.POLICY_VIOLATION, TOO_LARGE) for topic in topics]
        return records, results

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
        why = illegal(name)
        if name in self.state.topic_ids:
            raise TopicError(errors.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if why is not None:
            raise TopicError(errors.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {why}")
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
            check_topic(configs, self.settings)
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

    def _place(self, count: int, factor: int, *, is_new: bool = True) -> list[Placement]:
        prefix = f"Unable to replicate the partition {factor} time(s): "
        try:
            placed = place(self._usable(), count, factor, self.entropy)
        except PlacementError as error:
            text = prefix + str(error) if is_new else str(error)
            raise TopicError(errors.INVALID_REPLICATION_FACTOR, text) from None
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
            directories=tuple(self.directory_of(broker) for broker in replicas),
        )

    def _effective(self, configs: dict[str, str]) -> tuple[CreatableTopicConfigs, ...]:
        """All settings of a new topic, and where each comes from (Kafka: ``resolveEffectiveTopicConfigs``)."""
        found = []
        for name, setting in sorted(TOPIC_SETTINGS.by_name.items()):
            if not name.startswith("internal."):
                value, source = self._in_force(name, setting.default, configs)
                found.append(CreatableTopicConfigs(name=name, value=value, config_source=source))
        return tuple(found)

    def _in_force(self, name: str, default: object, configs: dict[str, str]) -> tuple[str, int]:
        if name in configs:
            return configs[name], DYNAMIC_TOPIC
        synonym = BROKER_DEFAULT_OF_TOPIC.get(name)
        if synonym is None:
            return to_text(default), DEFAULT
        for resource, source in ((str(self.node), DYNAMIC_BROKER), ("", DYNAMIC_DEFAULT_BROKER)):
            dynamic = self.state.config(BROKER, resource)
            if synonym in dynamic:
                return dynamic[synonym], source
        if synonym in self.static:
            return to_text(self.settings[synonym]), STATIC_BROKER
        return to_text(default), DEFAULT

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
            raise TopicError(errors.UNKNOWN_TOPIC_OR_PARTITION, None)
        now = self.state.partition_counts[topic_id]
        if topic.count == now:
            raise TopicError(errors.INVALID_PARTITIONS, f"Topic already has {now} partition(s).")
        if topic.count < now:
            text = f"The topic {topic.name} currently has {now} partition(s); {topic.count} would not be an increase."
            raise TopicError(errors.INVALID_PARTITIONS, text)
        like = timeline_order(range(now))[0]
        factor, more = len(self.state.partitions[topic_id, like].replicas), topic.count - now
        if topic.assignments is None:
            placements = self._place(more, factor, is_new=False)
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
        """By name or by id; who is named twice, or both ways, is refused (Kafka: ``ControllerApis.deleteTopics``)."""
        asked = [(name, ZERO_UUID) for name in request.topic_names] + [(t.name, t.topic_id) for t in request.topics]
        if not self.settings["delete.topic.enable"]:
            text = "Topic deletion is disabled."
            return [], _deleted(_undeleted(n, i, errors.TOPIC_DELETION_DISABLED, text) for n, i in asked)
        results: list[DeletableTopicResult] = []
        doomed: dict[Uuid, str] = {}
        for name, id_ in dict.fromkeys(asked):
            refusal = self._not_deletable(name, id_, twice=asked.count((name, id_)) > 1, doomed=doomed)
            if refusal is not None:
                results.append(refusal)
        results += [DeletableTopicResult(name=name, topic_id=id_) for id_, name in doomed.items()]
        return [RemoveTopicRecord(topic_id=id_) for id_ in doomed], _deleted(results)

    def _not_deletable(
        self, name: str | None, id_: Uuid, *, twice: bool, doomed: dict[Uuid, str]
    ) -> DeletableTopicResult | None:
        """Why one that is asked for stays; else it is among the doomed."""
        if name is None and id_ == ZERO_UUID:
            return _undeleted(name, id_, errors.INVALID_REQUEST, "Neither topic name nor id were specified.")
        if name is not None and id_ != ZERO_UUID:
            return _undeleted(name, id_, errors.INVALID_REQUEST, "You may not specify both topic name and topic id.")
        if twice:
            what = "id" if name is None else "name"
            return _undeleted(name, id_, errors.INVALID_REQUEST, f"Duplicate topic {what}.")
        found = id_ if name is None else self.state.topic_ids.get(name) or ZERO_UUID
        if found not in self.state.topic_names:
            if name is None:
                return _undeleted(name, id_, errors.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
            text = "This server does not host this topic-partition."
            return _undeleted(name, id_, errors.UNKNOWN_TOPIC_OR_PARTITION, text)
        if found in doomed:
            del doomed[found]
            text = "The provided topic name maps to an ID that was already supplied."
            return _undeleted(name, found, errors.INVALID_REQUEST, text)
        doomed[found] = self.state.topic_names[found]
        return None


def _deleted(results: Iterable[DeletableTopicResult]) -> DeleteTopicsResponse:
    return DeleteTopicsResponse(responses=tuple(results))


def _undeleted(name: str | None, topic_id: Uuid, error: int, message: str) -> DeletableTopicResult:
    return DeletableTopicResult(name=name, topic_id=topic_id, error_code=error, error_message=message)
