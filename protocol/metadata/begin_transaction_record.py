"""BeginTransactionRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(23, "0", "0+")
class BeginTransactionRecord:
    name: str | None = kafka("string", "0+", default=None, nullable="0+", tag=0, tagged="0+")
