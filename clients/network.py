"""A client's connections to brokers (Kafka: ``NetworkClient``): one to each, requests answered in order.

A request that is not answered within its timeout closes the connection, and every request on it fails. A broker that
could not be reached is left alone for an exponential backoff.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from kafsim.clients.backoff import Backoff
from kafsim.protocol.deadlines import Deadlines
from kafsim.protocol.effects import Outbox
from kafsim.protocol.entropy import Entropy
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, millis

TIMER = "network"
OnAnswer = Callable[[Micros, Any], None]
"""Told the response; or a :class:`Lost` when there will be none."""


@attrs.frozen
class Lost:
    """The connection broke or the request timed out: nobody knows whether it was carried out."""

    timed_out: bool


@attrs.define
class InFlight:
    connection: ConnectionId
    correlation: int
    on_answer: OnAnswer
    done: bool = False


@attrs.define
class _Node:
    connection: ConnectionId | None = None
    in_flight: deque[InFlight] = attrs.field(factory=deque)
    failures: int = 0
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    last_used: int = 0


class ClientNetwork:
    """``client_id`` goes into every header."""

    def __init__(
        self, outbox: Outbox, entropy: Entropy, cluster: str, client_id: str, settings: dict[str, Any]
    ) -> None:
        self._outbox = outbox
        self._entropy = entropy
        self._cluster = cluster
        self._client_id = client_id
        self._timeout = millis(settings["request.timeout.ms"])
        self._backoff = Backoff(settings["reconnect.backoff.ms"], settings["reconnect.backoff.max.ms"], entropy)
        self._nodes: dict[int, _Node] = {}
        self._owners: dict[ConnectionId, int] = {}
        self._correlation = 0
        self._deadlines: Deadlines[InFlight] = Deadlines(outbox, TIMER)

    def _node(self, id_: int) -> _Node:
        return self._nodes.setdefault(id_, _Node())

    def in_flight(self, node: int) -> int:
        return len(self._node(node).in_flight)

    def ready_at(self, node: int) -> Micros:
        """From when on something may be sent to a broker: in the past unless it failed a moment ago."""
        known = self._node(node)
        return Micros(0) if known.connection is not None else known.not_before

    def least_loaded(self, nodes: list[int], now: Micros) -> int | None:
        """The broker with the fewest requests under way that can be asked now."""
        usable = [node for node in nodes if self.ready_at(node) <= now]
        if not usable:
            return None
        start = self._entropy.below(len(usable))
        rotated = usable[start:] + usable[:start]
        return min(rotated, key=lambda node: (self.in_flight(node), self._node(node).connection is None))

    def send(
        self,
        now: Micros,
        node: int,
        api: int,
        body: Any,
        on_answer: OnAnswer | None,
        *,
        version: int = 0,
        timeout: Micros | None = None,
    ) -> None:
        """Ask a broker; without ``on_answer`` no response is expected (acks=0)."""
        known = self._node(node)
        if known.connection is None:
            known.connection = self._outbox.connect(Address(self._cluster, "broker", node), "client")
            self._owners[known.connection] = node
        self._correlation += 1
        header = Header(api, version, self._correlation, self._client_id)
        self._outbox.send(known.connection, header, body)
        if on_answer is not None:
            asked = InFlight(known.connection, self._correlation, on_answer)
            known.in_flight.append(asked)
            self._deadlines.add(Micros(now + (timeout or self._timeout)), asked)

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        id_ = self._owners.get(connection)
        if id_ is None:
            return
        node = self._nodes[id_]
        node.failures = 0
        if node.in_flight and node.in_flight[0].correlation == header.correlation_id:
            asked = node.in_flight.popleft()
            asked.done = True
            asked.on_answer(now, body)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        self._lose(now, connection, timed_out=False)

    def on_timer(self, now: Micros) -> None:
        """Requests without an answer: each takes its connection with it."""
        for asked in self._deadlines.pop_due(now):
            if not asked.done:
                self._outbox.close(asked.connection)
                self._lose(now, asked.connection, timed_out=True)

    def _lose(self, now: Micros, connection: ConnectionId, *, timed_out: bool) -> None:
        id_ = self._owners.pop(connection, None)
        if id_ is None:
            return
        node = self._nodes[id_]
        node.connection = None
        node.not_before = Micros(now + self._backoff.after(node.failures))
        node.failures += 1
        lost, node.in_flight = node.in_flight, deque()
        for asked in lost:
            asked.done = True
        for asked in lost:
            asked.on_answer(now, Lost(timed_out))
