"""DescribeConfigs, request and response (Kafka: ``DescribeConfigsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class DescribeConfigsResource:
    resource_type: int = kafka("int8", "0+", default=0)
    resource_name: str = kafka("string", "0+", default="")
    configuration_keys: tuple[str, ...] | None = kafka("[]string", "0+", default=(), nullable="0+")


@message(32, "1-4", "4+")
class DescribeConfigsRequest:
    resources: tuple[DescribeConfigsResource, ...] = kafka("[]DescribeConfigsResource", "0+", default=())
    include_synonyms: bool = kafka("bool", "1+", default=False)
    include_documentation: bool = kafka("bool", "3+", default=False)


@struct
class DescribeConfigsSynonym:
    name: str = kafka("string", "1+", default="")
    value: str | None = kafka("string", "1+", default="", nullable="0+")
    source: int = kafka("int8", "1+", default=0)


@struct
class DescribeConfigsResourceResult:
    name: str = kafka("string", "0+", default="")
    value: str | None = kafka("string", "0+", default="", nullable="0+")
    read_only: bool = kafka("bool", "0+", default=False)
    config_source: int = kafka("int8", "1+", default=-1)
    is_sensitive: bool = kafka("bool", "0+", default=False)
    synonyms: tuple[DescribeConfigsSynonym, ...] = kafka("[]DescribeConfigsSynonym", "1+", default=())
    config_type: int = kafka("int8", "3+", default=0)
    documentation: str | None = kafka("string", "3+", default="", nullable="0+")


@struct
class DescribeConfigsResult:
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
    resource_type: int = kafka("int8", "0+", default=0)
    resource_name: str = kafka("string", "0+", default="")
    configs: tuple[DescribeConfigsResourceResult, ...] = kafka("[]DescribeConfigsResourceResult", "0+", default=())


@message(32, "1-4", "4+")
class DescribeConfigsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    results: tuple[DescribeConfigsResult, ...] = kafka("[]DescribeConfigsResult", "0+", default=())
