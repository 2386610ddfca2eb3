"""InitProducerId (22), version 5, for producers without a transactional id.

Behaviour: the first call after a start is answered COORDINATOR_LOAD_IN_PROGRESS, since the broker has no block of ids
yet. A transactional id is answered COORDINATOR_NOT_AVAILABLE: transactions are not here.
"""

from __future__ import annotations

from kafsim.broker.producer_ids import ProducerIds
from kafsim.protocol import errors
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafsim.protocol.types import ConnectionId, Header, Micros


class InitProducerIdApi:
    def __init__(self, outbox: Outbox, ids: ProducerIds) -> None:
        self._outbox = outbox
        self._ids = ids

    def handle(self, now: Micros, connection: ConnectionId, header: Header, request: InitProducerIdRequest) -> None:
        self._outbox.reply(connection, header, self._answer(now, request))

    def _answer(self, now: Micros, request: InitProducerIdRequest) -> InitProducerIdResponse:
        if request.transactional_id is not None:
            return InitProducerIdResponse(error_code=errors.COORDINATOR_NOT_AVAILABLE)
        if (request.producer_id == -1) != (request.producer_epoch == -1):
            return InitProducerIdResponse(error_code=errors.INVALID_REQUEST)
        taken = self._ids.take(now)
        if taken is None:
            return InitProducerIdResponse(error_code=errors.COORDINATOR_LOAD_IN_PROGRESS)
        return InitProducerIdResponse(producer_id=taken, producer_epoch=0)
