"""Vote, request and response (Kafka: ``VoteRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)
    replica_epoch: int = kafka("int32", "0+", default=0)
    replica_id: int = kafka("int32", "0+", default=0)
    replica_directory_id: Uuid = kafka("uuid", "1+", default=ZERO_UUID)
    voter_directory_id: Uuid = kafka("uuid", "1+", default=ZERO_UUID)
    last_offset_epoch: int = kafka("int32", "0+", default=0)
    last_offset: int = kafka("int64", "0+", default=0)
    pre_vote: bool = kafka("bool", "2+", default=False)


@struct
class TopicData:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@message(52, "0-2", "0+")
class VoteRequest:
    cluster_id: str | None = kafka("string", "0+", default=None, nullable="0+")
    voter_id: int = kafka("int32", "1+", default=-1)
    topics: tuple[TopicData, ...] = kafka("[]TopicData", "0+", default=())


@struct
class PartitionDataResult:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)
    vote_granted: bool = kafka("bool", "0+", default=False)


@struct
class TopicDataResult:
    topic_name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionDataResult, ...] = kafka("[]PartitionDataResult", "0+", default=())


@struct
class NodeEndpoint:
    node_id: int = kafka("int32", "1+", default=0)
    host: str = kafka("string", "1+", default="")
    port: int = kafka("uint16", "1+", default=0)


@message(52, "0-2", "0+")
class VoteResponse:
    error_code: int = kafka("int16", "0+", default=0)
    topics: tuple[TopicDataResult, ...] = kafka("[]TopicDataResult", "0+", default=())
    node_endpoints: tuple[NodeEndpoint, ...] = kafka("[]NodeEndpoint", "1+", default=(), tag=0, tagged="1+")
