"""DeleteGroups, request and response (Kafka: ``DeleteGroupsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(42, "0-2", "2+")
class DeleteGroupsRequest:
    groups_names: tuple[str, ...] = kafka("[]string", "0+", default=())


@struct
class DeletableGroupResult:
    group_id: str = kafka("string", "0+", default="")
    error_code: int = kafka("int16", "0+", default=0)


@message(42, "0-2", "2+")
class DeleteGroupsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    results: tuple[DeletableGroupResult, ...] = kafka("[]DeletableGroupResult", "0+", default=())
