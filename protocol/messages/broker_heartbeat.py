"""BrokerHeartbeat, request and response (Kafka: ``BrokerHeartbeatRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import Uuid


@message(63, "0-2", "0+")
class BrokerHeartbeatRequest:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)
    current_metadata_offset: int = kafka("int64", "0+", default=0)
    want_fence: bool = kafka("bool", "0+", default=False)
    want_shut_down: bool = kafka("bool", "0+", default=False)
    offline_log_dirs: tuple[Uuid, ...] = kafka("[]uuid", "1+", default=(), tag=0, tagged="1+")
    cordoned_log_dirs: tuple[Uuid, ...] | None = kafka("[]uuid", "2+", default=None, nullable="2+", tag=1, tagged="2+")


@message(63, "0-2", "0+")
class BrokerHeartbeatResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    is_caught_up: bool = kafka("bool", "0+", default=False)
    is_fenced: bool = kafka("bool", "0+", default=True)
    should_shut_down: bool = kafka("bool", "0+", default=False)
