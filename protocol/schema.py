"""How a message class is written: a frozen attrs class whose fields carry Kafka's type and versions.

The positional codec and Kafka's own binary form are both generated from these classes. A class has the fields of all
versions; in simulation the newest version travels.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import attrs

from kafsim.protocol import codec

T = typing.TypeVar("T")
ALWAYS = (0, 0x7FFF)
NO_KEY = -1
Versions = tuple[int, int]


@attrs.frozen
class Wire:
    """What Kafka's schema says of one field."""

    type: str
    """``int32``, ``string``, ``uuid``, ``records``, ``[]int32``, ``[]FetchTopic``, ..."""
    versions: Versions
    nullable: Versions | None
    tag: int | None
    tagged: Versions | None
    default: Any


@attrs.frozen
class About:
    """What Kafka's schema says of one message; ``key`` is an API key or a record type, or NO_KEY."""

    key: int
    versions: Versions
    flexible: Versions | None


about: dict[type, About] = {}


def versions(text: str | None) -> Versions | None:
    """``"3-7"``, ``"3+"`` or ``"3"``; None for ``"none"``."""
    if text is None or text == "none":
        return None
    low, dash, high = text.partition("-")
    if dash:
        return int(low), int(high)
    return (int(text[:-1]), 0x7FFF) if text.endswith("+") else (int(text), int(text))


def holds(span: Versions | None, version: int) -> bool:
    return span is not None and span[0] <= version <= span[1]


def kafka(
    type_: str,
    since: str,
    *,
    default: Any,
    nullable: str | None = None,
    tag: int | None = None,
    tagged: str | None = None,
) -> Any:
    """One field: Kafka's type, the versions it is in, its default."""
    span = versions(since)
    assert span is not None
    wire = Wire(type_, span, versions(nullable), tag, versions(tagged), default)
    return attrs.field(default=default, metadata={"kafka": wire})


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(kafka,))
def struct(cls: type[T]) -> type[T]:
    """A part of a message."""
    return attrs.frozen(kw_only=True)(cls)


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(kafka,))
def message(key: int, valid: str, flexible: str) -> Callable[[type[T]], type[T]]:
    """A whole message or record."""

    def make(cls: type[T]) -> type[T]:
        made = attrs.frozen(kw_only=True)(cls)
        codec.register(made, cls.__name__)
        known = versions(valid)
        assert known is not None
        about[made] = About(key, known, versions(flexible))
        return made

    return make


def wire_of(field: attrs.Attribute[Any]) -> Wire:
    wire: Wire = field.metadata["kafka"]
    return wire


def changed(message_: T, **fields: Any) -> T:
    """A copy of a message or a part of one, with other values in some fields."""
    return attrs.evolve(message_, **fields)  # type: ignore[misc]
