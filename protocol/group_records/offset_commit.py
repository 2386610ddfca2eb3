"""OffsetCommit, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(1, "0", "none")
class OffsetCommitKey:
    group: str = kafka("string", "0", default="")
    topic: str = kafka("string", "0", default="")
    partition: int = kafka("int32", "0", default=0)


@message(1, "0-4", "4+")
class OffsetCommitValue:
    offset: int = kafka("int64", "0+", default=0)
    leader_epoch: int = kafka("int32", "3+", default=-1)
    metadata: str = kafka("string", "0+", default="")
    commit_timestamp: int = kafka("int64", "0+", default=0)
    expire_timestamp: int = kafka("int64", "1", default=-1)
    topic_id: Uuid = kafka("uuid", "4+", default=ZERO_UUID, tag=0, tagged="4+")
