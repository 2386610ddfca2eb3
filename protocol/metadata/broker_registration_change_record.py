"""BrokerRegistrationChangeRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import Uuid


@message(17, "0-3", "0+")
class BrokerRegistrationChangeRecord:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=0)
    fenced: int = kafka("int8", "0+", default=0, tag=0, tagged="0+")
    in_controlled_shutdown: int = kafka("int8", "1+", default=0, tag=1, tagged="1+")
    log_dirs: tuple[Uuid, ...] = kafka("[]uuid", "2+", default=(), tag=2, tagged="2+")
    cordoned_log_dirs: tuple[Uuid, ...] | None = kafka("[]uuid", "3+", default=None, nullable="3+", tag=3, tagged="3+")
