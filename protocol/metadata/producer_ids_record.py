"""ProducerIdsRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(15, "0", "0+")
class ProducerIdsRecord:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=-1)
    next_producer_id: int = kafka("int64", "0+", default=0)
