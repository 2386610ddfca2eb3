"""UpdateFeatures, request and response (Kafka: ``UpdateFeaturesRequest.json``)."""

from __future__ import annotations

from kafsim.protocol.schema import kafka, message, struct


@struct
class FeatureUpdateKey:
    feature: str = kafka("string", "0+", default="")
    max_version_level: int = kafka("int16", "0+", default=0)
    allow_downgrade: bool = kafka("bool", "0", default=False)
    upgrade_type: int = kafka("int8", "1+", default=1)


@message(57, "0-2", "0+")
class UpdateFeaturesRequest:
    timeout_ms: int = kafka("int32", "0+", default=60000)
    feature_updates: tuple[FeatureUpdateKey, ...] = kafka("[]FeatureUpdateKey", "0+", default=())
    validate_only: bool = kafka("bool", "1+", default=False)


@struct
class UpdatableFeatureResult:
    feature: str = kafka("string", "0+", default="")
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")


@message(57, "0-2", "0+")
class UpdateFeaturesResponse:
    throttle_time_ms: int = kafka("int32", "0+", default=0)
    error_code: int = kafka("int16", "0+", default=0)
    error_message: str | None = kafka("string", "0+", default="", nullable="0+")
    results: tuple[UpdatableFeatureResult, ...] = kafka("[]UpdatableFeatureResult", "0-1", default=())
