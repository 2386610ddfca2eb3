"""ClearElrRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(28, "0", "0+")
class ClearElrRecord:
    topic_name: str = kafka("string", "0+", default="")
