"""ListGroups, request and response (Kafka: ``ListGroupsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(16, "0-5", "3+")
class ListGroupsRequest:
    states_filter: tuple[str, ...] = kafka("[]string", "4+", default=())
    types_filter: tuple[str, ...] = kafka("[]string", "5+", default=())


@struct
class ListedGroup:
    group_id: str = kafka("string", "0+", default="")
    protocol_type: str = kafka("string", "0+", default="")
    group_state: str = kafka("string", "4+", default="")
    group_type: str = kafka("string", "5+", default="")


@message(16, "0-5", "3+")
class ListGroupsResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    groups: tuple[ListedGroup, ...] = kafka("[]ListedGroup", "0+", default=())
