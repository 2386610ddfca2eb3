"""NoOpRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import message


@message(20, "0", "0+")
class NoOpRecord:
    pass
