"""ListPartitionReassignments, request and response (Kafka: ``ListPartitionReassignmentsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class ListPartitionReassignmentsTopics:
    name: str = kafka("string", "0+", default="")
    partition_indexes: tuple[int, ...] = kafka("[]int32", "0+", default=())


@message(46, "0", "0+")
class ListPartitionReassignmentsRequest:
    timeout_ms: int = kafka("int32", "0+", default=60000)
    topics: tuple[ListPartitionReassignmentsTopics, ...] | None = kafka(
        "[]ListPartitionReassignmentsTopics", "0+", default=None, nullable="0+"
    )


@struct
class OngoingPartitionReassignment:
    partition_index: int = kafka("int32", "0+", default=0)
    replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())
    adding_replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())
    removing_replicas: tuple[int, ...] = kafka("[]int32", "0+", default=())


@struct
class OngoingTopicReassignment:
    name: str = kafka("string", "0+", default="")
    partitions: tuple[OngoingPartitionReassignment, ...] = kafka("[]OngoingPartitionReassignment", "0+", default=())


@message(46, "0", "0+")
class ListPartitionReassignmentsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
    topics: tuple[OngoingTopicReassignment, ...] = kafka("[]OngoingTopicReassignment", "0+", default=())
