"""Frozen attrs classes as msgpack bytes, by position.

A class is given to :func:`register` once, when it is made. Its fields must be immutable all the way down (int, bool,
str, bytes, None, Enum, nested registered classes, tuples of these), so that handing over the instance itself
(``wire="share"``) and handing over its bytes (``wire="codec"``) mean the same.

Kafka's own binary form is not made here: the wire codec of live mode is generated from the same classes.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import msgpack

T = typing.TypeVar("T")
PLAIN = (int, bool, str, bytes, type(None))


class Codec(NamedTuple):
    """How one class is taken apart and put together: tuples of what msgpack knows."""

    cls: type
    tag: int | str
    to_tuple: Callable[[Any], tuple[Any, ...]]
    from_tuple: Callable[[Any], Any]


by_class: dict[type, Codec] = {}
by_tag: dict[int | str, Codec] = {}


def register(cls: type[T], tag: int | str) -> type[T]:
    """Make the codec of a frozen attrs class; TypeError names the field that could be changed or not be written."""
    if tag in by_tag:
        raise TypeError(f"{cls.__name__}: tag {tag!r} belongs to {by_tag[tag].cls.__name__}")
    codec = Codec(cls, tag, *_generate(cls))
    by_class[cls] = by_tag[tag] = codec
    return cls


def _generate(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], Callable[[Any], Any]]:
    names: dict[str, Any] = {"cls": cls}
    takes, gives = [], []
    hints = typing.get_type_hints(cls)
    for i, field in enumerate(attrs.fields(cls)):
        take, give = _expressions(f"{cls.__name__}.{field.name}", hints[field.name], names)
        takes.append(take(f"m.{field.name}"))
        gives.append(f"{field.alias}={give(f'f[{i}]')}")
    source = f"def to_tuple(m): return ({''.join(t + ', ' for t in takes)})\n"
    source += f"def from_tuple(f): return cls({', '.join(gives)})\n"
    exec(source, names)  # noqa: S102  # two flat expressions are three times as fast as a loop over fields
    return names["to_tuple"], names["from_tuple"]


def _expressions(where: str, hint: Any, names: dict[str, Any]) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """For one field: the expression that writes the value x, and the one that reads it back."""
    hint = _without_newtype(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return str, str
    if origin in (typing.Union, types.UnionType):
        return _optional_expressions(where, args, names)
    if origin is tuple:
        return _tuple_expressions(where, args, names)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        names[hint.__name__] = hint
        return (lambda x: f"{x}.value"), (lambda x: f"{hint.__name__}({x})")
    if isinstance(hint, type) and attrs.has(hint):
        to_tuple, from_tuple = _generate(hint) if hint not in by_class else by_class[hint][2:]
        names[f"to_{hint.__name__}"], names[f"from_{hint.__name__}"] = to_tuple, from_tuple
        return (lambda x: f"to_{hint.__name__}({x})"), (lambda x: f"from_{hint.__name__}({x})")
    raise TypeError(f"{where}: {hint!r} can be changed or has no positional form")


def _without_newtype(hint: Any) -> Any:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


def _optional_expressions(
    where: str, args: tuple[Any, ...], names: dict[str, Any]
) -> tuple[Callable[[str], str], Callable[[str], str]]:
    inner = [a for a in args if a is not type(None)]
    if all(_without_newtype(a) in PLAIN for a in inner):
        return str, str
    if len(inner) != 1:
        raise TypeError(f"{where}: a union of {inner} cannot be told apart by position")
    take, give = _expressions(where, inner[0], names)
    return (lambda x: f"(None if {x} is None else {take(x)})"), (lambda x: f"(None if {x} is None else {give(x)})")


def _tuple_expressions(
    where: str, args: tuple[Any, ...], names: dict[str, Any]
) -> tuple[Callable[[str], str], Callable[[str], str]]:
    if len(args) == 2 and args[1] is Ellipsis:
        take, give = _expressions(where, args[0], names)
        if take is str:
            return str, str
        return (lambda x: f"[{take('e')} for e in {x}]"), (lambda x: f"tuple([{give('e')} for e in {x}])")
    parts = [_expressions(where, a, names) for a in args]
    return (
        lambda x: "(" + "".join(take(f"{x}[{i}]") + ", " for i, (take, _) in enumerate(parts)) + ")",
        lambda x: "(" + "".join(give(f"{x}[{i}]") + ", " for i, (_, give) in enumerate(parts)) + ")",
    )


_pack = msgpack.Packer(autoreset=True).pack


def encode(message: object) -> bytes:
    """The bytes of an instance of any registered class."""
    codec = by_class[type(message)]
    return typing.cast("bytes", _pack((codec.tag, codec.to_tuple(message))))


def decode(data: bytes) -> Any:
    """The instance that :func:`encode` was given: equal, and sharing nothing with it."""
    tag, fields = msgpack.unpackb(data, use_list=False)
    return by_tag[tag].from_tuple(fields)
