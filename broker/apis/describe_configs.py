"""DescribeConfigs (32), version 4, of topics and brokers: values, where they come from, and their synonyms.

Behaviour: a topic's setting is its own (DYNAMIC_TOPIC_CONFIG) or that of the broker setting behind it, which is set for
this broker, for all brokers (DYNAMIC_DEFAULT_BROKER_CONFIG), in its properties (STATIC_BROKER_CONFIG), or nowhere. A
broker describes itself and the cluster-wide default only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kafsim.controller.metadata_state import BROKER as BROKER_RESOURCE
from kafsim.controller.metadata_state import TOPIC as TOPIC_RESOURCE
from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol import config as settings
from kafsim.protocol import errors
from kafsim.protocol.config import (
    BROKER,
    BROKER_DEFAULT_OF_TOPIC,
    DEFAULT,
    DYNAMIC_BROKER,
    DYNAMIC_DEFAULT_BROKER,
    DYNAMIC_TOPIC,
    STATIC_BROKER,
    TOPIC,
    Setting,
    to_text,
    topic_value,
)
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from kafsim.protocol.types import ConnectionId, Header, Micros

"""Kafka: ``ConfigSource``."""
_TYPES = {
    settings.BOOLEAN: 1,
    settings.STRING: 2,
    settings.INT: 3,
    settings.SHORT: 4,
    settings.LONG: 5,
    settings.DOUBLE: 6,
    settings.LIST: 7,
}


class Refusal(NamedTuple):
    """An error code and Kafka's words for it."""

    error: int
    message: str | None


class DescribeConfigsApi:
    """``static``: the names that this broker's properties hold."""

    def __init__(
        self, outbox: Outbox, state: MetadataState, id_: int, parsed: Mapping[str, Any], static: Collection[str]
    ) -> None:
        self._outbox = outbox
        self._state = state
        self._id = id_
        self._parsed = parsed
        self._static = static

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: DescribeConfigsRequest) -> None:
        results = tuple(self._describe(resource, request.include_synonyms) for resource in request.resources)
        self._outbox.reply(connection, header, DescribeConfigsResponse(results=results))

    def _describe(self, resource: DescribeConfigsResource, include_synonyms: bool) -> DescribeConfigsResult:
        type_, name = resource.resource_type, resource.resource_name
        found: list[_Described] | Refusal
        if type_ == TOPIC_RESOURCE:
            found = self._topic(name)
        elif type_ == BROKER_RESOURCE:
            found = self._broker(name)
        else:
            found = Refusal(errors.INVALID_REQUEST, f"Unexpected resource type {type_} for resource {name}")
        if isinstance(found, Refusal):
            return DescribeConfigsResult(
                error_code=found.error, error_message=found.message, resource_type=type_, resource_name=name
            )
        keys = resource.configuration_keys
        return DescribeConfigsResult(
            error_message=None,
            resource_type=type_,
            resource_name=name,
            configs=tuple(
                _entry(setting, value, synonyms, include_synonyms=include_synonyms)
                for setting, value, synonyms in found
                if keys is None or setting.name in keys
            ),
        )

    # -------------------------------------------------------------------------- resources

    def _topic(self, topic: str) -> list[_Described] | Refusal:
        if topic not in self._state.topic_ids:
            return Refusal(errors.UNKNOWN_TOPIC_OR_PARTITION, None)
        own = self._state.config(TOPIC_RESOURCE, topic)
        mine = self._state.config(BROKER_RESOURCE, str(self._id))
        cluster = {**self._state.config(BROKER_RESOURCE, ""), **mine}
        found = []
        for name, setting in sorted(TOPIC.by_name.items()):
            if name.startswith("internal."):
                continue
            behind = BROKER_DEFAULT_OF_TOPIC.get(name)
            synonyms = [] if behind is None else self._synonyms(BROKER.by_name[behind])
            if name in own:
                synonyms.insert(0, DescribeConfigsSynonym(name=name, value=own[name], source=DYNAMIC_TOPIC))
            found.append(_Described(setting, topic_value(name, own, cluster, self._parsed), synonyms))
        return found

    def _broker(self, name: str) -> list[_Described] | Refusal:
        if name == "":
            given = self._state.config(BROKER_RESOURCE, "")
            known = [BROKER.by_name.get(key, Setting(key, settings.STRING, None)) for key in sorted(given)]
            return [_Described(setting, given[setting.name], self._cluster_wide(setting.name)) for setting in known]
        if name != str(self._id):
            text = f"Unexpected broker id, expected {self._id} or empty string, but received {name}"
            return Refusal(errors.INVALID_REQUEST, text)
        found = []
        for _, setting in sorted(BROKER.by_name.items()):
            synonyms = self._synonyms(setting)
            found.append(_Described(setting, synonyms[0].value if synonyms else None, synonyms))
        return found

    def _synonyms(self, setting: Setting) -> list[DescribeConfigsSynonym]:
        """Of a broker setting, the nearest first."""
        name, found = setting.name, []
        mine = self._state.config(BROKER_RESOURCE, str(self._id))
        if name in mine:
            found.append(DescribeConfigsSynonym(name=name, value=mine[name], source=DYNAMIC_BROKER))
        found += self._cluster_wide(name)
        if name in self._static:
            found.append(DescribeConfigsSynonym(name=name, value=_text(self._parsed[name]), source=STATIC_BROKER))
        if setting.default is not None:
            found.append(DescribeConfigsSynonym(name=name, value=_text(setting.default), source=DEFAULT))
        return found

    def _cluster_wide(self, name: str) -> list[DescribeConfigsSynonym]:
        value = self._state.config(BROKER_RESOURCE, "").get(name)
        if value is None:
            return []
        return [DescribeConfigsSynonym(name=name, value=value, source=DYNAMIC_DEFAULT_BROKER)]


class _Described(NamedTuple):
    setting: Setting
    value: Any
    synonyms: list[DescribeConfigsSynonym]


def _entry(
    setting: Setting, value: Any, synonyms: list[DescribeConfigsSynonym], *, include_synonyms: bool
) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=setting.name,
        value=_text(value),
        config_source=synonyms[0].source if synonyms else DEFAULT,
        synonyms=tuple(synonyms) if include_synonyms else (),
        config_type=_TYPES[setting.type],
        documentation=None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else to_text(value)
