"""AddRaftVoter, request and response (Kafka: ``AddRaftVoterRequest.json``; KIP-853)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class Listener:
    name: str = kafka("string", "0+", default="")
    host: str = kafka("string", "0+", default="")
    port: int = kafka("uint16", "0+", default=0)


@message(80, "0-1", "0+")
class AddRaftVoterRequest:
    cluster_id: str | None = kafka("string", "0+", default="", nullable="0+")
    timeout_ms: int = kafka("int32", "0+", default=0)
    voter_id: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)
    listeners: tuple[Listener, ...] = kafka("[]Listener", "0+", default=())
    ack_when_committed: bool = kafka("bool", "1+", default=True)


@message(80, "0-1", "0+")
class AddRaftVoterResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
