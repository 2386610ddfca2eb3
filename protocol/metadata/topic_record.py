"""TopicRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(2, "0", "0+")
class TopicRecord:
    name: str = kafka("string", "0+", default="")
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
