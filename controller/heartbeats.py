"""What the active controller knows of living brokers; never replicated (Kafka: ``BrokerHeartbeatManager``).

FENCED ---caught up, does not want to be fenced---> UNFENCED
UNFENCED ---wants to be fenced, or its session ends---> FENCED
UNFENCED ---wants to shut down while it leads---> CONTROLLED_SHUTDOWN ---leads nothing, all know it---> SHUTDOWN_NOW
UNFENCED or FENCED ---wants to shut down, leads nothing---> SHUTDOWN_NOW
"""

from __future__ import annotations

import enum

import attrs

from kafsim.protocol.types import Micros

FOR_EVER = 0x7FFF_FFFF_FFFF_FFFF


class BrokerControlState(enum.Enum):
    FENCED = "fenced"
    UNFENCED = "unfenced"
    CONTROLLED_SHUTDOWN = "controlled shutdown"
    SHUTDOWN_NOW = "shutdown now"

    @property
    def is_fenced(self) -> bool:
        return self in (BrokerControlState.FENCED, BrokerControlState.SHUTDOWN_NOW)


@attrs.define
class Soft:
    """One broker."""

    fenced: bool
    metadata_offset: int = -1
    controlled_shutdown_offset: int = -1

    @property
    def is_shutting_down(self) -> bool:
        return self.controlled_shutdown_offset >= 0


class Heartbeats:
    """Sessions by (broker, epoch), the longest silent first; and the soft state of each broker."""

    def __init__(self, session_timeout: Micros) -> None:
        self.session_timeout = session_timeout
        self.brokers: dict[int, Soft] = {}
        self._contacts: dict[tuple[int, int], Micros] = {}

    def begin(self) -> None:
        """A new active controller knows nobody."""
        self.brokers.clear()
        self._contacts.clear()

    # ------------------------------------------------------------------------ sessions

    def contact(self, broker: int, epoch: int, now: Micros) -> None:
        """Something was heard; the epoch is not checked yet."""
        self._contacts.pop((broker, epoch), None)
        self._contacts[broker, epoch] = now

    def has_valid_session(self, broker: int, epoch: int, now: Micros) -> bool:
        heard = self._contacts.get((broker, epoch))
        return heard is not None and now - heard <= self.session_timeout

    def pop_expired(self, now: Micros) -> tuple[int, int, int] | None:
        """One session that has ended: broker, epoch, and how long it has been silent."""
        for (broker, epoch), heard in self._contacts.items():
            if now - heard <= self.session_timeout:
                return None
            del self._contacts[broker, epoch]
            return broker, epoch, now - heard
        return None

    # ---------------------------------------------------------------------- soft state

    def register(self, broker: int, *, fenced: bool) -> None:
        """A registration, or a change of one, was replayed."""
        soft = self.brokers.get(broker)
        if soft is None:
            self.brokers[broker] = Soft(fenced)
        else:
            self.touch(broker, fenced=fenced, offset=soft.metadata_offset if soft.fenced != fenced else -1)

    def touch(self, broker: int, *, fenced: bool, offset: int) -> None:
        soft = self.brokers.setdefault(broker, Soft(fenced))
        soft.fenced, soft.metadata_offset = fenced, offset
        if fenced:
            soft.controlled_shutdown_offset = -1

    def forget(self, broker: int) -> None:
        self.brokers.pop(broker, None)

    @property
    def lowest_active_offset(self) -> int:
        """What every broker that is neither fenced nor shutting down has applied at least."""
        active = [s.metadata_offset for s in self.brokers.values() if not s.fenced and not s.is_shutting_down]
        return min(active, default=FOR_EVER)

    def current(self, broker: int) -> BrokerControlState:
        soft = self.brokers[broker]
        if soft.is_shutting_down:
            return BrokerControlState.CONTROLLED_SHUTDOWN
        return BrokerControlState.FENCED if soft.fenced else BrokerControlState.UNFENCED

    def next(
        self, broker: int, *, wants_fence: bool, wants_shutdown: bool, leads: bool, offset: int, registered_at: int
    ) -> BrokerControlState:
        """The state after a heartbeat that says this."""
        current = self.current(broker)
        if current is BrokerControlState.FENCED:
            if wants_shutdown:
                return BrokerControlState.SHUTDOWN_NOW
            caught_up = not wants_fence and offset >= registered_at
            return BrokerControlState.UNFENCED if caught_up else current
        if current is BrokerControlState.UNFENCED:
            if wants_fence:
                return BrokerControlState.SHUTDOWN_NOW if wants_shutdown else BrokerControlState.FENCED
            if wants_shutdown:
                return BrokerControlState.CONTROLLED_SHUTDOWN if leads else BrokerControlState.SHUTDOWN_NOW
            return current
        known = self.brokers[broker].controlled_shutdown_offset <= self.lowest_active_offset
        return current if leads or not known else BrokerControlState.SHUTDOWN_NOW
