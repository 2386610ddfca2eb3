"""DescribeCluster, request and response (Kafka: ``DescribeClusterRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(60, "0-2", "0+")
class DescribeClusterRequest:
    include_cluster_authorized_operations: bool = kafka("bool", "0+", default=False)
    endpoint_type: int = kafka("int8", "1+", default=1)
    include_fenced_brokers: bool = kafka("bool", "2+", default=False)


@struct
class DescribeClusterBroker:
    broker_id: int = kafka("int32", "0+", default=0)
    host: str = kafka("string", "0+", default="")
    port: int = kafka("int32", "0+", default=0)
    rack: str | None = kafka("string", "0+", default=None, nullable="0+")
    is_fenced: bool = kafka("bool", "2+", default=False)


@message(60, "0-2", "0+")
class DescribeClusterResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default=None, nullable="0+")
    endpoint_type: int = kafka("int8", "1+", default=1)
    cluster_id: str = kafka("string", "0+", default="")
    controller_id: int = kafka("int32", "0+", default=-1)
    brokers: tuple[DescribeClusterBroker, ...] = kafka("[]DescribeClusterBroker", "0+", default=())
    cluster_authorized_operations: int = kafka("int32", "0+", default=-2147483648)
