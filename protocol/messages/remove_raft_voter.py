"""RemoveRaftVoter, request and response (Kafka: ``RemoveRaftVoterRequest.json``; KIP-853)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@message(81, "0", "0+")
class RemoveRaftVoterRequest:
    cluster_id: str | None = kafka("string", "0+", default="", nullable="0+")
    voter_id: int = kafka("int32", "0+", default=0)
    voter_directory_id: Uuid = kafka("uuid", "0+", default=ZERO_UUID)


@message(81, "0", "0+")
class RemoveRaftVoterResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
