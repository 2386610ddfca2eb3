"""How a fact class is made, and the rule a decision carries."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import attrs

from kafsim.protocol import codec

DECISION = 1
"""A choice that a rule made: an election, a refused request, an ISR change."""
STATE = 2
"""State that changed: an append, a high watermark, a truncation. Decisions and states fold to the whole state."""
CHATTER = 3
"""Messages and timers; of interest to a reader of one run only."""

LEVELS = {DECISION: "decision", STATE: "state", CHATTER: "chatter"}

T = typing.TypeVar("T")
Value = int | str | bool | None


@attrs.frozen
class Because:
    """Why a decision fell as it did: the name of a rule and the values it looked at."""

    rule: str
    values: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        return RULES[self.rule].format(**dict(self.values))


RULES: dict[str, str] = {}
"""Every rule by name, as a sentence with places for its values. Filled by the module that applies the rule."""


def rule(name: str, sentence: str) -> str:
    """Give a rule its sentence; the name is what facts carry."""
    assert name not in RULES, f"rule {name} has two sentences"
    RULES[name] = sentence
    return name


def because(name: str, **values: Value) -> Because:
    return Because(name, tuple(values.items()))


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def fact(level: int) -> Callable[[type[T]], type[T]]:
    """A class decorator: frozen, registered under its own name, known by its level."""

    def make(cls: type[T]) -> type[T]:
        made = attrs.frozen(kw_only=True)(cls)
        codec.register(made, cls.__name__)
        level_of[made] = level
        return made

    return make


level_of: dict[type, int] = {}


def describe(fact_: Any) -> str:
    """One line: the name of the fact and its fields, without the reason."""
    fields = [
        f"{f.name}={getattr(fact_, f.name)!s}"
        for f in attrs.fields(type(fact_))
        if f.name != "because" and getattr(fact_, f.name) is not None
    ]
    return " ".join([type(fact_).__name__, *fields])


def reason(fact_: Any) -> str | None:
    """Why, as a sentence; None for a fact that decided nothing."""
    why = getattr(fact_, "because", None)
    return None if why is None else str(why)
