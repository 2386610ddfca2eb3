"""GroupMetadata, key and value in ``__consumer_offsets``."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(2, "0", "none")
class GroupMetadataKey:
    group: str = kafka("string", "0", default="")


@struct
class MemberMetadata:
    member_id: str = kafka("string", "0+", default="")
    group_instance_id: str | None = kafka("string", "3+", default=None, nullable="3+")
    client_id: str = kafka("string", "0+", default="")
    client_host: str = kafka("string", "0+", default="")
    rebalance_timeout: int = kafka("int32", "1+", default=-1)
    session_timeout: int = kafka("int32", "0+", default=0)
    subscription: bytes = kafka("bytes", "0+", default=b"")
    assignment: bytes = kafka("bytes", "0+", default=b"")


@message(2, "0-4", "4+")
class GroupMetadataValue:
    protocol_type: str = kafka("string", "0+", default="")
    generation: int = kafka("int32", "0+", default=0)
    protocol: str | None = kafka("string", "0+", default="", nullable="0+")
    leader: str | None = kafka("string", "0+", default="", nullable="0+")
    current_state_timestamp: int = kafka("int64", "2+", default=-1)
    members: tuple[MemberMetadata, ...] = kafka("[]MemberMetadata", "0+", default=())
