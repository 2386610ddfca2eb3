"""AbortTransactionRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(25, "0", "0+")
class AbortTransactionRecord:
    reason: str | None = kafka("string", "0+", default=None, nullable="0+", tag=0, tagged="0+")
