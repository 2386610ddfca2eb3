"""What a story gives to its clients, checked where it is given: a mistake there is no failure of a broker later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SUBSCRIBE = "subscribe to a list of topics, or to a pattern"
LISTENS = ("on_partitions_assigned", "on_partitions_revoked", "on_partitions_lost")


def text(value: Any, what: str) -> str:
    """TypeError for what is no string."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a string, not {value!r}")
    return value


def topics(values: Iterable[Any]) -> tuple[str, ...]:
    """TypeError, or ValueError for a name that is empty, as Kafka's consumer says it."""
    if isinstance(values, str):
        raise TypeError(SUBSCRIBE)
    names = tuple(text(value, "a topic") for value in values)
    if any(not name.strip() for name in names):
        raise ValueError("Topic collection to subscribe to cannot contain null or empty topic")
    return names


def offset(value: Any) -> int:
    """To commit: a whole number from 0 to 2**63 - 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"an offset is a whole number, not {value!r}")
    if value < 0:
        raise ValueError(f"Invalid negative offset: {value}")
    if value >= 1 << 63:
        raise ValueError(f"an offset has 64 bits, {value} has more")
    return value


def listener(value: Any) -> Any:
    """TypeError for what has not the methods of a RebalanceListener."""
    missing = [name for name in LISTENS if not callable(getattr(value, name, None))]
    if value is not None and missing:
        raise TypeError(f"a listener has the methods of RebalanceListener; {value!r} has no {missing[0]}")
    return value
