"""How a controller makes itself known to the cluster (Kafka: ``ControllerRegistrationManager``, KIP-919).

It tells the active controller, which may be itself, its endpoint and the features that it speaks. That it is registered
it learns from the metadata log; as long as it is not, it tries again, after ever longer pauses.
"""

from __future__ import annotations

from kafsim.controller.controller_channel import LISTENER, ControllerChannel
from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol import errors
from kafsim.protocol.features import CONTROLLER_REGISTRATION, METADATA_VERSION, SUPPORTED
from kafsim.protocol.messages.controller_registration import (
    ControllerRegistrationRequest,
    ControllerRegistrationResponse,
    Feature,
    Listener,
)
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Micros, millis

TIMER = "registration-retry"
FIRST, MOST = millis(100), millis(120_000)
PORT = 9093


class ControllerRegistration:
    """``state``: the metadata as this node has it."""

    def __init__(self, given: Surroundings, channel: ControllerChannel, state: MetadataState) -> None:
        self._outbox = given.outbox
        self._channel = channel
        self._state = state
        self._id = given.address.id
        self._asking = False
        self._failures = 0
        self._request = ControllerRegistrationRequest(
            controller_id=self._id,
            incarnation_id=given.entropy.uuid(),
            listeners=(Listener(name=LISTENER, host=str(given.address), port=PORT),),
            features=tuple(
                Feature(name=name, min_supported_version=range_.low, max_supported_version=range_.high)
                for name, range_ in SUPPORTED.items()
            ),
        )

    @property
    def _is_wanted(self) -> bool:
        level = self._state.features.get(METADATA_VERSION) or 0
        known = self._state.controllers.get(self._id)
        return level >= CONTROLLER_REGISTRATION and (
            known is None or known.incarnation_id != self._request.incarnation_id
        )

    def on_metadata(self, now: Micros) -> None:
        """The metadata has gone forward."""
        if self._is_wanted and not self._asking and not self._failures:
            self._send(now)

    def on_timer(self, now: Micros) -> None:
        if self._is_wanted and not self._asking:
            self._send(now)

    def _send(self, now: Micros) -> None:
        self._asking = True
        self._channel.send(now, self._request, self._on_answer)

    def _on_answer(self, now: Micros, response: ControllerRegistrationResponse | None) -> None:
        self._asking = False
        if response is not None and response.error_code == errors.NONE:
            self._failures = 0
            return
        pause = min(FIRST << min(self._failures, 20), MOST)
        self._failures += 1
        self._outbox.set_timer(TIMER, Micros(now + pause))
