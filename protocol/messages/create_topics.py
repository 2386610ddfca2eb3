"""CreateTopics, request and response (Kafka: ``CreateTopicsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class CreatableReplicaAssignment:
    partition_index: int = kafka("int32", "0+", default=0)
    broker_ids: tuple[int, ...] = kafka("[]int32", "0+", default=())


@struct
class CreatableTopicConfig:
    name: str = kafka("string", "0+", default="")
    value: str | None = kafka("string", "0+", default="", nullable="0+")


@struct
class CreatableTopic:
    name: str = kafka("string", "0+", default="")
    num_partitions: int = kafka("int32", "0+", default=0)
    replication_factor: int = kafka("int16", "0+", default=0)
    assignments: tuple[CreatableReplicaAssignment, ...] = kafka("[]CreatableReplicaAssignment", "0+", default=())
    configs: tuple[CreatableTopicConfig, ...] = kafka("[]CreatableTopicConfig", "0+", default=())


@message(19, "2-7", "5+")
class CreateTopicsRequest:
    topics: tuple[CreatableTopic, ...] = kafka("[]CreatableTopic", "0+", default=())
    timeout_ms: int = kafka("int32", "0+", default=60000)
    validate_only: bool = kafka("bool", "1+", default=False)


@struct
class CreatableTopicConfigs:
    name: str = kafka("string", "5+", default="")
    value: str | None = kafka("string", "5+", default="", nullable="5+")
    read_only: bool = kafka("bool", "5+", default=False)
    config_source: int = kafka("int8", "5+", default=-1)
    is_sensitive: bool = kafka("bool", "5+", default=False)


@struct
class CreatableTopicResult:
    name: str = kafka("string", "0+", default="")
    topic_id: Uuid = kafka("uuid", "7+", default=ZERO_UUID)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "1+", default="", nullable="0+")
    topic_config_error_code: int = kafka("int16", "5+", default=0, tag=0, tagged="5+")
    num_partitions: int = kafka("int32", "5+", default=-1)
    replication_factor: int = kafka("int16", "5+", default=-1)
    configs: tuple[CreatableTopicConfigs, ...] | None = kafka(
        "[]CreatableTopicConfigs", "5+", default=(), nullable="5+"
    )


@message(19, "2-7", "5+")
class CreateTopicsResponse:
    throttle_time_ms: int = kafka("int32", "2+", default=0)
    topics: tuple[CreatableTopicResult, ...] = kafka("[]CreatableTopicResult", "0+", default=())
