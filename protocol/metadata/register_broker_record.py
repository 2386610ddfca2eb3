"""RegisterBrokerRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class BrokerEndpoint:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)
    security_protocol: int = kafka("int16", "0+", default=0)


@struct
class BrokerFeature:
    name: str = kafka("string", "0+", default="")
    min_supported_version: int = kafka("int16", "0+", default=0)
    max_supported_version: int = kafka("int16", "0+", default=0)


@message(0, "0-4", "0+")
class RegisterBrokerRecord:
    broker_id: int = kafka("int32", "0+", default=0)
    is_migrating_zk_broker: bool = kafka("bool", "2+", default=False)
    incarnation_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    broker_epoch: int = kafka("int64", "0+", default=0)
    end_points: tuple[BrokerEndpoint, ...] = kafka("[]BrokerEndpoint", "0+", default=())
    features: tuple[BrokerFeature, ...] = kafka("[]BrokerFeature", "0+", default=())
    rack: str | None = kafka("string", "0+", default="", nullable="0+")
    fenced: bool = kafka("bool", "0+", default=True)
    in_controlled_shutdown: bool = kafka("bool", "1+", default=False)
    log_dirs: tuple[Uuid, ...] = kafka("[]uuid", "3+", default=(), tag=0, tagged="3+")
    cordoned_log_dirs: tuple[Uuid, ...] | None = kafka("[]uuid", "4+", default=None, nullable="4+", tag=1, tagged="4+")
