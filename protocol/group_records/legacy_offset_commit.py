"""LegacyOffsetCommit, key and value in ``__consumer_offsets``: what brokers before 0.9 wrote."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message


@message(0, "0", "none")
class LegacyOffsetCommitKey:
    group: str = kafka("string", "0", default="")
    topic: str = kafka("string", "0", default="")
    partition: int = kafka("int32", "0", default=0)


@message(0, "0", "none")
class LegacyOffsetCommitValue:
    offset: int = kafka("int64", "0", default=0)
    metadata: str = kafka("string", "0", default="")
    commit_timestamp: int = kafka("int64", "0", default=0)
