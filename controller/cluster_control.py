"""Decides about brokers: registration, heartbeats, fencing (Kafka: ``ClusterControlManager``)."""

from __future__ import annotations

from typing import Any

from kafsim.controller.heartbeats import BrokerControlState, Heartbeats
from kafsim.controller.metadata_state import BrokerState, MetadataState
from kafsim.controller.replication_control import ReplicationControl
from kafsim.protocol import errors, uuid
from kafsim.protocol.effects import Outbox
from kafsim.protocol.facts import controller as facts
from kafsim.protocol.facts.fact import Because, because
from kafsim.protocol.features import CONTROLLER_REGISTRATION, METADATA_VERSION, UNKNOWN, Range
from kafsim.protocol.messages.broker_heartbeat import BrokerHeartbeatRequest, BrokerHeartbeatResponse
from kafsim.protocol.messages.broker_registration import BrokerRegistrationRequest, BrokerRegistrationResponse
from kafsim.protocol.messages.controller_registration import (
    ControllerRegistrationRequest,
    ControllerRegistrationResponse,
)
from kafsim.protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kafsim.protocol.metadata.broker_registration_change_record import BrokerRegistrationChangeRecord
from kafsim.protocol.metadata.register_broker_record import BrokerEndpoint, BrokerFeature, RegisterBrokerRecord
from kafsim.protocol.metadata.register_controller_record import (
    ControllerEndpoint,
    ControllerFeature,
    RegisterControllerRecord,
)
from kafsim.protocol.metadata.unregister_broker_record import UnregisterBrokerRecord
from kafsim.protocol.safeguards import Safeguards
from kafsim.protocol.types import Micros


