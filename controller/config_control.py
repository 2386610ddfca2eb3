"""Decides about configurations (Kafka: ``ConfigurationControlManager``): topics, and the cluster-wide default."""

from __future__ import annotations

from typing import Any

from kafsim.controller.metadata_state import BROKER, TOPIC, MetadataState
from kafsim.protocol import errors
from kafsim.protocol.config import ConfigError, check_topic
from kafsim.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from kafsim.protocol.metadata.clear_elr_record import ClearElrRecord
from kafsim.protocol.metadata.config_record import ConfigRecord

SET, DELETE, APPEND, SUBTRACT = range(4)
MIN_ISR = "min.insync.replicas"


class ConfigControl:
    def __init__(self, state: MetadataState) -> None:
        self.state = state

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
            touched = [r.resource_name for r in records if r.name == MIN_ISR]
            records += [ClearElrRecord(topic_name=name) for name in touched]
        if request.validate_only:
            records = []
        return records, IncrementalAlterConfigsResponse(responses=tuple(answers))

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
                self._apply(after, config)
            if type_ == TOPIC:
                check_topic(after)
            self._check_elr(type_, name, now, after)
        except ConfigError as error:
            return [], errors.INVALID_CONFIG, str(error)
        if type_ == TOPIC and name not in self.state.topic_ids:
            return [], errors.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist."
        if type_ == BROKER and name and int(name) not in self.state.brokers:
            return [], errors.BROKER_ID_NOT_REGISTERED, f"No node with id {name} found."
        changed = [key for key in {**now, **after} if now.get(key) != after.get(key)]
        if type_ == BROKER:
            changed = [config.name for config in resource.configs]  # Kafka writes them though nothing differs
        return (
            [ConfigRecord(resource_type=type_, resource_name=name, name=key, value=after.get(key)) for key in changed],
            errors.NONE,
            None,
        )

    def _apply(self, values: dict[str, str], config: AlterableConfig) -> None:
        if config.config_operation == SET:
            values[config.name] = config.value or ""
        elif config.config_operation == DELETE:
            values.pop(config.name, None)
        else:
            old = [part for part in values.get(config.name, "").split(",") if part]
            given = (config.value or "").split(",")
            adds = config.config_operation == APPEND
            kept = old + [g for g in given if g not in old] if adds else [o for o in old if o not in given]
            values[config.name] = ",".join(kept)

    def _check_elr(self, type_: int, name: str, now: dict[str, str], after: dict[str, str]) -> None:
        if not self.state.elr_enabled or type_ != BROKER or now.get(MIN_ISR) == after.get(MIN_ISR):
            return
        if name:
            raise ConfigError("Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
        if MIN_ISR not in after:
            raise ConfigError("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
