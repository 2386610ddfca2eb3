"""DescribeGroups, request and response (Kafka: ``DescribeGroupsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(15, "0-6", "5+")
class DescribeGroupsRequest:
    groups: tuple[str, ...] = kafka("[]string", "0+", default=())
    include_authorized_operations: bool = kafka("bool", "3+", default=False)


@struct
class DescribedGroupMember:
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "4+", default=None, nullable="4+")
    client_id: str = kafka("string", "0+", default="")
    client_host: str = kafka("string", "0+", default="")
    member_metadata: bytes = kafka("bytes", "0+", default=b"")
    member_assignment: bytes = kafka("bytes", "0+", default=b"")


@struct
class DescribedGroup:
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "6+", default=None, nullable="6+")
    group_id: str = kafka("string", "0+", default="")
    group_state: str = kafka("string", "0+", default="")
    protocol_type: str = kafka("string", "0+", default="")
    protocol_data: str = kafka("string", "0+", default="")
    members: tuple[DescribedGroupMember, ...] = kafka("[]DescribedGroupMember", "0+", default=())
    authorized_operations: int = kafka("int32", "3+", default=-2147483648)


@message(15, "0-6", "5+")
class DescribeGroupsResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    groups: tuple[DescribedGroup, ...] = kafka("[]DescribedGroup", "0+", default=())
