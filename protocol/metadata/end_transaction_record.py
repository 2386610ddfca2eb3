"""EndTransactionRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import message


@message(24, "0", "0+")
class EndTransactionRecord:
    pass