class ClusterControl:
    def __init__(
        self,
        state: MetadataState,
        heartbeats: Heartbeats,
        replication: ReplicationControl,
        outbox: Outbox,
        safeguards: Safeguards,
        cluster_id: str,
    ) -> None:
        self.state = state
        self.heartbeats = heartbeats
        self.replication = replication
        self.outbox = outbox
        self.safeguards = safeguards
        self.cluster_id = cluster_id

    # ----------------------------------------------------------------------- registration

    def register(
        self, now: Micros, request: BrokerRegistrationRequest, next_offset: int
    ) -> tuple[list[Any], BrokerRegistrationResponse]:
        """``next_offset``: where the first record of this decision goes, which is the broker epoch."""
        existing = self.state.brokers.get(request.broker_id)
        error, reason = self._check_registration(now, request, existing)
        if error:
            why = because(facts.REGISTERED, how=reason)
            name = errors.name(error)
            self.outbox.happened(facts.RegistrationRefused(broker=request.broker_id, error=name, because=why))
            return [], BrokerRegistrationResponse(error_code=error)
        is_new = existing is None or existing.incarnation_id != request.incarnation_id
        records: list[Any] = []
        how = "the first registration of this broker"
        if is_new and existing is not None:
            clean = existing.epoch == request.previous_broker_epoch or not self.safeguards.detect_unclean_shutdown
            how = f"registers again after {'a clean stop' if clean else 'an unclean shutdown'}"
            records += self.replication.broker_shut_down(
                request.broker_id, self._shutdown_reason(existing, request, clean=clean), clean=clean
            )
        epoch = next_offset if is_new or existing is None else existing.epoch
        records.append(_registration(request, epoch, None if is_new else existing))
        if is_new:
            self.heartbeats.forget(request.broker_id)
        self.outbox.happened(
            facts.BrokerRegistered(
                broker=request.broker_id,
                epoch=epoch,
                incarnation=uuid.to_text(request.incarnation_id),
                because=because(facts.REGISTERED, how=how),
            )
        )
        return records, BrokerRegistrationResponse(broker_epoch=epoch)

    def _check_registration(
        self, now: Micros, request: BrokerRegistrationRequest, existing: BrokerState | None
    ) -> tuple[int, str]:
        why = _bad_directories(request, self.state)
        if why is not None:
            return errors.INVALID_REGISTRATION, why
        if request.cluster_id != self.cluster_id:
            return errors.INCONSISTENT_CLUSTER_ID, f"cluster id {request.cluster_id}, expected {self.cluster_id}"
        other = existing is not None and existing.incarnation_id != request.incarnation_id
        if other and existing is not None and self.heartbeats.has_valid_session(existing.id, existing.epoch, now):
            reason = f"another incarnation of broker {existing.id} still has a session"
            return errors.DUPLICATE_BROKER_REGISTRATION, reason
        return self._check_features(request)

    def _check_features(self, request: BrokerRegistrationRequest) -> tuple[int, str]:
        """A broker has to speak every level in force."""
        spoken = {f.name: Range(f.min_supported_version, f.max_supported_version) for f in request.features}
        for name, level in self.state.features.items():
            if level not in spoken.get(name, UNKNOWN):
                return errors.UNSUPPORTED_VERSION, f"it does not speak {name} {level}"
        return errors.NONE, ""

    def _shutdown_reason(self, existing: BrokerState, request: BrokerRegistrationRequest, *, clean: bool) -> Because:
        if clean:
            return because(facts.FENCED_BROKER, broker=existing.id)
        named, stored = request.previous_broker_epoch, existing.epoch
        return because(facts.UNCLEAN_SHUTDOWN, broker=existing.id, named=named, stored=stored)

    def unregister(self, request: UnregisterBrokerRequest) -> tuple[list[Any], UnregisterBrokerResponse]:
        """Out of the cluster and of every ISR, whether it runs or not (Kafka: ``handleBrokerUnregistered``)."""
        broker = self.state.brokers.get(request.broker_id)
        if broker is None:
            text = f"Broker ID {request.broker_id} is not currently registered"
            return [], UnregisterBrokerResponse(error_code=errors.BROKER_ID_NOT_REGISTERED, error_message=text)
        why = because(facts.UNREGISTERED, broker=broker.id)
        keys = self.replication.in_isr(broker.id)
        records = self.replication.update_leaders_and_isrs(why, keys=keys, remove=broker.id, leaving="unregistered")
        self.outbox.happened(facts.BrokerUnregistered(broker=broker.id, epoch=broker.epoch))
        records.append(UnregisterBrokerRecord(broker_id=broker.id, broker_epoch=broker.epoch))
        return records, UnregisterBrokerResponse(error_message=None)

    def register_controller(
        self, request: ControllerRegistrationRequest
    ) -> tuple[list[Any], ControllerRegistrationResponse]:
        """Every controller is taken as it says it is (KIP-919)."""
        if (self.state.features.get(METADATA_VERSION) or 0) < CONTROLLER_REGISTRATION:
            text = "The version of API is not supported."
            return [], ControllerRegistrationResponse(error_code=errors.UNSUPPORTED_VERSION, error_message=text)
        self.outbox.happened(facts.ControllerRegistered(controller=request.controller_id))
        record = RegisterControllerRecord(
            controller_id=request.controller_id,
            incarnation_id=request.incarnation_id,
            end_points=tuple(
                ControllerEndpoint(name=at.name, host=at.host, port=at.port, security_protocol=at.security_protocol)
                for at in request.listeners
            ),
            features=tuple(
                ControllerFeature(
                    name=f.name,
                    min_supported_version=f.min_supported_version,
                    max_supported_version=f.max_supported_version,
                )
                for f in request.features
            ),
        )
        return [record], ControllerRegistrationResponse(error_message=None)

    # -------------------------------------------------------------------------- heartbeats

    def check_epoch(self, broker: int, epoch: int) -> int:
        known = self.state.brokers.get(broker)
        stale = known is None or known.epoch != epoch
        return errors.STALE_BROKER_EPOCH if stale and self.safeguards.check_broker_epochs else errors.NONE

    def heartbeat(self, request: BrokerHeartbeatRequest) -> tuple[list[Any], BrokerHeartbeatResponse]:
        """One heartbeat whose epoch has been checked."""
        broker = self.state.brokers[request.broker_id]
        current = self.heartbeats.current(broker.id)
        following = self.heartbeats.next(
            broker.id,
            wants_fence=request.want_fence,
            wants_shutdown=request.want_shut_down,
            leads=request.want_shut_down and self.replication.has_leaderships(broker.id),
            offset=request.current_metadata_offset,
            registered_at=broker.registered_at,
        )
        records = self._change_state(broker, following, request) if following is not current else []
        self.heartbeats.touch(broker.id, fenced=following.is_fenced, offset=request.current_metadata_offset)
        records += self._directories_offline(broker, request)
        return records, BrokerHeartbeatResponse(
            is_caught_up=request.current_metadata_offset >= broker.registered_at,
            is_fenced=following.is_fenced,
            should_shut_down=following is BrokerControlState.SHUTDOWN_NOW,
        )

    def _directories_offline(self, broker: BrokerState, request: BrokerHeartbeatRequest) -> list[Any]:
        """Directories that failed: their replicas leave ISR and leadership (Kafka: ``handleDirectoriesOffline``)."""
        lost = [directory for directory in broker.directories if directory in request.offline_log_dirs]
        if not lost:
            return []
        records: list[Any] = []
        for directory in lost:
            why = because(facts.DIRECTORY_FAILED, broker=broker.id, directory=uuid.to_text(directory))
            keys = self.replication.in_directory(broker.id, directory)
            records += self.replication.update_leaders_and_isrs(
                why, keys=keys, remove=broker.id, leaving="on a disk that failed"
            )
        left = tuple(directory for directory in broker.directories if directory not in lost)
        record = BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, log_dirs=left)
        return [*records, record]

    def _change_state(
        self, broker: BrokerState, following: BrokerControlState, request: BrokerHeartbeatRequest
    ) -> list[Any]:
        if following is BrokerControlState.UNFENCED:
            offset = request.current_metadata_offset
            why = because(facts.CAUGHT_UP, broker=broker.id, offset=offset, registered=broker.registered_at)
            return self.unfence(broker, why)
        if following is BrokerControlState.CONTROLLED_SHUTDOWN:
            return self._start_controlled_shutdown(broker)
        rule = facts.SHUT_DOWN if following is BrokerControlState.SHUTDOWN_NOW else facts.WANTS_FENCE
        why = because(rule, broker=broker.id)
        if rule == facts.SHUT_DOWN:
            self.outbox.happened(facts.ControlledShutdownAllowed(broker=broker.id, because=why))
        return self.fence(broker, why)

    def fence(self, broker: BrokerState, why: Because) -> list[Any]:
        """Out of every ISR, and no longer a leader."""
        self.outbox.happened(facts.BrokerFenced(broker=broker.id, epoch=broker.epoch, because=why))
        records = self.replication.update_leaders_and_isrs(
            because(facts.FENCED_BROKER, broker=broker.id), keys=self.replication.in_isr(broker.id), remove=broker.id
        )
        return [*records, BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, fenced=1)]

    def unfence(self, broker: BrokerState, why: Because) -> list[Any]:
        """May lead again: partitions without a leader get one."""
        self.outbox.happened(facts.BrokerUnfenced(broker=broker.id, epoch=broker.epoch, because=why))
        record = BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, fenced=-1)
        elected = self.replication.update_leaders_and_isrs(why, keys=self.replication.leaderless(), add=broker.id)
        return [record, *elected]

    def _start_controlled_shutdown(self, broker: BrokerState) -> list[Any]:
        why = because(facts.SHUTTING_DOWN, broker=broker.id)
        self.outbox.happened(facts.ControlledShutdownStarted(broker=broker.id, because=why))
        records: list[Any] = []
        if not broker.in_controlled_shutdown:
            records.append(
                BrokerRegistrationChangeRecord(broker_id=broker.id, broker_epoch=broker.epoch, in_controlled_shutdown=1)
            )
        keys = self.replication.in_isr(broker.id)
        leaving = "in controlled shutdown"
        return records + self.replication.update_leaders_and_isrs(why, keys=keys, remove=broker.id, leaving=leaving)

    def fence_stale(self, now: Micros) -> tuple[bool, list[Any]]:
        """At most one broker whose session has ended; true when there may be more."""
        expired = self.heartbeats.pop_expired(now)
        if expired is None:
            return False, []
        id_, epoch, silent = expired
        broker = self.state.brokers.get(id_)
        if broker is None or broker.epoch != epoch:
            return True, []
        timeout = self.heartbeats.session_timeout // 1_000
        why = because(facts.SESSION, broker=id_, silent_ms=silent // 1_000, timeout_ms=timeout)
        records = self.fence(broker, why)
        self.heartbeats.touch(id_, fenced=True, offset=-1)
        return True, records


def _bad_directories(request: BrokerRegistrationRequest, state: MetadataState) -> str | None:
    """Directories that are none, or another broker's (Kafka: ``ClusterControlManager.registerBroker``)."""
    if not request.log_dirs:
        return "No directories specified in request"
    if len(set(request.log_dirs)) < len(request.log_dirs):
        return "Directory id is not unique"
    for directory in request.log_dirs:
        if directory[:15] == bytes(15) and directory[15] < 100:
            return "Reserved directory id in request"
        for broker in state.brokers.values():
            if broker.id != request.broker_id and directory in broker.directories:
                return f"Broker {broker.id} is already registered with directory {uuid.to_text(directory)}"
    return None


def _registration(request: BrokerRegistrationRequest, epoch: int, existing: BrokerState | None) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=request.broker_id,
        incarnation_id=request.incarnation_id,
        broker_epoch=epoch,
        end_points=tuple(
            BrokerEndpoint(name=at.name, host=at.host, port=at.port, security_protocol=at.security_protocol)
            for at in request.listeners
        ),
        rack=request.rack,
        fenced=True if existing is None else existing.fenced,
        in_controlled_shutdown=False if existing is None else existing.in_controlled_shutdown,
        log_dirs=request.log_dirs,
        features=tuple(
            BrokerFeature(
                name=f.name,
                min_supported_version=f.min_supported_version,
                max_supported_version=f.max_supported_version,
            )
            for f in request.features
        ),
    )
