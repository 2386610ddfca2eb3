"""BeginQuorumEpoch, request and response (Kafka: ``BeginQuorumEpochRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "1+", default=ZERO_UUID)
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)


@struct
class TopicData:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@struct
class LeaderEndpoint:
    name: str = kafka("string", "1+", default="")
    host: str = kafka("string", "1+", default="")
    port: int = kafka("uint16", "1+", default=0)


@message(53, "0-1", "1+")
class BeginQuorumEpochRequest:
    cluster_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    voter_id: int = kafka("int32", "1+", default=-1)
    topics: tuple[TopicData, ...] = kafka("[]TopicData", "0+", default=())
    leader_endpoints: tuple[LeaderEndpoint, ...] = kafka("[]LeaderEndpoint", "1+", default=())


@struct
class PartitionDataResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)


@struct
class TopicDataResult:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionDataResult, ...] = kafka("[]PartitionDataResult", "0+", default=())


@struct
class NodeEndpoint:
    node_id: int = kafka("int32", "1+", default=0)
    host: str = kafka("string", "1+", default="")
    port: int = kafka("uint16", "1+", default=0)


@message(53, "0-1", "1+")
class BeginQuorumEpochResponse:
    error_code: int = kafka("int16", "0+", default=0)
    topics: tuple[TopicDataResult, ...] = kafka("[]TopicDataResult", "0+", default=())
    node_endpoints: tuple[NodeEndpoint, ...] = kafka("[]NodeEndpoint", "1+", default=(), tag=0, tagged="1+")
