"""DeleteTopics, request and response (Kafka: ``DeleteTopicsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct
from kafsim.protocol.uuid import ZERO_UUID, Uuid


@struct
class DeleteTopicState:
    name: str | None = kafka("string", "6+", default=None, nullable="6+")
    topic_id: Uuid = kafka("uuid", "6+", default=ZERO_UUID)


@message(20, "1-6", "4+")
class DeleteTopicsRequest:
    topics: tuple[DeleteTopicState, ...] = kafka("[]DeleteTopicState", "6+", default=())
    topic_names: tuple[str, ...] = kafka("[]string", "0-5", default=())
    timeout_ms: int = kafka("int32", "0+", default=0)


@struct
class DeletableTopicResult:
    name: str | None = kafka("string", "0+", default="", nullable="6+")
    topic_id: Uuid = kafka("uuid", "6+", default=ZERO_UUID)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "5+", default=None, nullable="5+")


@message(20, "1-6", "4+")
class DeleteTopicsResponse:
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    responses: tuple[DeletableTopicResult, ...] = kafka("[]DeletableTopicResult", "0+", default=())
