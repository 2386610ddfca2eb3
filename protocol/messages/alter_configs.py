"""AlterConfigs, request and response (Kafka: ``AlterConfigsRequest.json``): all of a resource at once."""

from __future__ import annotations

from kafsim.protocol.messages.incremental_alter_configs import AlterConfigsResourceResponse
from kafsim.protocol.schema import kafka, message, struct


@struct
class AlterableConfig:
    name: str = kafka("string", "0+", default="")
    value: str | None = kafka("string", "0+", default="", nullable="0+")


@struct
class AlterConfigsResource:
    resource_type: int = kafka("int8", "0+", default=0)
    resource_name: str = kafka("string", "0+", default="")
    configs: tuple[AlterableConfig, ...] = kafka("[]AlterableConfig", "0+", default=())


@message(33, "0-2", "2+")
class AlterConfigsRequest:
    resources: tuple[AlterConfigsResource, ...] = kafka("[]AlterConfigsResource", "0+", default=())
    validate_only: bool = kafka("bool", "0+", default=False)


@message(33, "0-2", "2+")
class AlterConfigsResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    responses: tuple[AlterConfigsResourceResponse, ...] = kafka("[]AlterConfigsResourceResponse", "0+", default=())
