"""The way to the controller for one purpose (Kafka: ``NodeToControllerChannelManagerImpl``).

One request is in flight; a disconnect, a timeout or NOT_CONTROLLER puts it back at the head of the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.alter_partition import AlterPartitionResponse
from kafsim.protocol.types import Address, ConnectionId, Header, Micros, millis

RETRY = millis(50)
NO_CONTROLLER = millis(100)
LISTENER = "CONTROLLER"
OnAnswer = Callable[[Micros, Any], None]
"""Told the response, or None when the request was given up at its deadline."""


@attrs.define
class _Asked:
    body: Any
    on_answer: OnAnswer
    deadline: Micros | None


class ControllerChannel:
    """``controller`` is asked for the active one before each connection.

    ``patience``: after how long a request is given up; None for never.
    """

    def __init__(
        self,
        outbox: Outbox,
        purpose: str,
        controller: Callable[[], Address | None],
        owners: dict[ConnectionId, Any],
        *,
        request_timeout: Micros,
        patience: Micros | None = None,
    ) -> None:
        self._outbox = outbox
        self._controller = controller
        self._purpose = purpose
        self._owners = owners
        self._timer = ("channel", purpose)
        self._timeout = request_timeout if patience is None else min(request_timeout, patience)
        self._patience = patience
        self._queue: deque[_Asked] = deque()
        self._connection: ConnectionId | None = None
        self._in_flight: _Asked | None = None
        self._waiting = False
        self._correlation = 0

    def send(self, now: Micros, body: Any, on_answer: OnAnswer) -> None:
        deadline = None if self._patience is None else Micros(now + self._patience)
        self._queue.append(_Asked(body, on_answer, deadline))
        self._pump(now)

    def _pump(self, now: Micros) -> None:
        while self._queue and self._in_flight is None and not self._waiting:
            asked = self._queue.popleft()
            if asked.deadline is not None and asked.deadline <= now:
                asked.on_answer(now, None)
                continue
            if self._connection is None and not self._connect(now):
                self._queue.appendleft(asked)
                return
            assert self._connection is not None, "connected"
            self._in_flight = asked
            self._correlation += 1
            self._outbox.send(self._connection, Header(0, 0, self._correlation, listener=LISTENER), asked.body)
            self._outbox.set_timer(self._timer, Micros(now + self._timeout))

    def _connect(self, now: Micros) -> bool:
        """To the active controller; when none is known, wait and look again."""
        controller = self._controller()
        if controller is None:
            self._waiting = True
            self._outbox.set_timer(self._timer, Micros(now + NO_CONTROLLER))
            return False
        self._connection = self._outbox.connect(controller, self._purpose)
        self._owners[self._connection] = self
        return True

    def on_response(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        if connection != self._connection or header.correlation_id != self._correlation or self._in_flight is None:
            return
        if _is_not_controller(body):
            self._outbox.close(connection)
            self._forget()
            self._try_again(now)
            return
        asked, self._in_flight = self._in_flight, None
        self._outbox.cancel_timer(self._timer)
        asked.on_answer(now, body)
        self._pump(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        if connection == self._connection:
            self._forget()
            self._try_again(now)

    def on_timer(self, now: Micros) -> None:
        """The request in flight took too long, or the pause after a failure is over."""
        if self._waiting:
            self._waiting = False
            self._pump(now)
        elif self._in_flight is not None and self._connection is not None:
            self._outbox.close(self._connection)
            self._forget()
            self._try_again(now)

    def _forget(self) -> None:
        if self._connection is not None:
            self._owners.pop(self._connection, None)
        self._connection = None

    def _try_again(self, now: Micros) -> None:
        if self._in_flight is not None:
            self._queue.appendleft(self._in_flight)
            self._in_flight = None
        if self._queue:
            self._waiting = True
            self._outbox.set_timer(self._timer, Micros(now + RETRY))


def _is_not_controller(body: Any) -> bool:
    """Says it of the whole request, or of one partition in it (Kafka: ``errorCounts``)."""
    if isinstance(body, AlterPartitionResponse):
        answers = (partition.error_code for topic in body.topics for partition in topic.partitions)
        return errors.NOT_CONTROLLER in (body.error_code, *answers)
    return getattr(body, "error_code", 0) == errors.NOT_CONTROLLER
