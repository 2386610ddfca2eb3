"""FetchSnapshot, request and response (Kafka: ``FetchSnapshotRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class SnapshotId:
    end_offset: int = kafka("int64", "0+", default=0)
    epoch: int = kafka("int32", "0+", default=0)


@struct
class PartitionSnapshot:
    partition: int = kafka("int32", "0+", default=0)
    current_leader_epoch: int = kafka("int32", "0+", default=0)
    snapshot_id: SnapshotId = kafka("SnapshotId", "0+", default=SnapshotId())
    position: int = kafka("int64", "0+", default=0)
    replica_directory_id: Uuid = kafka("uuid", "1+", default=ZERO_UUID, tag=0, tagged="1+")


@struct
class TopicSnapshot:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionSnapshot, ...] = kafka("[]PartitionSnapshot", "0+", default=())


@message(59, "0-1", "0+")
class FetchSnapshotRequest:
    cluster_id: str | None = kafka("string", "0+", default=None, nullable="0+", tag=0, tagged="0+")
    replica_id: int = kafka("int32", "0+", default=-1)
    max_bytes: int = kafka("int32", "0+", default=2147483647)
    topics: tuple[TopicSnapshot, ...] = kafka("[]TopicSnapshot", "0+", default=())


@struct
class SnapshotIdResult:
    end_offset: int = kafka("int64", "0+", default=0)
    epoch: int = kafka("int32", "0+", default=0)


@struct
class LeaderIdAndEpoch:
    leader_id: int = kafka("int32", "0+", default=0)
    leader_epoch: int = kafka("int32", "0+", default=0)


@struct
class PartitionSnapshotResult:
    index: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    snapshot_id: SnapshotIdResult = kafka("SnapshotIdResult", "0+", default=SnapshotIdResult())
    current_leader: LeaderIdAndEpoch = kafka("LeaderIdAndEpoch", "0+", default=LeaderIdAndEpoch(), tag=0, tagged="0+")
    size: int = kafka("int64", "0+", default=0)
    position: int = kafka("int64", "0+", default=0)
    unaligned_records: bytes | None = kafka("records", "0+", default=None, nullable="0+")


@struct
class TopicSnapshotResult:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[PartitionSnapshotResult, ...] = kafka("[]PartitionSnapshotResult", "0+", default=())


@struct
class NodeEndpoint:
    node_id: int = kafka("int32", "1+", default=0)
    host: str = kafka("string", "1+", default="")
    port: int = kafka("uint16", "1+", default=0)


@message(59, "0-1", "0+")
class FetchSnapshotResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    topics: tuple[TopicSnapshotResult, ...] = kafka("[]TopicSnapshotResult", "0+", default=())
    node_endpoints: tuple[NodeEndpoint, ...] = kafka("[]NodeEndpoint", "1+", default=(), tag=0, tagged="1+")
