"""Names for the numbers that must not be confused, and the two small tuples that travel with every message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, NewType

Micros = NewType("Micros", int)
"""A point or a span of virtual time, in microseconds. Milliseconds appear only in Kafka's settings and in records."""

NodeId = NewType("NodeId", int)
Offset = NewType("Offset", int)
LeaderEpoch = NewType("LeaderEpoch", int)
ProducerId = NewType("ProducerId", int)

ConnectionId = NewType("ConnectionId", int)
CallId = NewType("CallId", int)
EventNumber = NewType("EventNumber", int)
"""The number of the entry of the event heap during which something happened, counted from 1."""

TimerKey = tuple[str | int, ...] | str
FlushKey = tuple[str | int, ...] | str

MILLISECOND = Micros(1_000)
SECOND = Micros(1_000_000)


def millis(value: int) -> Micros:
    """A span given in one of Kafka's ``*.ms`` settings."""
    return Micros(value * 1_000)


class Address(NamedTuple):
    """Where a node lives: one world may hold several clusters."""

    cluster: str
    role: str
    """``broker``, ``controller``, ``producer``, ``consumer``, ``admin``, ..."""
    id: int

    def __str__(self) -> str:
        name = f"{self.role}-{self.id}"
        return f"{self.cluster}/{name}" if self.cluster else name

    @classmethod
    def parse(cls, text: str) -> Address:
        """``broker-1`` or ``east/broker-1``."""
        cluster, _, name = text.rpartition("/")
        role, _, number = name.rpartition("-")
        return cls(cluster, role, int(number))


class Header(NamedTuple):
    """What Kafka's request header carries, and what a server knows of the connection it came in on.

    The answer to a request travels with the header of that request.
    """

    api: int
    version: int
    correlation_id: int
    client_id: str | None = None
    listener: str = "PLAINTEXT"
    principal: str = "User:ANONYMOUS"


class TopicPartition(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"

    @classmethod
    def parse(cls, text: str) -> TopicPartition:
        """``orders-0``, which is also the folder of its log."""
        topic, _, partition = text.rpartition("-")
        return cls(topic, int(partition))


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    """The indexes of each topic, as requests name them."""
    topics: dict[str, list[int]] = {}
    for tp in partitions:
        topics.setdefault(tp.topic, []).append(tp.partition)
    return topics
