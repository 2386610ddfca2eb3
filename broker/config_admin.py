"""What a broker checks of a change of configurations before the controller decides (Kafka: ``ConfigAdminManager``).

Only the broker itself takes a change of its own settings; a change for all brokers is checked against the settings of
the one that received it. Names that nobody knows are taken, and stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from kafsim.controller.metadata_state import BROKER, TOPIC, MetadataState
from kafsim.protocol import dynamic_config as dynamic
from kafsim.protocol import errors
from kafsim.protocol.config import LIST, ConfigError
from kafsim.protocol.messages import alter_configs as legacy
from kafsim.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from kafsim.protocol.types import ConnectionId, Header, Micros

SET, DELETE, APPEND, SUBTRACT = range(4)
OTHER_RESOURCES = (TOPIC, 16, 32)
"""Topics, client metrics, groups: the controller checks them."""
Forward = Callable[[Micros, Any, Callable[[Micros, Any], None]], None]
Refusal = tuple[int, str]


class AlterConfigsApi:
    """``forward`` asks the active controller; None is the answer when it gave none."""

    _request: type = IncrementalAlterConfigsRequest
    _response: type = IncrementalAlterConfigsResponse

    def __init__(self, outbox: Any, state: MetadataState, id_: int, forward: Forward) -> None:
        self._outbox = outbox
        self._state = state
        self._id = id_
        self._forward = forward

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: Any) -> None:
        keys = [(resource.resource_type, resource.resource_name) for resource in request.resources]
        refused = {
            key: refusal
            for key, resource in zip(keys, request.resources, strict=True)
            if (refusal := self._check(resource, keys)) is not None
        }
        rest = tuple(r for r in request.resources if (r.resource_type, r.resource_name) not in refused)

        def answer(_: Micros, response: Any) -> None:
            if response is None:
                self._outbox.close(connection)
            else:
                self._outbox.reply(connection, header, self._merged(keys, refused, response))

        if rest:
            self._forward(now, self._request(resources=rest, validate_only=request.validate_only), answer)
        else:
            answer(now, self._response())

    def _check(self, resource: Any, keys: list[tuple[int, str]]) -> Refusal | None:
        names = [config.name for config in resource.configs]
        if keys.count((resource.resource_type, resource.resource_name)) > 1:
            return errors.INVALID_REQUEST, "Each resource must appear at most once."
        if len(set(names)) < len(names):
            return errors.INVALID_REQUEST, "Error due to duplicate config keys"
        refusal = self._check_changes(resource)
        if refusal is not None:
            return refusal
        if resource.resource_type == BROKER:
            return self._check_broker(resource)
        if resource.resource_type not in OTHER_RESOURCES:
            return errors.INVALID_REQUEST, f"Unknown resource type {resource.resource_type}"
        return None

    def _check_changes(self, resource: Any) -> Refusal | None:
        unknown = [c.config_operation for c in resource.configs if c.config_operation not in range(4)]
        if unknown and resource.resource_type == BROKER:
            return errors.INVALID_REQUEST, f"Unknown operations type {unknown[0]}"
        return _missing(c.name for c in resource.configs if c.config_operation != DELETE and c.value is None)

    def _check_broker(self, resource: Any) -> Refusal | None:
        name = resource.resource_name
        if name and (not _INTEGER.fullmatch(name) or not -(2**31) <= int(name) < 2**31):
            return errors.INVALID_REQUEST, f"Node id must be an integer, but it is: {name}"
        if name and int(name) != self._id:
            return errors.INVALID_REQUEST, f"Unexpected broker id, expected {self._id}, but received {name}"
        try:
            values = self._values(resource)
        except ConfigError as error:
            return errors.INVALID_CONFIG, str(error)
        try:
            check_values(values, is_default=not name)
        except ConfigError as error:
            return errors.INVALID_REQUEST, str(error)
        return None

    def _values(self, resource: Any) -> dict[str, str]:
        """What the broker would have then; ConfigError for a change that cannot be."""
        values = dict(self._state.config(BROKER, resource.resource_name))
        for config in resource.configs:
            _apply(values, config)
        return values

    def _merged(self, keys: list[tuple[int, str]], refused: dict[tuple[int, str], Refusal], response: Any) -> Any:
        """All answers in the order of the request."""
        answered = {(one.resource_type, one.resource_name): one for one in response.responses}
        for (type_, name), (code, message) in refused.items():
            answered[type_, name] = AlterConfigsResourceResponse(
                resource_type=type_, resource_name=name, error_code=code, error_message=message
            )
        return self._response(responses=tuple(answered[key] for key in dict.fromkeys(keys)))


class LegacyAlterConfigsApi(AlterConfigsApi):
    """What is given is all there is afterwards, so it is checked alone (KIP-133)."""

    _request = legacy.AlterConfigsRequest
    _response = legacy.AlterConfigsResponse

    def _check_changes(self, resource: Any) -> Refusal | None:
        return _missing(c.name for c in resource.configs if c.value is None)

    def _values(self, resource: Any) -> dict[str, str]:
        return {config.name: config.value for config in resource.configs}


def _missing(names: Iterable[str]) -> Refusal | None:
    named = ", ".join(names)
    return (errors.INVALID_REQUEST, f"Null value not supported for : {named}") if named else None


_INTEGER = re.compile(r"[+-]?[0-9]+")


def _apply(values: dict[str, str], config: AlterableConfig) -> None:
    operation, name = config.config_operation, config.name
    if operation == SET:
        values[name] = config.value or ""
    elif operation == DELETE:
        values.pop(name, None)
    elif operation in (APPEND, SUBTRACT):
        setting = dynamic.CHECKED.get(name)
        if setting is None and name not in dynamic.READ_ONLY:
            raise ConfigError(f"Unknown config name: {name}")
        if setting is None or setting.type != LIST:
            what = "append" if operation == APPEND else "subtract"
            raise ConfigError(f"Config value {what} is not allowed for config key: {name}")
        old = [part for part in values.get(name, ",".join(setting.default)).split(",") if part]
        given = (config.value or "").split(",")
        kept = old + [g for g in given if g not in old] if operation == APPEND else [o for o in old if o not in given]
        values[name] = ",".join(kept)


def check_values(values: dict[str, str], *, is_default: bool) -> None:
    """ConfigError for what may not change at run time, or not for all brokers, or has no such value."""
    fixed = [name for name in values if name in dynamic.READ_ONLY]
    if fixed:
        raise ConfigError(f"Cannot update these configs dynamically: [{', '.join(fixed)}]")
    stores = [name for name in values if name in dynamic.STORES]
    if stores:
        raise ConfigError(
            "These security configs can be dynamically updated only per-listener using the listener prefix: "
            f"[{', '.join(stores)}]"
        )
    for name, value in values.items():
        if name in dynamic.CHECKED:
            dynamic.CHECKED[name].parse(value)
    single = [name for name in values if name in dynamic.PER_BROKER or name.startswith("listener.name.")]
    if is_default and single:
        raise ConfigError(
            f"Cannot update these configs at default cluster level, broker id must be specified: [{', '.join(single)}]"
        )
    _check_whole(values)


def _check_whole(values: dict[str, str]) -> None:
    """What Kafka checks of the configuration as a whole (``KafkaConfig.validateValues``)."""
    if values.get("log.retention.ms", "").strip() == "0":
        raise ConfigError("requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
    if "log.roll.ms" in values and int(values["log.roll.ms"]) < 1:
        raise ConfigError("requirement failed: log.roll.ms must be greater than or equal to 1")
