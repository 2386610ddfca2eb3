"""LeaveGroup, request and response (Kafka: ``LeaveGroupRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class MemberIdentity:
    member_id: str = kafka("string", "3+", default="")
    group_instance_id: str | None = kafka("string", "3+", default=None, nullable="3+")
    reason: str | None = kafka("string", "5+", default=None, nullable="5+")


@message(13, "0-5", "4+")
class LeaveGroupRequest:
    group_id: str = kafka("string", "0+", default="")
    member_id: str = kafka("string", "0-2", default="")
    members: tuple[MemberIdentity, ...] = kafka("[]MemberIdentity", "3+", default=())


@struct
class MemberResponse:
    member_id: str = kafka("string", "3+", default="")
    group_instance_id: str | None = kafka("string", "3+", default="", nullable="3+")
    error_code: int = kafka("int16", "3+", default=0)


@message(13, "0-5", "4+")
class LeaveGroupResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    members: tuple[MemberResponse, ...] = kafka("[]MemberResponse", "3+", default=())
