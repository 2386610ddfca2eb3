"""FeatureLevelRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(12, "0", "0+")
class FeatureLevelRecord:
    name: str = kafka("string", "0+", default="")
    feature_level: int = kafka("int16", "0+", default=0)
