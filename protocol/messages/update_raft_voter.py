"""UpdateRaftVoter, request and response (Kafka: ``UpdateRaftVoterRequest.json``; KIP-853)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class Listener:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)


@struct
class KRaftVersionFeature:
    min_supported_version: int = kafka("int16", "0+", default=0)
    max_supported_version: int = kafka("int16", "0+", default=0)


@message(82, "0", "0+")
class UpdateRaftVoterRequest:
    cluster_id: str | None = kafka("string", "0+", default="", nullable="0+")
    current_leader_epoch: int = kafka("int32", "0+", default=0)
    voter_id: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    listeners: tuple[Listener, ...] = kafka("[]Listener", "0+", default=())
    k_raft_version_feature: KRaftVersionFeature = kafka("KRaftVersionFeature", "0+", default=KRaftVersionFeature())


@struct
class CurrentLeader:
    leader_id: int = kafka("int32", "0+", default=-1)
    leader_epoch: int = kafka("int32", "0+", default=-1)
    host: str = kafka("string", "0+", default="")
    port: int = kafka("int32", "0+", default=0)


@message(82, "0", "0+")
class UpdateRaftVoterResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    current_leader: CurrentLeader = kafka("CurrentLeader", "0+", default=CurrentLeader(), tag=0, tagged="0+")
