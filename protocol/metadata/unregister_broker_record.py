"""UnregisterBrokerRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(1, "0", "0+")
class UnregisterBrokerRecord:
    broker_id: int = kafka("int32", "0+", default=0)
    broker_epoch: int = kafka("int64", "0+", default=0)
