"""Finds the coordinator of a group, and a connection of its own to it (Kafka: ``AbstractCoordinator``).

Any broker is asked for it. It is unknown again when its connection breaks, or when it says that it is not the one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafsim.clients.backoff import Backoff
from kafsim.clients.errors import KafkaError
from kafsim.clients.metadata import ClientMetadata
from kafsim.clients.network import COORDINATOR, ClientNetwork, Lost
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kafsim.protocol.types import Micros

FIND_COORDINATOR, VERSION, GROUP = 10, 6, 0
TIMER = "coordinator-retry"
RETRIABLE = frozenset({errors.COORDINATOR_LOAD_IN_PROGRESS, errors.COORDINATOR_NOT_AVAILABLE, errors.NOT_COORDINATOR})
OnAnswer = Callable[[Micros, Any], None]


class CoordinatorChannel:
    """``on_found`` is told of each coordinator that was found."""

    def __init__(
        self, outbox: Outbox, network: ClientNetwork, metadata: ClientMetadata, backoff: Backoff, group: str
    ) -> None:
        self.on_found: Callable[[Micros], None] = lambda _: None
        self.failed: KafkaError | None = None
        """What a lookup ended with that is not tried again."""
        self._outbox = outbox
        self._network = network
        self._metadata = metadata
        self._backoff = backoff
        self._group = group
        self._node: int | None = None
        self._is_asking = False
        self._attempts = 0
        self._not_before = Micros(0)

    @property
    def is_known(self) -> bool:
        return self._node is not None

    def ensure(self, now: Micros) -> bool:
        """May requests be sent now? If not, what is missing is under way."""
        if self._node is not None and self._network.is_unavailable(now, self._node):
            self._node = None
            self._pause(now)
        if self._node is None:
            self._find(now)
            return False
        return self._network.is_ready(now, self._node)

    def _pause(self, now: Micros) -> None:
        self._not_before = Micros(now + self._backoff.after(self._attempts))
        self._attempts += 1
        self._outbox.set_timer(TIMER, self._not_before)

    def _find(self, now: Micros) -> None:
        if self._is_asking:
            return
        if now < self._not_before:
            self._outbox.set_timer(TIMER, self._not_before)
            return
        node = self._network.least_loaded(self._metadata.nodes(), now)
        if node is None:
            self._pause(now)
        elif self._network.is_ready(now, node):
            self._is_asking = True
            request = FindCoordinatorRequest(key_type=GROUP, coordinator_keys=(self._group,))
            self._network.send(now, node, FIND_COORDINATOR, request, self._found, version=VERSION)

    def _found(self, now: Micros, response: FindCoordinatorResponse | Lost) -> None:
        self._is_asking = False
        if isinstance(response, Lost):
            self._pause(now)
            return
        answer = response.coordinators[0]
        if answer.error_code == errors.NONE:
            self._node, self._attempts = COORDINATOR + answer.node_id, 0
            self._network.is_ready(now, self._node)
            self.on_found(now)
        elif answer.error_code in RETRIABLE:
            self._pause(now)
            self._metadata.request_update(now)
        else:
            self.failed = KafkaError(answer.error_code)

    def send(
        self, now: Micros, api: int, body: Any, on_answer: OnAnswer, *, version: int, timeout: Micros | None = None
    ) -> None:
        """``on_answer`` as :meth:`ClientNetwork.send`; a lost connection makes the coordinator unknown first."""
        node = self._node
        assert node is not None, "the coordinator is known"

        def answered(at: Micros, response: Any) -> None:
            if isinstance(response, Lost) and self._node == node:
                self._node = None
            on_answer(at, response)

        self._network.send(now, node, api, body, answered, version=version, timeout=timeout)

    def forget(self, now: Micros) -> None:
        """Somebody else coordinates the group; what is under way on the connection is lost."""
        node, self._node = self._node, None
        if node is not None:
            self._network.close(now, node)
