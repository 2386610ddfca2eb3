"""RemoveTopicRecord of the metadata log."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(9, "0", "0+")
class RemoveTopicRecord:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
