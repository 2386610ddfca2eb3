"""Finds the coordinator of a group, and a connection of its own to it (Kafka: ``AbstractCoordinator``).

Any broker is asked for it. It is unknown again when its connection breaks or cannot be made, or when it says that it is
not the one. What is sent before the connection stands goes out with it, or is lost (Kafka: ``ConsumerNetworkClient``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
OnKnown = Callable[[Micros, bool], None]


class Unsent(NamedTuple):
    """A request that waits for the connection to ``node``."""

    node: int
    api: int
    body: Any
    on_answer: OnAnswer
    version: int
    timeout: Micros | None


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
        self._unsent: list[Unsent] = []
        self._waiting: list[OnKnown] = []

    @property
    def is_known(self) -> bool:
        return self._node is not None

    def ensure(self, now: Micros) -> bool:
        """May requests be sent now? If not, the coordinator is looked up."""
        if self._node is not None and self._network.is_unavailable(now, self._node):
            self._node = None
            self._pause(now)
        if self._node is None:
            self._find(now)
            return False
        self._network.is_ready(now, self._node)
        return True

    def when_known(self, now: Micros, then: OnKnown) -> None:
        """Tell at once, or when the lookup has ended, whether requests may be sent."""
        if self.ensure(now):
            then(now, True)
        else:
            self._waiting.append(then)

    def run(self, now: Micros) -> None:
        """Send what waited for the connection; go on with the lookup that somebody waits for."""
        unsent, self._unsent = self._unsent, []
        for one in unsent:
            if self._network.is_ready(now, one.node):
                self._send(now, one)
            elif self._network.is_unavailable(now, one.node):
                one.on_answer(now, Lost(timed_out=False))
            else:
                self._unsent.append(one)
        if self._waiting and self.ensure(now):
            self._tell_waiting(now, known=True)

    def _tell_waiting(self, now: Micros, *, known: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(now, known and self._node is not None)  # what one of them does may lose the coordinator

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
            self._not_found(now)
        elif self._network.is_ready(now, node):
            self._is_asking = True
            request = FindCoordinatorRequest(key_type=GROUP, coordinator_keys=(self._group,))
            self._network.send(now, node, FIND_COORDINATOR, request, self._found, version=VERSION)

    def _not_found(self, now: Micros) -> None:
        self._pause(now)
        self._tell_waiting(now, known=False)

    def _found(self, now: Micros, response: FindCoordinatorResponse | Lost) -> None:
        self._is_asking = False
        if isinstance(response, Lost):
            self._not_found(now)
            return
        answer = response.coordinators[0]
        if answer.error_code == errors.NONE:
            self._node, self._attempts = COORDINATOR + answer.node_id, 0
            self._network.is_ready(now, self._node)
            self.on_found(now)
            self._tell_waiting(now, known=True)
        elif answer.error_code in RETRIABLE:
            self._not_found(now)
            self._metadata.request_update(now)
        else:
            self.failed = KafkaError(answer.error_code)
            self._tell_waiting(now, known=False)

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

        one = Unsent(node, api, body, answered, version, timeout)
        if self._network.is_ready(now, node):
            self._send(now, one)
        else:
            self._unsent.append(one)

    def _send(self, now: Micros, one: Unsent) -> None:
        self._network.send(now, one.node, one.api, one.body, one.on_answer, version=one.version, timeout=one.timeout)

    def forget(self, now: Micros) -> None:
        """Somebody else coordinates the group; what is under way to the one that was known is lost."""
        node, self._node = self._node, None
        if node is None:
            return
        self._network.close(now, node)
        lost, self._unsent = self._unsent, []
        for one in lost:
            one.on_answer(now, Lost(timed_out=False))
