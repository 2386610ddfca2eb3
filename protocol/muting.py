"""One request of a connection at a time (Kafka: ``SocketServer``, which mutes a channel until its response is sent).

Pipelined requests wait behind the one that is handled, so answers come in the order of the requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from kafsim.protocol.effects import CLOSE, REPLY, Outbox
from kafsim.protocol.types import ConnectionId, Header, Micros

Handle = Callable[[Micros, ConnectionId, Header, Any], bool]
"""Handles a request; true when an answer follows, now or later."""


class MutedConnections:
    """``between``: done after each request, before it is looked at what has been answered."""

    def __init__(self, outbox: Outbox, handle: Handle, between: Callable[[Micros], None] = lambda _: None) -> None:
        self._outbox = outbox
        self._handle = handle
        self._between = between
        self._waiting: dict[ConnectionId, deque[tuple[Header, Any]]] = {}
        """Connections with a request under way, and the requests that wait behind it."""

    def __contains__(self, connection: object) -> bool:
        return connection in self._waiting

    def receive(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        """Handle a request now, or after those before it."""
        waiting = self._waiting.get(connection)
        if waiting is not None:
            waiting.append((header, body))
        elif self._handle(now, connection, header, body):
            self._waiting[connection] = deque()

    def unmute(self, now: Micros) -> None:
        """Take the next request of each connection that is answered by the effects of this input."""
        self._between(now)
        effects, seen = self._outbox.effects, 0
        while self._waiting and seen < len(effects):
            effect, seen = effects[seen], seen + 1
            if effect[0] not in (REPLY, CLOSE) or effect[1] not in self._waiting:
                continue
            connection: ConnectionId = effect[1]
            waiting = self._waiting.pop(connection)
            if effect[0] == CLOSE:
                continue
            while waiting and connection not in self._waiting:
                self.receive(now, connection, *waiting.popleft())
            if waiting:
                self._waiting[connection] = waiting
            self._between(now)

    def forget(self, connection: ConnectionId) -> None:
        """It is gone, and so is what waits."""
        self._waiting.pop(connection, None)
