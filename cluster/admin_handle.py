"""What a story holds of its admin client: topics, configurations, elections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafsim.clients import calls
from kafsim.clients.errors import KafkaError
from kafsim.cluster.group_admin import GroupAdminHandle
from kafsim.cluster.handles import partition_of
from kafsim.cluster.waits import Call
from kafsim.protocol import errors
from kafsim.protocol.config import to_text
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterRequest, Listener
from kafsim.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from kafsim.protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from kafsim.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from kafsim.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from kafsim.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from kafsim.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from kafsim.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResult,
)
from kafsim.protocol.messages.describe_log_dirs import DescribeLogDirsRequest, DescribeLogDirsResult
from kafsim.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    ProducerState,
    TopicRequest,
)
from kafsim.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    PartitionDataResult,
)
from kafsim.protocol.messages.describe_quorum import PartitionData as DescribeQuorumPartition
from kafsim.protocol.messages.describe_quorum import TopicData as DescribeQuorumTopic
from kafsim.protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from kafsim.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kafsim.protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    OngoingPartitionReassignment,
)
from kafsim.protocol.messages.metadata import MetadataResponseTopic
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest
from kafsim.protocol.schema import about
from kafsim.protocol.types import Address, TopicPartition
from kafsim.protocol.uuid import Uuid
from kafsim.protocol.wire.json_form import from_json, to_json

CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, CREATE_PARTITIONS, ELECT_LEADERS = 19, 20, 21, 37, 43
DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, DESCRIBE_PRODUCERS, DESCRIBE_QUORUM = 32, 44, 61, 55
ALTER_PARTITION_REASSIGNMENTS, LIST_PARTITION_REASSIGNMENTS = 45, 46
ADD_RAFT_VOTER, REMOVE_RAFT_VOTER = 80, 81
ALTER_REPLICA_LOG_DIRS, DESCRIBE_LOG_DIRS = 34, 35
_RESOURCES = {"topic": 2, "broker": 4}


class AdminHandle(GroupAdminHandle):
    """Topics and configurations. A refusal is raised as KafkaError."""

    async def create_topic(
        self,
        name: str,
        *,
        partitions: int = -1,
        replication_factor: int = -1,
        assignment: Mapping[int, Iterable[int]] | None = None,
        configs: Mapping[str, object] | None = None,
    ) -> CreatableTopicResult:
        """``assignment``: replicas by partition, the first one preferred; otherwise placed by the controller."""
        placed = tuple(
            CreatableReplicaAssignment(partition_index=index, broker_ids=tuple(brokers))
            for index, brokers in (assignment or {}).items()
        )
        topic = CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replication_factor,
            assignments=placed,
            configs=tuple(CreatableTopicConfig(name=n, value=to_text(v)) for n, v in (configs or {}).items()),
        )
        request = CreateTopicsRequest(topics=(topic,), timeout_ms=60_000)
        response = await self._ask(calls.Ask(CREATE_TOPICS, request), f"create topic {name}").wait()
        result: CreatableTopicResult = response.topics[0]
        raise_for(result.error_code, result.error_message)
        return result

    async def delete_topic(self, name: str) -> None:
        request = DeleteTopicsRequest(topics=(DeleteTopicState(name=name),), timeout_ms=60_000)
        response = await self._ask(calls.Ask(DELETE_TOPICS, request), f"delete topic {name}").wait()
        raise_for(response.responses[0].error_code, response.responses[0].error_message)

    async def create_partitions(
        self, name: str, count: int, assignments: Iterable[Iterable[int]] | None = None
    ) -> None:
        """Grow to ``count`` partitions; ``assignments``: the replicas of each new one."""
        placed = None
        if assignments is not None:
            placed = tuple(CreatePartitionsAssignment(broker_ids=tuple(brokers)) for brokers in assignments)
        topic = CreatePartitionsTopic(name=name, count=count, assignments=placed)
        request = CreatePartitionsRequest(topics=(topic,), timeout_ms=60_000)
        response = await self._ask(calls.Ask(CREATE_PARTITIONS, request), f"grow topic {name}").wait()
        raise_for(response.results[0].error_code, response.results[0].error_message)

    async def elect_leader(self, partition: TopicPartition | tuple[str, int] | str, *, unclean: bool = False) -> None:
        """The preferred leader, or with ``unclean`` whoever is up, for a partition that has none."""
        tp = partition_of(partition)
        asked = (TopicPartitions(topic=tp.topic, partitions=(tp.partition,)),)
        error = (await self._elect(asked, unclean=unclean)).get(tp)
        if error is not None:
            raise error

    async def elect_leaders(self, *, unclean: bool = False) -> dict[TopicPartition, KafkaError]:
        """As :meth:`elect_leader` for all partitions; those for which it failed, and why."""
        return await self._elect(None, unclean=unclean)

    async def _elect(
        self, asked: tuple[TopicPartitions, ...] | None, *, unclean: bool
    ) -> dict[TopicPartition, KafkaError]:
        request = ElectLeadersRequest(election_type=int(unclean), topic_partitions=asked, timeout_ms=60_000)
        response = await self._ask(calls.Ask(ELECT_LEADERS, request), "elect leaders").wait()
        raise_for(response.error_code, None)
        return {
            TopicPartition(topic.topic, answer.partition_id): KafkaError(answer.error_code, answer.error_message)
            for topic in response.replica_election_results
            for answer in topic.partition_result
            if answer.error_code
        }

    async def delete_records(self, partition: TopicPartition | tuple[str, int] | str, before: int) -> int:
        """Records below this offset are gone, -1: below the high watermark; answers the low watermark."""
        tp = partition_of(partition)
        asked = DeleteRecordsPartition(partition_index=tp.partition, offset=before)
        request = DeleteRecordsRequest(
            topics=(DeleteRecordsTopic(name=tp.topic, partitions=(asked,)),), timeout_ms=60_000
        )
        ask = calls.Ask(DELETE_RECORDS, request, to_leader_of=tp)
        response = await self._ask(ask, f"delete records of {tp}").wait()
        answer: DeleteRecordsPartitionResult = response.topics[0].partitions[0]
        raise_for(answer.error_code, None)
        return answer.low_watermark

    async def alter_configs(
        self,
        type_: str,
        name: str,
        *,
        set: Mapping[str, object] | None = None,  # noqa: A002  # Kafka's word for it
        delete: Iterable[str] = (),
    ) -> None:
        """``type_``: topic, or broker, which is asked itself; its name "" is the cluster-wide default."""
        changes = [AlterableConfig(name=n, config_operation=0, value=to_text(v)) for n, v in (set or {}).items()]
        changes += [AlterableConfig(name=n, config_operation=1, value=None) for n in delete]
        response = await self._begin_alter(type_, name, changes).wait()
        raise_for(response.responses[0].error_code, response.responses[0].error_message)

    async def describe_configs(self, type_: str, name: str) -> dict[str, DescribeConfigsResourceResult]:
        """``type_``: topic, or broker; the broker named answers for itself, any one for the cluster-wide default ""."""
        resource = DescribeConfigsResource(resource_type=_RESOURCES[type_], resource_name=name, configuration_keys=None)
        request = DescribeConfigsRequest(resources=(resource,), include_synonyms=True)
        to = int(name) if type_ == "broker" and name else None
        response = await self._ask(
            calls.Ask(DESCRIBE_CONFIGS, request, to_broker=to), f"describe {type_} {name}"
        ).wait()
        result: DescribeConfigsResult = response.results[0]
        raise_for(result.error_code, result.error_message)
        return {entry.name: entry for entry in result.configs}

    async def list_topics(self) -> list[str]:
        response = await self._ask(calls.DescribeTopics(), "list topics").wait()
        return sorted(topic.name for topic in response.topics)

    async def describe_topic(self, name: str) -> MetadataResponseTopic:
        response = await self._ask(calls.DescribeTopics((name,)), f"describe topic {name}").wait()
        topic: MetadataResponseTopic = response.topics[0]
        raise_for(topic.error_code, None)
        return topic

    async def describe_producers(self, partition: TopicPartition | tuple[str, int] | str) -> tuple[ProducerState, ...]:
        tp = partition_of(partition)
        request = DescribeProducersRequest(topics=(TopicRequest(name=tp.topic, partition_indexes=(tp.partition,)),))
        ask = calls.Ask(DESCRIBE_PRODUCERS, request, to_leader_of=tp)
        response = await self._ask(ask, f"describe producers of {tp}").wait()
        answer = response.topics[0].partitions[0]
        raise_for(answer.error_code, answer.error_message)
        producers: tuple[ProducerState, ...] = answer.active_producers
        return producers

    async def reassign(self, partition: TopicPartition | tuple[str, int] | str, replicas: Iterable[int] | None) -> None:
        """Other replicas for a partition, the first one preferred; None cancels what goes on."""
        response = await self.begin_reassignment(partition, replicas).wait()
        raise_for(response.error_code, response.error_message)
        answer = response.responses[0].partitions[0]
        raise_for(answer.error_code, answer.error_message)

    def begin_reassignment(
        self, partition: TopicPartition | tuple[str, int] | str, replicas: Iterable[int] | None
    ) -> Call:
        """As :meth:`reassign`, without waiting for the answer."""
        tp = partition_of(partition)
        target = None if replicas is None else tuple(replicas)
        if target is not None and not target:
            raise ValueError("Cannot create a new partition reassignment without any replicas")
        asked = ReassignablePartition(partition_index=tp.partition, replicas=target)
        topic = ReassignableTopic(name=tp.topic, partitions=(asked,))
        request = AlterPartitionReassignmentsRequest(topics=(topic,))
        return self._ask(calls.Ask(ALTER_PARTITION_REASSIGNMENTS, request), f"reassign {tp}")

    def begin_election(self, partition: TopicPartition | tuple[str, int] | str) -> Call:
        """Ask for the preferred leader, without waiting for the answer."""
        tp = partition_of(partition)
        asked = (TopicPartitions(topic=tp.topic, partitions=(tp.partition,)),)
        request = ElectLeadersRequest(election_type=0, topic_partitions=asked, timeout_ms=60_000)
        return self._ask(calls.Ask(ELECT_LEADERS, request), f"elect a leader of {tp}")

    def begin_configuration(self, type_: str, of: str, name: str, value: object) -> Call:
        """Set one configuration, as :meth:`alter_configs` does, without waiting for the answer."""
        change = AlterableConfig(name=name, config_operation=0, value=to_text(value))
        return self._begin_alter(type_, of, [change])

    def _begin_alter(self, type_: str, name: str, changes: list[AlterableConfig]) -> Call:
        resource = AlterConfigsResource(resource_type=_RESOURCES[type_], resource_name=name, configs=tuple(changes))
        request = IncrementalAlterConfigsRequest(resources=(resource,))
        to = int(name) if type_ == "broker" and name else None
        return self._ask(calls.Ask(INCREMENTAL_ALTER_CONFIGS, request, to_broker=to), f"alter {type_} {name}")

    async def list_reassignments(self) -> dict[TopicPartition, OngoingPartitionReassignment]:
        """All that go on."""
        ask = calls.Ask(LIST_PARTITION_REASSIGNMENTS, ListPartitionReassignmentsRequest())
        response = await self._ask(ask, "list reassignments").wait()
        raise_for(response.error_code, response.error_message)
        return {
            TopicPartition(topic.name, one.partition_index): one
            for topic in response.topics
            for one in topic.partitions
        }

    async def describe_quorum(self) -> PartitionDataResult:
        """Leader, epoch, high watermark, voters and observers of the metadata quorum, as its leader has them."""
        partition = DescribeQuorumPartition(partition_index=0)
        topic = DescribeQuorumTopic(topic_name="__cluster_metadata", partitions=(partition,))
        ask = calls.Ask(DESCRIBE_QUORUM, DescribeQuorumRequest(topics=(topic,)))
        response = await self._ask(ask, "describe the metadata quorum").wait()
        raise_for(response.error_code, response.error_message)
        answer: PartitionDataResult = response.topics[0].partitions[0]
        raise_for(answer.error_code, answer.error_message)
        return answer

    async def move_replica(self, partition: TopicPartition | tuple[str, int] | str, broker: int, path: str) -> None:
        """Into another of the broker's ``log.dirs``; answered when the copy begins."""
        tp = partition_of(partition)
        topic = AlterReplicaLogDirTopic(name=tp.topic, partitions=(tp.partition,))
        request = AlterReplicaLogDirsRequest(dirs=(AlterReplicaLogDir(path=path, topics=(topic,)),))
        ask = calls.Ask(ALTER_REPLICA_LOG_DIRS, request, to_broker=broker)
        response = await self._ask(ask, f"move {tp} to {path}").wait()
        raise_for(response.results[0].partitions[0].error_code, None)

    async def describe_log_dirs(self, broker: int) -> dict[str, DescribeLogDirsResult]:
        """What is in each of the broker's ``log.dirs``; one that failed has an error code."""
        ask = calls.Ask(DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(topics=None), to_broker=broker)
        response = await self._ask(ask, f"describe the log directories of broker {broker}").wait()
        raise_for(response.error_code, None)
        return {result.log_dir: result for result in response.results}

    async def add_voter(self, voter: int, directory: Uuid, address: Address) -> None:
        """Another voter of the metadata quorum, which has caught up as an observer; ``directory``: of its log."""
        response = await self.begin_add_voter(voter, directory, address).wait()
        raise_for(response.error_code, response.error_message)

    def begin_add_voter(self, voter: int, directory: Uuid, address: Address) -> Call:
        """As :meth:`add_voter`, without waiting for the answer."""
        listener = Listener(name="CONTROLLER", host=str(address), port=9093)
        request = AddRaftVoterRequest(
            cluster_id=None, voter_id=voter, voter_directory_id=directory, listeners=(listener,), timeout_ms=60_000
        )
        return self._ask(calls.Ask(ADD_RAFT_VOTER, request), f"add voter {voter}")

    async def remove_voter(self, voter: int, directory: Uuid) -> None:
        """One voter less, known by its directory too."""
        response = await self.begin_remove_voter(voter, directory).wait()
        raise_for(response.error_code, response.error_message)

    def begin_remove_voter(self, voter: int, directory: Uuid) -> Call:
        """As :meth:`remove_voter`, without waiting for the answer."""
        request = RemoveRaftVoterRequest(cluster_id=None, voter_id=voter, voter_directory_id=directory)
        return self._ask(calls.Ask(REMOVE_RAFT_VOTER, request), f"remove voter {voter}")

    async def raw(self, broker: int, api: str, version: int, body: Mapping[str, object]) -> dict[str, object]:
        """One request to one broker, and its response, in the JSON of Kafka's message definitions; ``api``: FETCH.

        ValueError for an API that is not built, a version that it does not have, or a body that does not fit.
        """
        cls, key = _request_class(api, version)
        ask = calls.Ask(key, from_json(cls, dict(body), version), to_broker=broker, version=version)
        response = await self._ask(ask, f"send {api} to broker {broker}").wait()
        return to_json(response, version)


def _request_class(api: str, version: int) -> tuple[type, int]:
    name = "".join(part.capitalize() for part in api.split("_")) + "Request"
    for cls, known in about.items():
        if cls.__name__ == name:
            low, high = known.versions
            if not low <= version <= high:
                raise ValueError(f"{api} has the versions {low} to {high}, not {version}")
            return cls, known.key
    raise ValueError(f"{api} is not built")


def raise_for(code: int, message: str | None) -> None:
    if code != errors.NONE:
        raise KafkaError(code, message)
