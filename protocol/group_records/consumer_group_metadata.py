"""ConsumerGroupMetadata, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(3, "0", "none")
class ConsumerGroupMetadataKey:
    group_id: str = kafka("string", "0", default="")


@message(3, "0", "0+")
class ConsumerGroupMetadataValue:
    epoch: int = kafka("int32", "0+", default=0)
    metadata_hash: int = kafka("int64", "0+", default=0, tag=0, tagged="0+")
