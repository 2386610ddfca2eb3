"""What a controller's process serves: requests of the quorum, and requests to the active controller.

Kafka: ``ControllerServer``, ``ControllerApis``. On a combined node the broker beside it shares the node's part in the
quorum.
"""

from __future__ import annotations

from typing import Any

from kafsim.controller.api_versions import ApiVersionsApi
from kafsim.controller.controller import Controller
from kafsim.controller.controller_channel import ControllerChannel
from kafsim.controller.controller_registration import TIMER as REGISTRATION_RETRY
from kafsim.controller.controller_registration import ControllerRegistration
from kafsim.controller.describe_quorum import describe_quorum
from kafsim.controller.raft import raft_client
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.protocol.effects import Terminate
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterRequest
from kafsim.protocol.messages.api_versions import ApiVersionsRequest
from kafsim.protocol.messages.begin_quorum_epoch import BeginQuorumEpochRequest
from kafsim.protocol.messages.describe_quorum import DescribeQuorumRequest
from kafsim.protocol.messages.end_quorum_epoch import EndQuorumEpochRequest
from kafsim.protocol.messages.fetch import FetchRequest
from kafsim.protocol.messages.fetch_snapshot import FetchSnapshotRequest
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest
from kafsim.protocol.messages.update_raft_voter import UpdateRaftVoterRequest
from kafsim.protocol.messages.vote import VoteRequest
from kafsim.protocol.muting import MutedConnections
from kafsim.protocol.types import CallId, ConnectionId, FlushKey, Header, Micros, TimerKey, millis

QUORUM_REQUESTS = (
    FetchRequest,
    VoteRequest,
    BeginQuorumEpochRequest,
    EndQuorumEpochRequest,
    FetchSnapshotRequest,
    AddRaftVoterRequest,
    RemoveRaftVoterRequest,
    UpdateRaftVoterRequest,
)
REGISTRATION_PATIENCE = millis(5_000)
RAFT_TIMERS = (raft_client.POLL, raft_client.FETCH_TIMER)


class ControllerServer:
    """Serves the connections of other nodes to a controller."""

    def __init__(self, raft: RaftClient, controller: Controller, owners: dict[ConnectionId, Any]) -> None:
        self.raft = raft
        self.controller = controller
        timeout = millis(raft.settings["request.timeout.ms"])
        self._channel = ControllerChannel(
            raft.outbox,
            "registration",
            lambda: raft.leader_address,
            owners,
            request_timeout=timeout,
            patience=REGISTRATION_PATIENCE,
        )
        self._registration = ControllerRegistration(raft.given, self._channel, controller.state)
        controller.on_metadata = self._registration.on_metadata
        self.outbox = raft.outbox
        self._api_versions = ApiVersionsApi(
            raft.outbox,
            [*QUORUM_REQUESTS, DescribeQuorumRequest, *controller.requests],
            controller.state,
            lambda: controller.applied,
            lambda: raft.kraft_version,
        )
        self._requests = MutedConnections(raft.outbox, self._handle)

    def receive(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        self._requests.receive(now, connection, header, body)

    def unmute(self, now: Micros) -> None:
        self._requests.unmute(now)

    def forget(self, connection: ConnectionId) -> None:
        """A client's connection is gone."""
        self._requests.forget(connection)

    def _handle(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> bool:
        if isinstance(body, QUORUM_REQUESTS):
            self.raft.handle(now, connection, header, body)
            return True
        if isinstance(body, DescribeQuorumRequest):
            self.outbox.reply(connection, header, describe_quorum(now, self.raft, body))
            return True
        if isinstance(body, ApiVersionsRequest):
            self._api_versions.handle(now, connection, header, body)
            return True
        return self.controller.handle(now, connection, header, body)

    def on_timer(self, now: Micros, key: TimerKey) -> bool:
        """True when the timer was one of the controller's or the quorum's."""
        if key in RAFT_TIMERS:
            self.raft.on_timer(now, key)
        elif key == REGISTRATION_RETRY:
            self._registration.on_timer(now)
        elif key == ("channel", "registration"):
            self._channel.on_timer(now)
        elif self.controller.has_timer(key):
            self.controller.on_timer(now, key)
        else:
            return False
        return True


class ControllerProcess:
    """The core of a node that is a controller and nothing else."""

    def __init__(self, server: ControllerServer, owners: dict[ConnectionId, Any]) -> None:
        self.server = server
        self.raft, self.controller = server.raft, server.controller
        self.outbox = server.outbox
        self._owners = owners

    def on_start(self, now: Micros) -> None:
        self.raft.start(now)

    def on_message(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        owner = self._owners.get(connection)
        if owner is not None:
            owner.on_response(now, connection, header, body)
        else:
            self.server.receive(now, connection, header, body)
        self.server.unmute(now)

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        owner = self._owners.pop(connection, None)
        if owner is not None:
            owner.on_disconnect(now, connection)
        else:
            self.server.forget(connection)
        self.server.unmute(now)

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        self.server.on_timer(now, key)
        self.server.unmute(now)

    def on_flushed(self, now: Micros, key: FlushKey) -> None:
        if key[0] == "raft":
            self.raft.on_flushed(now, key)
        self.server.unmute(now)

    def on_call(self, now: Micros, call: CallId, request: Any) -> None:
        assert isinstance(request, Terminate), f"a controller is not asked {request}"
        self.outbox.answer_call(call, None)
        self.raft.shut_down(now, lambda _: self.outbox.exit())
        self.server.unmute(now)

    def on_cancel(self, now: Micros, call: CallId) -> None: ...
