"""FindCoordinator (10), version 6: which broker coordinates a group.

Behaviour: the leader of the group's partition of ``__consumer_offsets``; COORDINATOR_NOT_AVAILABLE while there is none.
The topic is created when it is asked for first, whatever auto.create.topics.enable says.
"""

from __future__ import annotations

from collections.abc import Callable

from kafsim.controller.metadata_state import MetadataState
from kafsim.coordinator.coordinator_runtime import TOPIC
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse
from kafsim.protocol.types import ConnectionId, Header, Micros

GROUP = 0
KEYS_SINCE = 4


class FindCoordinatorApi:
    """``partition_of`` maps a group to its partition; ``create`` asks the controller for the topic."""

    def __init__(
        self,
        outbox: Outbox,
        metadata: MetadataState,
        partition_of: Callable[[str], int],
        create: Callable[[Micros, str], None],
    ) -> None:
        self._outbox = outbox
        self._metadata = metadata
        self._partition_of = partition_of
        self._create = create

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: FindCoordinatorRequest) -> None:
        if header.version >= KEYS_SINCE:
            found = tuple(self._find(now, request.key_type, key) for key in request.coordinator_keys)
            answer = FindCoordinatorResponse(coordinators=found)
        else:
            one = self._find(now, request.key_type, request.key)
            answer = FindCoordinatorResponse(
                error_code=one.error_code,
                error_message=_TEXTS.get(one.error_code, errors.name(one.error_code)),
                node_id=one.node_id,
                host=one.host,
                port=one.port,
            )
        self._outbox.reply(connection, header, answer)

    def _find(self, now: Micros, key_type: int, key: str) -> Coordinator:
        if key_type != GROUP:
            return _nobody(key, errors.INVALID_REQUEST)
        topic_id = self._metadata.topic_ids.get(TOPIC)
        if topic_id is None:
            self._create(now, TOPIC)
            return _nobody(key, errors.COORDINATOR_NOT_AVAILABLE)
        state = self._metadata.partitions.get((topic_id, self._partition_of(key)))
        broker = None if state is None else self._metadata.brokers.get(state.leader)
        if broker is None or broker.fenced or not broker.end_points:
            return _nobody(key, errors.COORDINATOR_NOT_AVAILABLE)
        end_point = broker.end_points[0]
        return Coordinator(key=key, node_id=broker.id, host=end_point.host, port=end_point.port)


_TEXTS = {
    errors.COORDINATOR_NOT_AVAILABLE: "The coordinator is not available.",
    errors.INVALID_REQUEST: (
        "This most likely occurs because of a request being malformed by the client library or the message was sent "
        "to an incompatible broker. See the broker logs for more details."
    ),
}
"""As old clients show them."""


def _nobody(key: str, error: int) -> Coordinator:
    return Coordinator(key=key, node_id=-1, port=-1, error_code=error)
