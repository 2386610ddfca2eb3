"""RegisterControllerRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class ControllerEndpoint:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)
    security_protocol: int = kafka("int16", "0+", default=0)


@struct
class ControllerFeature:
    name: str = kafka("string", "0+", default="")
    min_supported_version: int = kafka("int16", "0+", default=0)
    max_supported_version: int = kafka("int16", "0+", default=0)


@message(27, "0", "0+")
class RegisterControllerRecord:
    controller_id: int = kafka("int32", "0+", default=0)
    incarnation_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    zk_migration_ready: bool = kafka("bool", "0+", default=False)
    end_points: tuple[ControllerEndpoint, ...] = kafka("[]ControllerEndpoint", "0+", default=())
    features: tuple[ControllerFeature, ...] = kafka("[]ControllerFeature", "0+", default=())
