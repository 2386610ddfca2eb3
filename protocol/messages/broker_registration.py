"""BrokerRegistration, request and response (Kafka: ``BrokerRegistrationRequest.json``)."""

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


@message(62, "0-4", "0+")
class BrokerRegistrationRequest:
    broker_id: int = kafka("int32", "0+", default=0)
    cluster_id: str = kafka("string", "0+", default="")
    incarnation_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    listeners: tuple[Listener, ...] = kafka("[]Listener", "0+", default=())
    features: tuple[Feature, ...] = kafka("[]Feature", "0+", default=())
    rack: str | None = kafka("string", "0+", default="", nullable="0+")
    is_migrating_zk_broker: bool = kafka("bool", "1+", default=False)
    log_dirs: tuple[Uuid, ...] = kafka("[]uuid", "2+", default=())
    previous_broker_epoch: int = kafka("int64", "3+", default=-1)


@message(62, "0-4", "0+")
class BrokerRegistrationResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)
