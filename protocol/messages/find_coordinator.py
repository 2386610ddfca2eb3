"""FindCoordinator, request and response (Kafka: ``FindCoordinatorRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(10, "0-6", "3+")
class FindCoordinatorRequest:
    key: str = kafka("string", "0-3", default="")
    key_type: int = kafka("int8", "1+", default=0)
    coordinator_keys: tuple[str, ...] = kafka("[]string", "4+", default=())


@struct
class Coordinator:
    key: str = kafka("string", "4+", default="")
    node_id: int = kafka("int32", "4+", default=0)
    host: str = kafka("string", "4+", default="")
    port: int = kafka("int32", "4+", default=0)
    error_code: int = kafka("int16", "4+", default=0)
    error_message: str | None = kafka("string", "4+", default="", nullable="4+")


@message(10, "0-6", "3+")
class FindCoordinatorResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    error_code: int = kafka("int16", "0-3", default=0)
    error_message: str | None = kafka("string", "1-3", default="", nullable="1-3")
    node_id: int = kafka("int32", "0-3", default=0)
    host: str = kafka("string", "0-3", default="")
    port: int = kafka("int32", "0-3", default=0)
    coordinators: tuple[Coordinator, ...] = kafka("[]Coordinator", "4+", default=())
