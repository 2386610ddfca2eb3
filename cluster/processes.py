"""How the processes of a cluster are put together: controller, broker, and both in one (Kafka: ``KafkaRaftServer``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kafsim.broker.broker import Broker
from kafsim.broker.combined_process import CombinedProcess
from kafsim.controller.controller import Controller
from kafsim.controller.controller_server import ControllerProcess, ControllerServer
from kafsim.controller.raft import snapshots
from kafsim.controller.raft.raft_client import RaftClient
from kafsim.controller.raft.raft_log import DIRECTORY
from kafsim.controller.raft.snapshots import BOOTSTRAP
from kafsim.controller.raft.voter_set import ReplicaKey, Voter, VoterSet
from kafsim.protocol.features import KRAFT_VERSION
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, Micros
from kafsim.protocol.uuid import Uuid
from kafsim.storage.log_manager import Disk, LogManager

if TYPE_CHECKING:
    from kafsim.cluster.cluster import ClusterShape

CLUSTER_ID = "kafsim-AAAAAAAAAAAAAAA"
FIRST_CONTROLLER = 101

Owners = dict[ConnectionId, Any]


class Processes:
    """``settings`` are parsed, ``static`` the names of those that were given.

    ``directories``: the ids of the log directories that the first of dynamic voters begin with.
    """

    def __init__(
        self,
        name: str,
        shape: ClusterShape,
        settings: dict[str, Any],
        static: frozenset[str],
        directories: Callable[[Address], Uuid],
    ) -> None:
        self._shape = shape
        self._settings = settings
        self._static = static
        role, first = ("broker", 1) if shape.combined else ("controller", FIRST_CONTROLLER)
        ids = range(first, first + shape.controllers)
        self.controllers = {id_: Address(name, role, id_) for id_ in ids}
        """All that ever were, and where they are: ``controller.quorum.bootstrap.servers``."""
        self._is_dynamic = bool(shape.features.get(KRAFT_VERSION))
        self._first = VoterSet.of(*(self._first_voter(id_, directories) for id_ in ids))

    def _first_voter(self, id_: int, directories: Callable[[Address], Uuid]) -> Voter:
        """Of dynamic voters the directories are chosen before their disks are formatted with them."""
        address = self.controllers[id_]
        if self._is_dynamic:
            return Voter(ReplicaKey(id_, directories(address)), address)
        return Voter(ReplicaKey(id_), address, max_version=0)

    def controller(self, given: Surroundings) -> ControllerProcess:
        owners: Owners = {}
        raft = self._raft(given, self._logs(given), owners, can_vote=True)
        return ControllerProcess(self._server(given, raft, owners), owners)

    def broker(self, given: Surroundings) -> Broker:
        logs, owners = self._logs(given), Owners()
        return self._broker(given, self._raft(given, logs, owners, can_vote=False), logs, owners)

    def combined(self, given: Surroundings) -> CombinedProcess:
        logs, owners = self._logs(given), Owners()
        raft = self._raft(given, logs, owners, can_vote=True)
        server = self._server(given, raft, owners)
        return CombinedProcess(self._broker(given, raft, logs, owners), server, owners)

    def _logs(self, given: Surroundings) -> LogManager:
        disks = (given.files, *given.more_files)
        named = zip(self._settings["log.dirs"], disks, strict=False)
        return LogManager((Disk(*one) for one in named), given.outbox, given.safeguards)

    def _raft(self, given: Surroundings, logs: LogManager, owners: Owners, *, can_vote: bool) -> RaftClient:
        first = self._new_directory(given, can_vote)
        directory = logs.format(given.address.id, given.entropy.uuid, first, CLUSTER_ID)
        me = ReplicaKey(given.address.id, directory)
        static = VoterSet.of() if self._is_dynamic else self._first
        bootstrap = list(self.controllers.values())
        return RaftClient(given, me, static, self._settings, CLUSTER_ID, owners, bootstrap=bootstrap, can_vote=can_vote)

    def _new_directory(self, given: Surroundings, can_vote: bool) -> Uuid:
        """Format a disk that is not: with the first voters when it is one of theirs (``--initial-controllers``).

        A disk that replaces one of theirs has none (``--no-initial-controllers``).
        """
        drawn: Uuid = given.entropy.uuid()
        if not self._is_dynamic or not can_vote or given.incarnation > 1 or given.address.id not in self._first.by_id:
            return drawn
        name = f"{DIRECTORY}/{snapshots.file_name(BOOTSTRAP)}"
        wall = given.wall_ms(Micros(0))
        data = snapshots.encode([], BOOTSTRAP, voters=self._first, wall_ms=wall, last_contained_ms=wall)
        given.files.replace(name, data)
        return self._first.by_id[given.address.id].key.directory

    def _server(self, given: Surroundings, raft: RaftClient, owners: Owners) -> ControllerServer:
        controller = Controller(given, raft, self._settings, self._shape.features, CLUSTER_ID, self._static)
        return ControllerServer(raft, controller, owners)

    def _broker(self, given: Surroundings, raft: RaftClient, logs: LogManager, owners: Owners) -> Broker:
        id_, racks = given.address.id, self._shape.racks
        return Broker(given, raft, logs, self._settings, owners, racks[id_ - 1] if racks else None, self._static)
