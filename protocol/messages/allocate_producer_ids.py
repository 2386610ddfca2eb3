"""AllocateProducerIds, request and response (Kafka: ``AllocateProducerIdsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(67, "0", "0+")
class AllocateProducerIdsRequest:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)


@message(67, "0", "0+")
class AllocateProducerIdsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    producer_id_start: int = kafka("int64", "0+", default=0)
    producer_id_len: int = kafka("int32", "0+", default=0)
