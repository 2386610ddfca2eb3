"""Heartbeat, request and response (Kafka: ``HeartbeatRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(12, "0-4", "4+")
class HeartbeatRequest:
    group_id: str = kafka("string", "0+", default="")
    generation_id: int = kafka("int32", "0+", default=0)
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "3+", default=None, nullable="3+")


@message(12, "0-4", "4+")
class HeartbeatResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
