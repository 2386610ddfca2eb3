"""How the processes of a cluster are put together: controller, broker, and both in one (Kafka: ``KafkaRaftServer``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafsim.broker.broker import Broker
from kafsim.broker.combined_process import CombinedProcess
from kafsim.controller.controller import Controller
from kafsim.controller.controller_server import ControllerProcess, ControllerServer
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.raft.voter_set import ReplicaKey, Voter, VoterSet
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId
from kafsim.storage.log_directory import LogDirectory

if TYPE_CHECKING:
    from kafsim.cluster.cluster import ClusterShape

CLUSTER_ID = "kafsim-AAAAAAAAAAAAAAA"
FIRST_CONTROLLER = 101

Owners = dict[ConnectionId, Any]


class Processes:
    """``settings`` are parsed, ``static`` the names of those that were given."""

    def __init__(self, name: str, shape: ClusterShape, settings: dict[str, Any], static: frozenset[str]) -> None:
        self._shape = shape
        self._settings = settings
        self._static = static
        role, first = ("broker", 1) if shape.combined else ("controller", FIRST_CONTROLLER)
        ids = range(first, first + shape.controllers)
        self.voters = VoterSet.of(*(Voter(ReplicaKey(id_), Address(name, role, id_)) for id_ in ids))

    def controller(self, given: Surroundings) -> ControllerProcess:
        owners: Owners = {}
        raft = self._raft(given, self._logs(given), owners)
        return ControllerProcess(self._server(given, raft, owners), owners)

    def broker(self, given: Surroundings) -> Broker:
        logs, owners = self._logs(given), Owners()
        return self._broker(given, self._raft(given, logs, owners), logs, owners)

    def combined(self, given: Surroundings) -> CombinedProcess:
        logs, owners = self._logs(given), Owners()
        raft = self._raft(given, logs, owners)
        server = self._server(given, raft, owners)
        return CombinedProcess(self._broker(given, raft, logs, owners), server, owners)

    def _logs(self, given: Surroundings) -> LogDirectory:
        return LogDirectory(given.files, given.outbox, given.safeguards)

    def _raft(self, given: Surroundings, logs: LogDirectory, owners: Owners) -> RaftClient:
        directory = logs.format(given.address.id, given.entropy.uuid(), CLUSTER_ID)
        me = ReplicaKey(given.address.id, directory)
        return RaftClient(given, me, self.voters, self._settings, CLUSTER_ID, owners)

    def _server(self, given: Surroundings, raft: RaftClient, owners: Owners) -> ControllerServer:
        controller = Controller(given, raft, self._settings, self._shape.features, CLUSTER_ID, self._static)
        return ControllerServer(raft, controller, owners)

    def _broker(self, given: Surroundings, raft: RaftClient, logs: LogDirectory, owners: Owners) -> Broker:
        id_, racks = given.address.id, self._shape.racks
        return Broker(given, raft, logs, self._settings, owners, racks[id_ - 1] if racks else None, self._static)
