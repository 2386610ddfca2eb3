"""Fetch, request and response (Kafka: ``FetchRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class ReplicaState:
    replica_id: int = kafka("int32", "15+", default=-1)
    replica_epoch: int = kafka("int64", "15+", default=-1)


@struct
class FetchPartition:
    partition: int = kafka("int32", "0+", default=0)
    current_leader_epoch: int = kafka("int32", "9+", default=-1)
    fetch_offset: int = kafka("int64", "0+", default=0)
    last_fetched_epoch: int = kafka("int32", "12+", default=-1)
    log_start_offset: int = kafka("int64", "5+", default=-1)
    partition_max_bytes: int = kafka("int32", "0+", default=0)
    replica_directory_id: Uuid = kafka("uuid", "17+", default=ZERO_UUID, tag=0, tagged="17+")
    high_watermark: int = kafka("int64", "18+", default=9223372036854775807, tag=1, tagged="18+")


@struct
class FetchTopic:
    topic: str = kafka("string", "0-12", default="")
    topic_id: Uuid = kafka("uuid", "13+", default=ZERO_UUID)
    partitions: tuple[FetchPartition, ...] = kafka("[]FetchPartition", "0+", default=())


@struct
class ForgottenTopic:
    topic: str = kafka("string", "7-12", default="")
    topic_id: Uuid = kafka("uuid", "13+", default=ZERO_UUID)
    partitions: tuple[int, ...] = kafka("[]int32", "7+", default=())


@message(1, "4-18", "12+")
class FetchRequest:
    cluster_id: str | None = kafka("string", "12+", default=None, nullable="12+", tag=0, tagged="12+")
    replica_id: int = kafka("int32", "0-14", default=-1)
    replica_state: ReplicaState = kafka("ReplicaState", "15+", default=ReplicaState(), tag=1, tagged="15+")
    max_wait_ms: int = kafka("int32", "0+", default=0)
    min_bytes: int = kafka("int32", "0+", default=0)
    max_bytes: int = kafka("int32", "3+", default=2147483647)
    isolation_level: int = kafka("int8", "4+", default=0)
    session_id: int = kafka("int32", "7+", default=0)
    session_epoch: int = kafka("int32", "7+", default=-1)
    topics: tuple[FetchTopic, ...] = kafka("[]FetchTopic", "0+", default=())
    forgotten_topics_data: tuple[ForgottenTopic, ...] = kafka("[]ForgottenTopic", "7+", default=())
    rack_id: str = kafka("string", "11+", default="")


@struct
class EpochEndOffset:
    epoch: int = kafka("int32", "12+", default=-1)
    end_offset: int = kafka("int64", "12+", default=-1)


@struct
class LeaderIdAndEpoch:
    leader_id: int = kafka("int32", "12+", default=-1)
    leader_epoch: int = kafka("int32", "12+", default=-1)


@struct
class SnapshotId:
    end_offset: int = kafka("int64", "0+", default=-1)
    epoch: int = kafka("int32", "0+", default=-1)


@struct
class AbortedTransaction:
    producer_id: int = kafka("int64", "4+", default=0)
    first_offset: int = kafka("int64", "4+", default=0)


@struct
class PartitionData:
    partition_index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    high_watermark: int = kafka("int64", "0+", default=0)
    last_stable_offset: int = kafka("int64", "4+", default=-1)
    log_start_offset: int = kafka("int64", "5+", default=-1)
    diverging_epoch: EpochEndOffset = kafka("EpochEndOffset", "12+", default=EpochEndOffset(), tag=0, tagged="12+")
    current_leader: LeaderIdAndEpoch = kafka("LeaderIdAndEpoch", "12+", default=LeaderIdAndEpoch(), tag=1, tagged="12+")
    snapshot_id: SnapshotId = kafka("SnapshotId", "12+", default=SnapshotId(), tag=2, tagged="12+")
    aborted_transactions: tuple[AbortedTransaction, ...] | None = kafka(
        "[]AbortedTransaction", "4+", default=(), nullable="4+"
    )
    preferred_read_replica: int = kafka("int32", "11+", default=-1)
    records: bytes | None = kafka("records", "0+", default=None, nullable="0+")


@struct
class FetchableTopicResponse:
    topic: str = kafka("string", "0-12", default="")
    topic_id: Uuid = kafka("uuid", "13+", default=ZERO_UUID)
    partitions: tuple[PartitionData, ...] = kafka("[]PartitionData", "0+", default=())


@struct
class NodeEndpoint:
    node_id: int = kafka("int32", "16+", default=0)
    host: str = kafka("string", "16+", default="")
    port: int = kafka("int32", "16+", default=0)
    rack: str | None = kafka("string", "16+", default=None, nullable="16+")


@message(1, "4-18", "12+")
class FetchResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "7+", default=0)
    session_id: int = kafka("int32", "7+", default=0)
    responses: tuple[FetchableTopicResponse, ...] = kafka("[]FetchableTopicResponse", "0+", default=())
    node_endpoints: tuple[NodeEndpoint, ...] = kafka("[]NodeEndpoint", "16+", default=(), tag=0, tagged="16+")
