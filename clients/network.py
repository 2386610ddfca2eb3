"""A client's connections to brokers (Kafka: ``NetworkClient``): one to each, requests answered in order.

    DISCONNECTED --connect, ask for its versions--> CHECKING --the answer--> READY
    CHECKING or READY --broken, or a request timed out--> DISCONNECTED, left alone for a while

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
from kafsim.protocol.messages.api_versions import ApiVersionsRequest
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, millis

TIMER = "network"
API_VERSIONS = 18
FAR = Micros(1 << 62)
COORDINATOR = 1 << 30
"""A node this much above a broker's id is the same broker on a connection of its own, which joins do not hold up."""
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
    is_checked: bool = False
    """Its versions are known: requests may be sent."""
    failures: int = 0
    not_before: Micros = Micros(0)  # noqa: RUF009  # an int in disguise
    last_attempt: Micros = Micros(-1)  # noqa: RUF009


class ClientNetwork:
    """``client_id`` goes into every header. Bootstrap servers are the nodes -1, -2 and so on."""

    def __init__(
        self,
        outbox: Outbox,
        entropy: Entropy,
        cluster: str,
        client_id: str,
        settings: dict[str, Any],
        bootstrap: list[int],
    ) -> None:
        self._outbox = outbox
        self._entropy = entropy
        self._cluster = cluster
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._timeout = millis(settings["request.timeout.ms"])
        self._backoff = Backoff(settings["reconnect.backoff.ms"], settings["reconnect.backoff.max.ms"], entropy)
        self._nodes: dict[int, _Node] = {}
        self._owners: dict[ConnectionId, int] = {}
        self._correlation = 0
        self._deadlines: Deadlines[InFlight] = Deadlines(outbox, TIMER)
        self.on_lost: Callable[[Micros], None] = lambda _: None
        """Told of every connection that broke or could not be made: what is known of the cluster may be old."""

    def _node(self, id_: int) -> _Node:
        known = self._nodes.get(id_)
        if known is None:
            known = self._nodes[id_] = _Node()
        return known

    def in_flight(self, node: int) -> int:
        return len(self._node(node).in_flight)

    def is_checked(self, node: int) -> bool:
        """Does a connection to this broker stand, ready for requests?"""
        return self._node(node).is_checked

    @property
    def has_ready(self) -> bool:
        """Does any connection stand?"""
        return any(node.is_checked for node in self._nodes.values())

    def close_all(self, now: Micros) -> None:
        """Give every connection up; what is under way on them is lost."""
        for connection in list(self._owners):
            self._outbox.close(connection)
            self._lose(now, connection, timed_out=False)

    def is_unavailable(self, now: Micros, node: int) -> bool:
        """Did the connection to a broker fail a moment ago?"""
        known = self._node(node)
        return known.connection is None and known.not_before > now

    def close(self, now: Micros, node: int) -> None:
        """Give a connection up; what is under way on it is lost."""
        connection = self._node(node).connection
        if connection is not None:
            self._outbox.close(connection)
            self._lose(now, connection, timed_out=False)

    def is_ready(self, now: Micros, node: int) -> bool:
        """May something be sent to a broker now? If not, begin to connect unless it failed a moment ago."""
        known = self._node(node)
        if known.is_checked:
            return True
        if known.connection is None and known.not_before <= now:
            self._connect(now, node, known)
        return False

    def wake_at(self, node: int) -> Micros:
        """When to try a broker again that is not ready; far away when an answer or a failure will tell."""
        known = self._node(node)
        return FAR if known.connection is not None else known.not_before

    def _connect(self, now: Micros, node: int, known: _Node) -> None:
        broker = node % COORDINATOR if node >= 0 else self._bootstrap[-1 - node]
        known.connection = self._outbox.connect(Address(self._cluster, "broker", broker), "client")
        known.last_attempt = now
        self._owners[known.connection] = node

        def checked(_: Micros, answer: Any) -> None:
            if not isinstance(answer, Lost):
                known.is_checked = True
                known.failures = 0

        self._send(now, known, API_VERSIONS, ApiVersionsRequest(), checked, version=4)

    def least_loaded(self, nodes: list[int], now: Micros) -> int | None:
        """The broker to ask something that any can answer (Kafka: ``leastLoadedNode``).

        One that is ready, with the fewest requests under way; else one that is being connected to; else the one whose
        last attempt is longest ago.
        """
        start = self._entropy.below(len(nodes))
        rotated = nodes[start:] + nodes[:start]
        ready = [node for node in rotated if self._node(node).is_checked]
        if ready:
            return min(ready, key=self.in_flight)
        connecting = [node for node in rotated if self._node(node).connection is not None]
        if connecting:
            return connecting[-1]
        usable = [node for node in rotated if self._node(node).not_before <= now]
        return min(usable, key=lambda node: self._node(node).last_attempt, default=None)

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
        """Ask a broker that is ready; without ``on_answer`` no response is expected (acks=0).

        ``timeout``: instead of request.timeout.ms.
        """
        known = self._node(node)
        assert known.is_checked, f"broker {node} is not ready"
        self._send(now, known, api, body, on_answer, version=version, timeout=timeout)

    def _send(
        self,
        now: Micros,
        known: _Node,
        api: int,
        body: Any,
        on_answer: OnAnswer | None,
        *,
        version: int,
        timeout: Micros | None = None,
    ) -> None:
        assert known.connection is not None, "something is sent on a connection"
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
        node.connection, node.is_checked = None, False
        node.not_before = Micros(now + self._backoff.after(node.failures))
        node.failures += 1
        lost, node.in_flight = node.in_flight, deque()
        for asked in lost:
            asked.done = True
        for asked in lost:
            asked.on_answer(now, Lost(timed_out))
        self.on_lost(now)
