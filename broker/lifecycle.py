"""How a broker joins, stays and leaves (Kafka: ``BrokerLifecycleManager``).

    STARTING --caught up with the metadata--> RECOVERY --not fenced any more--> RUNNING
    RUNNING --asked to stop--> PENDING_CONTROLLED_SHUTDOWN --the controller agrees--> SHUTTING_DOWN
    any other --asked to stop--> SHUTTING_DOWN

Registration is tried again every heartbeat interval whatever went wrong; an error in a heartbeat never leads to a new
registration. A broker that cannot register within initial.broker.registration.timeout.ms, or is not let go within five
minutes, stops by itself. A running broker that was fenced goes on, and is unfenced by its next heartbeat.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from kafsim.controller.controller_channel import ControllerChannel
from kafsim.protocol import errors
from kafsim.protocol.facts.broker import BrokerStateChanged
from kafsim.protocol.features import SUPPORTED
from kafsim.protocol.messages.broker_heartbeat import BrokerHeartbeatRequest, BrokerHeartbeatResponse
from kafsim.protocol.messages.broker_registration import (
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
    Feature,
    Listener,
)
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, millis
from kafsim.protocol.uuid import Uuid

TIMER, PATIENCE_TIMER, FAILURE_TIMER = "lifecycle", "lifecycle-patience", "lifecycle-directory"
SHUTDOWN_PATIENCE = millis(300_000)
SOON = millis(10)
STOPPING_SOON = millis(50)
PORT = 9092


class BrokerLifecycleState(enum.Enum):
    STARTING = "STARTING"
    RECOVERY = "RECOVERY"
    RUNNING = "RUNNING"
    PENDING_CONTROLLED_SHUTDOWN = "PENDING_CONTROLLED_SHUTDOWN"
    SHUTTING_DOWN = "SHUTTING_DOWN"


class BrokerLifecycle:
    """``metadata_offset`` tells how far the metadata has been applied, -1 before it has caught up once."""

    def __init__(
        self,
        given: Surroundings,
        channel: ControllerChannel,
        *,
        interval: Micros,
        patience: Micros,
        cluster_id: str,
        rack: str | None,
        directories: tuple[Uuid, ...],
        failure_patience: Micros,
        previous_epoch: int,
        metadata_offset: Callable[[], int],
        on_state: Callable[[Micros, BrokerLifecycleState], None],
    ) -> None:
        self.id = given.address.id
        self.epoch = -1
        self.state = BrokerLifecycleState.STARTING
        self.ready_to_unfence = False
        self._outbox = given.outbox
        self._channel = channel
        self._interval = interval
        self._patience = patience
        self._metadata_offset = metadata_offset
        self._on_state = on_state
        self._asking = False
        self._asked_meanwhile = False
        self._shutdown_answers = 0
        self._offline: dict[Uuid, bool] = {}
        """Directories that failed, and whether the controller knows."""
        self._failure_patience = failure_patience
        self._registration = BrokerRegistrationRequest(
            broker_id=self.id,
            cluster_id=cluster_id,
            incarnation_id=given.entropy.uuid(),
            listeners=(Listener(name="PLAINTEXT", host=str(given.address), port=PORT, security_protocol=0),),
            rack=rack,
            features=tuple(
                Feature(name=name, min_supported_version=range_.low, max_supported_version=range_.high)
                for name, range_ in SUPPORTED.items()
            ),
            log_dirs=directories,
            previous_broker_epoch=previous_epoch,
        )

    def start(self, now: Micros) -> None:
        self._outbox.happened(BrokerStateChanged(state=self.state.value))
        self._outbox.set_timer(PATIENCE_TIMER, Micros(now + self._patience))
        self._channel.send(now, self._registration, self._on_registration)

    def _on_registration(self, now: Micros, response: BrokerRegistrationResponse | None) -> None:
        if response is None or response.error_code != errors.NONE:
            self._again(now, self._interval)
            return
        self.epoch = response.broker_epoch
        self._outbox.cancel_timer(PATIENCE_TIMER)
        self._heartbeat(now)

    def on_timer(self, now: Micros) -> None:
        if self.epoch < 0:
            self._channel.send(now, self._registration, self._on_registration)
        else:
            self._heartbeat(now)

    @property
    def is_running(self) -> bool:
        return self.state is BrokerLifecycleState.RUNNING

    def on_patience_over(self, now: Micros) -> None:
        """Nobody took the registration, or nobody let this broker go: it stops all the same."""
        if self.state is not BrokerLifecycleState.SHUTTING_DOWN:
            self._become(now, BrokerLifecycleState.SHUTTING_DOWN)

    def set_ready_to_unfence(self, now: Micros) -> None:
        """The metadata has been applied: from now on the broker wants to serve."""
        self.ready_to_unfence = True
        self._heartbeat(now)

    def propagate_failure(self, now: Micros, directory: Uuid) -> None:
        """A directory has failed: the controller has to know, or this broker stops (KIP-858).

        As in Kafka a second failure takes over the time that the first one was given.
        """
        self._offline[directory] = False
        self._outbox.set_timer(FAILURE_TIMER, Micros(now + self._failure_patience))
        self._heartbeat(now)

    def on_failure_untold(self, now: Micros) -> None:
        if not all(self._offline.values()):
            self.begin_controlled_shutdown(now)

    def begin_controlled_shutdown(self, now: Micros) -> None:
        if self.state is BrokerLifecycleState.RUNNING:
            self._become(now, BrokerLifecycleState.PENDING_CONTROLLED_SHUTDOWN)
            self._outbox.set_timer(PATIENCE_TIMER, Micros(now + SHUTDOWN_PATIENCE))
            self._heartbeat(now)
        elif self.state is not BrokerLifecycleState.PENDING_CONTROLLED_SHUTDOWN:
            self._become(now, BrokerLifecycleState.SHUTTING_DOWN)

    def _heartbeat(self, now: Micros) -> None:
        if self._asking:
            self._asked_meanwhile = True
            return
        if self.epoch < 0 or self.state is BrokerLifecycleState.SHUTTING_DOWN:
            return
        self._asking = True
        self._outbox.cancel_timer(TIMER)
        request = BrokerHeartbeatRequest(
            broker_id=self.id,
            broker_epoch=self.epoch,
            current_metadata_offset=self._metadata_offset(),
            want_fence=not self.ready_to_unfence,
            want_shut_down=self.state is BrokerLifecycleState.PENDING_CONTROLLED_SHUTDOWN,
            offline_log_dirs=tuple(self._offline),
        )
        self._channel.send(now, request, self._on_heartbeat)

    def _on_heartbeat(self, now: Micros, response: BrokerHeartbeatResponse | None) -> None:
        self._asking = False
        asked, self._asked_meanwhile = self._asked_meanwhile, False
        if response is None or response.error_code != errors.NONE:
            self._again(now, self._interval)
            return
        for directory in self._offline:
            self._offline[directory] = True
        delay = self._after_heartbeat(now, response)
        if self.state is not BrokerLifecycleState.SHUTTING_DOWN and not self._asking:
            self._again(now, Micros(0) if asked else delay)

    def _after_heartbeat(self, now: Micros, response: BrokerHeartbeatResponse) -> Micros:
        """What the answer changes; how long to wait for the next one."""
        if self.state is BrokerLifecycleState.STARTING:
            if response.is_caught_up:
                self._become(now, BrokerLifecycleState.RECOVERY)
            return SOON
        if self.state is BrokerLifecycleState.RECOVERY and not response.is_fenced:
            self._become(now, BrokerLifecycleState.RUNNING)
        elif self.state is BrokerLifecycleState.PENDING_CONTROLLED_SHUTDOWN:
            self._shutdown_answers += 1
            if response.should_shut_down:
                self._become(now, BrokerLifecycleState.SHUTTING_DOWN)
            elif self._shutdown_answers == 1:
                return STOPPING_SOON
        return self._interval

    def _again(self, now: Micros, delay: Micros) -> None:
        self._outbox.set_timer(TIMER, Micros(now + delay))

    def _become(self, now: Micros, state: BrokerLifecycleState) -> None:
        self.state = state
        self._outbox.happened(BrokerStateChanged(state=state.value))
        self._on_state(now, state)
