"""What a story holds of its clients: thin front doors to client actors.

A call is an event of its instant and its answer is one too, so that a kill or a pause of the client treats it like
anything else. Method names are those of aiokafka, settings have Kafka's names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from kafsim.clients import calls
from kafsim.clients.calls import ConsumerRecord, RecordMetadata
from kafsim.clients.errors import KafkaError
from kafsim.cluster.node import Node
from kafsim.cluster.waits import Call
from kafsim.cluster.world import World
from kafsim.protocol import errors
from kafsim.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from kafsim.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from kafsim.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    ProducerState,
    TopicRequest,
)
from kafsim.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kafsim.protocol.messages.metadata import MetadataResponseTopic
from kafsim.protocol.types import Micros, TopicPartition

CREATE_TOPICS, DELETE_TOPICS, INCREMENTAL_ALTER_CONFIGS, DESCRIBE_PRODUCERS = 19, 20, 44, 61
_RESOURCES = {"topic": 2, "broker": 4}


def encode(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def partition_of(value: TopicPartition | tuple[str, int] | str) -> TopicPartition:
    """``("orders", 0)`` or ``"orders-0"``."""
    if isinstance(value, str):
        topic, _, index = value.rpartition("-")
        return TopicPartition(topic, int(index))
    return TopicPartition(*value)


class Handle:
    """One client; it may be killed like any other node."""

    def __init__(self, world: World, node: Node) -> None:
        self._world = world
        self.node = node

    @property
    def name(self) -> str:
        return str(self.node.address)

    def _ask(self, request: object, what: str) -> Call:
        return self._world.call(self.node, request, f"{self.name} to {what}")

    def kill(self) -> None:
        """The process of this client is gone; its calls fail with ClientKilled."""
        self.node.kill()


class ProducerHandle(Handle):
    """``send`` gives something to await later; ``send_and_wait`` waits at once."""

    def send(
        self,
        topic: str,
        value: bytes | str | None = None,
        *,
        key: bytes | str | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> Pending:
        request = calls.Send(
            topic=topic,
            value=encode(value),
            key=encode(key),
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=tuple(headers),
        )
        return Pending(self._ask(request, f"send to {topic}"))

    async def send_and_wait(self, topic: str, value: bytes | str | None = None, **options: Any) -> RecordMetadata:
        sent: RecordMetadata = await self.send(topic, value, **options)
        return sent

    async def flush(self) -> None:
        await self._ask(calls.Flush(), "flush").wait()

    async def stop(self) -> None:
        await self._ask(calls.Close(), "close").wait()


class Pending(Awaitable[RecordMetadata]):
    """The answer to one send; awaiting it raises what the send failed with."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Any:
        return self._call.wait(within=Micros(400_000_000)).__await__()

    @property
    def done(self) -> bool:
        return self._call.parking.done


class ConsumerHandle(Handle):
    """A consumer whose partitions are assigned by hand."""

    async def assign(self, partitions: Iterable[TopicPartition | tuple[str, int] | str]) -> None:
        await self._ask(calls.Assign(tuple(map(partition_of, partitions))), "assign").wait()

    async def seek(self, partition: TopicPartition | tuple[str, int] | str, offset: int) -> None:
        await self._ask(calls.Seek(partition_of(partition), offset), "seek").wait()

    async def seek_to_beginning(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        for partition in partitions:
            await self._ask(calls.Seek(partition_of(partition), "earliest"), "seek").wait()

    async def seek_to_end(self, *partitions: TopicPartition | tuple[str, int] | str) -> None:
        for partition in partitions:
            await self._ask(calls.Seek(partition_of(partition), "latest"), "seek").wait()

    async def position(self, partition: TopicPartition | tuple[str, int] | str) -> int:
        tp = partition_of(partition)
        return int(await self._ask(calls.Position(tp), f"find its position in {tp}").wait())

    async def getmany(self, *, timeout_ms: int = 0, max_records: int | None = None) -> tuple[ConsumerRecord, ...]:
        """Records that are there, or that come within the timeout."""
        request = calls.Poll(timeout_ms * 1_000, max_records)
        within = Micros(timeout_ms * 1_000 + 120_000_000)
        records: tuple[ConsumerRecord, ...] = await self._ask(request, "poll").wait(within)
        return records

    async def getone(self) -> ConsumerRecord:
        """The next record, however long it takes within 120 s."""
        request = calls.Poll(200_000_000, 1)
        records: tuple[ConsumerRecord, ...] = await self._ask(request, "get one record").wait()
        return records[0]

    async def end_offsets(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str]
    ) -> dict[TopicPartition, int]:
        return await self._offsets(partitions, -1)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str]
    ) -> dict[TopicPartition, int]:
        return await self._offsets(partitions, -2)

    async def offsets_for_time(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str], timestamp_ms: int
    ) -> dict[TopicPartition, int]:
        """The first record not before a time; -1 where there is none."""
        return await self._offsets(partitions, timestamp_ms)

    async def _offsets(
        self, partitions: Iterable[TopicPartition | tuple[str, int] | str], timestamp: int
    ) -> dict[TopicPartition, int]:
        tps = tuple(map(partition_of, partitions))
        found: dict[TopicPartition, int] = await self._ask(calls.Offsets(tps, timestamp), "find offsets").wait()
        return found


class AdminHandle(Handle):
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
            configs=tuple(CreatableTopicConfig(name=n, value=text(v)) for n, v in (configs or {}).items()),
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

    async def alter_configs(
        self,
        type_: str,
        name: str,
        *,
        set: Mapping[str, object] | None = None,  # noqa: A002  # Kafka's word for it
        delete: Iterable[str] = (),
    ) -> None:
        """``type_``: topic, or broker with the name "" for the cluster-wide default."""
        changes = [AlterableConfig(name=n, config_operation=0, value=text(v)) for n, v in (set or {}).items()]
        changes += [AlterableConfig(name=n, config_operation=1, value=None) for n in delete]
        resource = AlterConfigsResource(resource_type=_RESOURCES[type_], resource_name=name, configs=tuple(changes))
        request = IncrementalAlterConfigsRequest(resources=(resource,))
        response = await self._ask(calls.Ask(INCREMENTAL_ALTER_CONFIGS, request), f"alter {type_} {name}").wait()
        raise_for(response.responses[0].error_code, response.responses[0].error_message)

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


def text(value: object) -> str:
    """A configuration value as Kafka's text."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def raise_for(code: int, message: str | None) -> None:
    if code != errors.NONE:
        raise KafkaError(code, message)
