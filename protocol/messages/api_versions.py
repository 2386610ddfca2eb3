"""ApiVersions, request and response (Kafka: ``ApiVersionsRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@message(18, "0-4", "3+")
class ApiVersionsRequest:
    client_software_name: str = kafka("string", "3+", default="")
    client_software_version: str = kafka("string", "3+", default="")


@struct
class ApiVersion:
    api_key: int = kafka("int16", "0+", default=0)
    min_version: int = kafka("int16", "0+", default=0)
    max_version: int = kafka("int16", "0+", default=0)


@struct
class SupportedFeatureKey:
    name: str = kafka("string", "3+", default="")
    min_version: int = kafka("int16", "3+", default=0)
    max_version: int = kafka("int16", "3+", default=0)


@struct
class FinalizedFeatureKey:
    name: str = kafka("string", "3+", default="")
    max_version_level: int = kafka("int16", "3+", default=0)
    min_version_level: int = kafka("int16", "3+", default=0)


@message(18, "0-4", "3+")
class ApiVersionsResponse:
    error_code: int = kafka("int16", "0+", default=0)
    api_keys: tuple[ApiVersion, ...] = kafka("[]ApiVersion", "0+", default=())
    throttle_time_ms: int = kafka("int32", "1+", default=0)
    supported_features: tuple[SupportedFeatureKey, ...] = kafka(
        "[]SupportedFeatureKey", "3+", default=(), tag=0, tagged="3+"
    )
    finalized_features_epoch: int = kafka("int64", "3+", default=-1, tag=1, tagged="3+")
    finalized_features: tuple[FinalizedFeatureKey, ...] = kafka(
        "[]FinalizedFeatureKey", "3+", default=(), tag=2, tagged="3+"
    )
    zk_migration_ready: bool = kafka("bool", "3+", default=False, tag=3, tagged="3+")
