"""Hands out producer ids of the block that the controller gave (Kafka: ``RPCProducerIdManager``)."""

from __future__ import annotations

from collections.abc import Callable

from kafsim.controller.controller_channel import ControllerChannel
from kafsim.protocol import errors
from kafsim.protocol.messages.allocate_producer_ids import AllocateProducerIdsRequest, AllocateProducerIdsResponse
from kafsim.protocol.types import Micros, millis

PREFETCH = 0.9
PAUSE = millis(50)


class ProducerIds:
    """The next block is asked for when most of this one is used; without one, the client has to come again."""

    def __init__(self, channel: ControllerChannel, broker_id: int, broker_epoch: Callable[[], int]) -> None:
        self._channel = channel
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._next = 0
        self._end = 0
        self._prefetch_at = 0
        self._following: tuple[int, int] | None = None
        self._asking = False
        self._not_before = Micros(0)

    def take(self, now: Micros) -> int | None:
        """An id nobody else has, None when there is none yet (COORDINATOR_LOAD_IN_PROGRESS)."""
        if self._next >= self._end:
            if self._following is None:
                self._ask(now)
                return None
            self._begin(*self._following)
            self._following = None
        taken = self._next
        self._next += 1
        if taken == self._prefetch_at and self._following is None:
            self._ask(now)
        return taken

    def _begin(self, start: int, length: int) -> None:
        self._next, self._end = start, start + length
        self._prefetch_at = start + int(length * PREFETCH)

    def _ask(self, now: Micros) -> None:
        if self._asking or now < self._not_before:
            return
        self._asking = True
        request = AllocateProducerIdsRequest(broker_id=self._broker_id, broker_epoch=self._broker_epoch())
        self._channel.send(now, request, self._on_answer)

    def _on_answer(self, now: Micros, response: AllocateProducerIdsResponse | None) -> None:
        self._asking = False
        if response is None or response.error_code != errors.NONE:
            self._not_before = Micros(now + PAUSE)
        else:
            self._following = (response.producer_id_start, response.producer_id_len)
