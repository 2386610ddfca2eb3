"""The blobs that consumers of a classic group exchange, a version before each (Kafka: ``ConsumerProtocol``).

The coordinator carries them; it looks inside only to learn which topics a group subscribes to.
"""

from __future__ import annotations

import struct
from typing import Any

from kafsim.protocol.messages.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafsim.protocol.schema import about
from kafsim.protocol.types import TopicPartition
from kafsim.protocol.wire import codec
from kafsim.protocol.wire.primitives import WireError

PROTOCOL_TYPE = "consumer"
_SHORT = struct.Struct(">h")

Blob = ConsumerProtocolSubscription | ConsumerProtocolAssignment


def encode(blob: Blob, version: int | None = None) -> bytes:
    """In its newest version unless told otherwise."""
    version = about[type(blob)].versions[1] if version is None else version
    return _SHORT.pack(version) + codec.encode(blob, version)


def decode_subscription(data: bytes) -> ConsumerProtocolSubscription:
    """WireError for bytes that are none. A version from the future is read as the newest that is known."""
    found: ConsumerProtocolSubscription = _decode(ConsumerProtocolSubscription, data)
    return found


def decode_topics(data: bytes) -> tuple[str, ...]:
    """Only the topics of a subscription, which every version begins with (Kafka: ``computeSubscribedTopics``)."""
    _check_version(data)
    topics: tuple[str, ...] = codec.decode(ConsumerProtocolSubscription, data, 0, _SHORT.size)[0].topics
    return topics


def decode_assignment(data: bytes) -> ConsumerProtocolAssignment:
    """As :func:`decode_subscription`."""
    found: ConsumerProtocolAssignment = _decode(ConsumerProtocolAssignment, data)
    return found


def decode_partitions(data: bytes) -> tuple[TopicPartition, ...]:
    """Only the partitions of an assignment."""
    topics = decode_assignment(data).assigned_partitions
    return tuple(TopicPartition(topic.topic, index) for topic in topics for index in topic.partitions)


def version_of(data: bytes) -> int:
    """The newest known one at most."""
    return min(_check_version(data), about[ConsumerProtocolAssignment].versions[1])


def _check_version(data: bytes) -> int:
    if len(data) < _SHORT.size:
        raise WireError("a subscription or assignment is cut off")
    version = int(_SHORT.unpack_from(data)[0])
    if version < 0:
        raise WireError(f"Unsupported subscription version: {version}")
    return version


def _decode(cls: type, data: bytes) -> Any:
    version = _check_version(data)
    return codec.decode(cls, data, min(version, about[cls].versions[1]), _SHORT.size)[0]
