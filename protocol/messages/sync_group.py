"""SyncGroup, request and response (Kafka: ``SyncGroupRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class SyncGroupRequestAssignment:
    member_id: str = kafka("string", "0+", default="")
    assignment: bytes = kafka("bytes", "0+", default=b"")


@message(14, "0-5", "4+")
class SyncGroupRequest:
    group_id: str = kafka("string", "0+", default="")
    generation_id: int = kafka("int32", "0+", default=0)
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "3+", default=None, nullable="3+")
    protocol_type: str | None = kafka("string", "5+", default=None, nullable="5+")
    protocol_name: str | None = kafka("string", "5+", default=None, nullable="5+")
    assignments: tuple[SyncGroupRequestAssignment, ...] = kafka("[]SyncGroupRequestAssignment", "0+", default=())


@message(14, "0-5", "4+")
class SyncGroupResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    protocol_type: str | None = kafka("string", "5+", default=None, nullable="5+")
    protocol_name: str | None = kafka("string", "5+", default=None, nullable="5+")
    assignment: bytes = kafka("bytes", "0+", default=b"")
