"""A node that is broker and controller in one process (Kafka: ``KafkaRaftServer``).

Both share the node's part in the quorum, its disk and its fate. When the process is asked to stop, the broker leaves
first, then the controller.
"""

from __future__ import annotations

from typing import Any

from kafsim.broker.broker import Broker
from kafsim.controller.controller_channel import LISTENER
from kafsim.controller.controller_server import ControllerServer
from kafsim.protocol.types import CallId, ConnectionId, FlushKey, Header, Micros, TimerKey


class CombinedProcess:
    def __init__(self, broker: Broker, server: ControllerServer, owners: dict[ConnectionId, Any]) -> None:
        self.broker = broker
        self.server = server
        self.controller = server.controller
        self.raft = server.raft
        self._owners = owners
        broker.on_closed = self._stop_controller

    def on_start(self, now: Micros) -> None:
        self.broker.on_start(now)
        self.server.unmute(now)

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        if header.listener == LISTENER and connection not in self._owners:
            self.server.receive(now, connection, header, body)
            self.broker.unmute(now)
        else:
            self.broker.on_message(now, connection, header, body)
        self.server.unmute(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        if connection not in self._owners:
            self.server.forget(connection)
        self.broker.on_disconnect(now, connection)
        self.server.unmute(now)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if self.server.on_timer(now, key):
            self.broker.unmute(now)
        else:
            self.broker.on_timer(now, key)
        self.server.unmute(now)

    def on_flushed(self, now: Micros, key: FlushKey) -> None:
        self.broker.on_flushed(now, key)
        self.server.unmute(now)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        self.broker.on_call(now, call, request)
        self.server.unmute(now)

    def on_cancel(self, now: Micros, call: CallId) -> None: ...

    def _stop_controller(self, now: Micros) -> None:
        self.raft.shut_down(now, lambda _: self.broker.outbox.exit())
