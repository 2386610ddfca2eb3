"""ConsumerGroupTargetAssignmentMetadata, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(6, "0", "none")
class ConsumerGroupTargetAssignmentMetadataKey:
    group_id: str = kafka("string", "0", default="")


@message(6, "0", "0+")
class ConsumerGroupTargetAssignmentMetadataValue:
    assignment_epoch: int = kafka("int32", "0+", default=0)
    assignment_timestamp: int = kafka("int64", "0+", default=0, tag=0, tagged="0+")
