"""What a plan file may say: types and ranges of every key, so that a mistake is one line and not a run gone wrong."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kafsim.protocol.names import did_you_mean


class PlanError(ValueError):
    """A plan that cannot be run; the message names what is wrong."""


Range = tuple[float, float]
RANGES: dict[tuple[str, str], Range] = {
    ("a plan", "brokers"): (1, 100),
    ("a plan", "seed"): (0, 2**63 - 1),
    ("a plan", "until"): (0.001, 1e6),
    ("a topic", "partitions"): (1, 10_000),
    ("a topic", "replication_factor"): (1, 100),
    ("a load", "count"): (1, 10_000_000),
    ("a load", "start"): (0, 1e6),
    ("a load", "every_ms"): (0.001, 1e9),
    ("a load", "keys"): (0, 10_000_000),
    ("a reader", "start"): (0, 1e6),
    ("a reader", "every_ms"): (1, 1e9),
}
"""By the kind of table and the key; both ends are allowed."""
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def suggest(what: str, name: str, known: Iterable[str]) -> PlanError:
    """For a name that is not known: the nearest one, or all."""
    names = sorted(known)
    return PlanError(f"{what} {name!r}; " + (did_you_mean(name, names) or f"there are {', '.join(names)}"))


def made(cls: Any, given: Any, where: str, adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Any:
    """An instance of a plan class; ``adapt`` makes tuples and parts of what TOML has for them."""
    if not isinstance(given, dict):
        raise PlanError(f"{where} must be a table, not {given!r}")
    hints = typing.get_type_hints(cls)
    for key in given:
        if key not in hints:
            raise suggest(f"{where} has no", key, hints)
    for field in attrs.fields(cls):
        if field.default is attrs.NOTHING and field.name not in given:
            raise PlanError(f"{where} needs a {field.name}")
    values = adapt(given)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise PlanError(f"{where}: {key} must be {_told(hints[key])}, not {given[key]!r}")
        _check_range(where, key, value)
    return cls(**values)


def _check_range(where: str, key: str, value: Any) -> None:
    least, most = RANGES.get((where, key), (-math.inf, math.inf))
    if isinstance(value, (int, float)) and not least <= value <= most:
        raise PlanError(f"{where}: {key} must be from {least:g} to {most:g}, not {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is object:
        return isinstance(value, (str, int, float))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, arguments[1]) for one in value.values())
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _told(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return f"a list, each {_told(arguments[0])}"
    if origin is dict:
        return "a table of names and values" if arguments[1] is object else f"a table, each {_told(arguments[1])}"
    return _NAMES.get(hint, "a table")
