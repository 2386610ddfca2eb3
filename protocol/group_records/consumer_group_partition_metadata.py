"""ConsumerGroupPartitionMetadata, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(4, "0", "none")
class ConsumerGroupPartitionMetadataKey:
    group_id: str = kafka("string", "0", default="")


@struct
class PartitionMetadata:
    partition: int = kafka("int32", "0+", default=0)
    racks: tuple[str, ...] = kafka("[]string", "0+", default=())


@struct
class TopicMetadata:
    topic_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    topic_name: str = kafka("string", "0+", default="")
    num_partitions: int = kafka("int32", "0+", default=0)
    partition_metadata: tuple[PartitionMetadata, ...] = kafka("[]PartitionMetadata", "0+", default=())


@message(4, "0", "0+")
class ConsumerGroupPartitionMetadataValue:
    topics: tuple[TopicMetadata, ...] = kafka("[]TopicMetadata", "0+", default=())
