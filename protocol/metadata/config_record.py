"""ConfigRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(4, "0", "0+")
class ConfigRecord:
    resource_type: int = kafka("int8", "0+", default=0)
    resource_name: str = kafka("string", "0+", default="")
    name: str = kafka("string", "0+", default="")
    value: str | None = kafka("string", "0+", default="", nullable="0+")
