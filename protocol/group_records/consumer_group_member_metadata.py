"""ConsumerGroupMemberMetadata, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(5, "0", "none")
class ConsumerGroupMemberMetadataKey:
    group_id: str = kafka("string", "0", default="")
    member_id: str = kafka("string", "0", default="")


@struct
class ClassicProtocol:
    name: str = kafka("string", "0+", default="")
    metadata: bytes = kafka("bytes", "0+", default=b"")


@struct
class ClassicMemberMetadata:
    session_timeout_ms: int = kafka("int32", "0+", default=0)
    supported_protocols: tuple[ClassicProtocol, ...] = kafka("[]ClassicProtocol", "0+", default=())


@message(5, "0", "0+")
class ConsumerGroupMemberMetadataValue:
    instance_id: str | None = kafka("string", "0+", default="", nullable="0+")
    rack_id: str | None = kafka("string", "0+", default="", nullable="0+")
    client_id: str = kafka("string", "0+", default="")
    client_host: str = kafka("string", "0+", default="")
    subscribed_topic_names: tuple[str, ...] = kafka("[]string", "0+", default=())
    subscribed_topic_regex: str | None = kafka("string", "0+", default="", nullable="0+")
    rebalance_timeout_ms: int = kafka("int32", "0+", default=-1)
    server_assignor: str | None = kafka("string", "0+", default="", nullable="0+")
    classic_member_metadata: ClassicMemberMetadata | None = kafka(
        "ClassicMemberMetadata", "0+", default=ClassicMemberMetadata(), nullable="0+", tag=0, tagged="0+"
    )
