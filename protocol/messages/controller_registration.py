"""ControllerRegistration, request and response (Kafka: ``ControllerRegistrationRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class Listener:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)
    security_protocol: int = kafka("int16", "0+", default=0)


@struct
class Feature:
    name: str = kafka("string", "0+", default="")
    min_supported_version: int = kafka("int16", "0+", default=0)
    max_supported_version: int = kafka("int16", "0+", default=0)


@message(70, "0", "0+")
class ControllerRegistrationRequest:
    controller_id: int = kafka("int32", "0+", default=0)
    incarnation_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    zk_migration_ready: bool = kafka("bool", "0+", default=False)
    listeners: tuple[Listener, ...] = kafka("[]Listener", "0+", default=())
    features: tuple[Feature, ...] = kafka("[]Feature", "0+", default=())


@message(70, "0", "0+")
class ControllerRegistrationResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
