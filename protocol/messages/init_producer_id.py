"""InitProducerId, request and response (Kafka: ``InitProducerIdRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(22, "0-6", "2+")
class InitProducerIdRequest:
    transactional_id: str | None = kafka("string", "0+", default="", nullable="0+")
    transaction_timeout_ms: int = kafka("int32", "0+", default=0)
    producer_id: int = kafka("int64", "3+", default=-1)
    producer_epoch: int = kafka("int16", "3+", default=-1)
    enable2_pc: bool = kafka("bool", "6+", default=False)
    keep_prepared_txn: bool = kafka("bool", "6+", default=False)


@message(22, "0-6", "2+")
class InitProducerIdResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    producer_id: int = kafka("int64", "0+", default=-1)
    producer_epoch: int = kafka("int16", "0+", default=0)
    ongoing_txn_producer_id: int = kafka("int64", "6+", default=-1)
    ongoing_txn_producer_epoch: int = kafka("int16", "6+", default=-1)
