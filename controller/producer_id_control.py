"""Hands out blocks of producer ids (Kafka: ``ProducerIdControlManager``)."""

from __future__ import annotations

from typing import Any

from kafsim.controller.metadata_state import MetadataState
from kafsim.protocol.messages.allocate_producer_ids import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from kafsim.protocol.metadata.producer_ids_record import ProducerIdsRecord

BLOCK_SIZE = 1_000


def allocate(
    state: MetadataState, request: AllocateProducerIdsRequest, error: int
) -> tuple[list[Any], AllocateProducerIdsResponse]:
    """The next block, or the error of a broker whose epoch is stale."""
    if error:
        return [], AllocateProducerIdsResponse(error_code=error)
    first = state.next_producer_id.get("next") or 0
    record = ProducerIdsRecord(
        broker_id=request.broker_id, broker_epoch=request.broker_epoch, next_producer_id=first + BLOCK_SIZE
    )
    return [record], AllocateProducerIdsResponse(producer_id_start=first, producer_id_len=BLOCK_SIZE)
