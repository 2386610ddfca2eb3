"""FenceBrokerRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(7, "0", "0+")
class FenceBrokerRecord:
    id: int = kafka("int32", "0+", default=0)
    epoch: int = kafka("int64", "0+", default=0)
