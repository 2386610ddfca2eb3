"""Decides about configurations (Kafka: ``ConfigurationControlManager``): topics, and the cluster-wide default."""

from __future__ import annotations

from typing import Any

from kafsim.controller.metadata_state import BROKER, TOPIC, MetadataState
from kafsim.protocol import errors
from kafsim.protocol.config import LIST, ConfigError, check_topic, to_text
from kafsim.protocol.config import TOPIC as TOPIC_SETTINGS
from kafsim.protocol.dynamic_config import CHECKED as BROKER_SETTINGS
from kafsim.protocol.messages import alter_configs as legacy
from kafsim.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord
from kafsim.protocol.names import illegal

SET, DELETE, APPEND, SUBTRACT = range(4)
MIN_ISR = "min.insync.replicas"
LONGEST_VALUE = 32_767
TOO_LONG = (
    f"The configuration value cannot be added because it exceeds the maximum value size of {LONGEST_VALUE} bytes."
)


class ConfigControl:
    """``settings``: the static ones of this node."""

    def __init__(self, state: MetadataState, settings: dict[str, Any]) -> None:
        self.state = state
        self._defaults = settings

    def alter(self, request: IncrementalAlterConfigsRequest) -> tuple[list[Any], IncrementalAlterConfigsResponse]:
        records: list[Any] = []
        answers = []
        for resource in request.resources:
            changes, error, message = self._alter_one(resource)
            records += changes
            answers.append(
                AlterConfigsResourceResponse(
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    error_code=error,
                    error_message=message,
                )
            )
        if self.state.elr_enabled:
            touched = [r.resource_name if r.resource_type == TOPIC else "" for r in records if r.name == MIN_ISR]
            records += [ClearElrRecord(topic_name=name) for name in touched]
        if request.validate_only:
            records = []
        return records, IncrementalAlterConfigsResponse(responses=tuple(answers))

    def replace(self, request: legacy.AlterConfigsRequest) -> tuple[list[Any], legacy.AlterConfigsResponse]:
        """What a resource has and the request does not name is deleted (Kafka: ``legacyAlterConfigs``)."""
        resources = []
        for resource in request.resources:
            given = {config.name: config.value for config in resource.configs}
            left = self.state.config(resource.resource_type, resource.resource_name).keys() - given.keys()
            changes = [AlterableConfig(name=n, config_operation=SET, value=value) for n, value in given.items()]
            changes += [AlterableConfig(name=n, config_operation=DELETE, value=None) for n in sorted(left)]
            type_, name = resource.resource_type, resource.resource_name
            resources.append(AlterConfigsResource(resource_type=type_, resource_name=name, configs=tuple(changes)))
        asked = IncrementalAlterConfigsRequest(resources=tuple(resources), validate_only=request.validate_only)
        records, response = self.alter(asked)
        return records, legacy.AlterConfigsResponse(responses=response.responses)

    def _alter_one(self, resource: AlterConfigsResource) -> tuple[list[ConfigRecord], int, str | None]:
        type_, name = resource.resource_type, resource.resource_name
        if type_ == TOPIC and not name:
            return [], errors.INVALID_REQUEST, "Default topic resources are not allowed."
        if type_ not in (TOPIC, BROKER):
            return [], errors.INVALID_REQUEST, f"Unexpected resource type {type_}."
        now = self.state.config(type_, name)
        after = dict(now)
        try:
            for config in resource.configs:
                self._apply(type_, after, config)
            why = illegal(name) if type_ == TOPIC else None
            if why is not None:
                return [], errors.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {why}"
            changed = self._changed(resource, now, after)
            if type_ == BROKER and MIN_ISR in changed:
                self._check_elr(name, after)
            if any(len(after.get(key, "")) > LONGEST_VALUE for key in changed):
                raise ConfigError(TOO_LONG)
            if type_ == TOPIC:
                check_topic(after, self._defaults)
        except ConfigError as error:
            return [], errors.INVALID_CONFIG, str(error)
        if type_ == TOPIC and name not in self.state.topic_ids:
            return [], errors.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist."
        if type_ == BROKER and name and int(name) not in self.state.brokers:
            return [], errors.BROKER_ID_NOT_REGISTERED, f"No node with id {name} found."
        return (
            [ConfigRecord(resource_type=type_, resource_name=name, name=key, value=after.get(key)) for key in changed],
            errors.NONE,
            None,
        )

    def _changed(self, resource: AlterConfigsResource, now: dict[str, str], after: dict[str, str]) -> list[str]:
        """What is written; for brokers also what does not differ, as in Kafka."""
        if resource.resource_type == BROKER:
            return [config.name for config in resource.configs]
        return [key for key in {**now, **after} if now.get(key) != after.get(key)]

    def _apply(self, type_: int, values: dict[str, str], config: AlterableConfig) -> None:
        if config.config_operation == SET:
            values[config.name] = config.value or ""
        elif config.config_operation == DELETE:
            values.pop(config.name, None)
        else:
            setting = (TOPIC_SETTINGS.by_name if type_ == TOPIC else BROKER_SETTINGS).get(config.name)
            if setting is None or setting.type != LIST:
                what = "APPEND" if config.config_operation == APPEND else "SUBTRACT"
                raise ConfigError(f"Can't {what} to key {config.name} because its type is not LIST.")
            old = [part for part in values.get(config.name, to_text(setting.default)).split(",") if part]
            given = (config.value or "").split(",")
            adds = config.config_operation == APPEND
            kept = old + [g for g in given if g not in old] if adds else [o for o in old if o not in given]
            values[config.name] = ",".join(kept)

    def _check_elr(self, name: str, after: dict[str, str]) -> None:
        if not self.state.elr_enabled:
            return
        if name:
            raise ConfigError("Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
        if MIN_ISR not in after:
            raise ConfigError("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
