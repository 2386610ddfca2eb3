"""UnregisterBroker, request and response (Kafka: ``UnregisterBrokerRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(64, "0", "0+")
class UnregisterBrokerRequest:
    broker_id: int = kafka("int32", "0+", default=0)


@message(64, "0", "0+")
class UnregisterBrokerResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
