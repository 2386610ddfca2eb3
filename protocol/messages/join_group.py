"""JoinGroup, request and response (Kafka: ``JoinGroupRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class JoinGroupRequestProtocol:
    name: str = kafka("string", "0+", default="")
    metadata: bytes = kafka("bytes", "0+", default=b"")


@message(11, "0-9", "6+")
class JoinGroupRequest:
    group_id: str = kafka("string", "0+", default="")
    session_timeout_ms: int = kafka("int32", "0+", default=0)
    rebalance_timeout_ms: int = kafka("int32", "1+", default=-1)
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "5+", default=None, nullable="5+")
    protocol_type: str = kafka("string", "0+", default="")
    protocols: tuple[JoinGroupRequestProtocol, ...] = kafka("[]JoinGroupRequestProtocol", "0+", default=())
    reason: str | None = kafka("string", "8+", default=None, nullable="8+")


@struct
class JoinGroupResponseMember:
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "5+", default=None, nullable="5+")
    metadata: bytes = kafka("bytes", "0+", default=b"")


@message(11, "0-9", "6+")
class JoinGroupResponse:
    throttle_time_ms: int = kafka("int32", "2+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    generation_id: int = kafka("int32", "0+", default=-1)
    protocol_type: str | None = kafka("string", "7+", default=None, nullable="7+")
    protocol_name: str | None = kafka("string", "0+", default="", nullable="7+")
    leader: str = kafka("string", "0+", default="")
    skip_assignment: bool = kafka("bool", "9+", default=False)
    member_id: str = kafka("string", "0+", default="")
    members: tuple[JoinGroupResponseMember, ...] = kafka("[]JoinGroupResponseMember", "0+", default=())
