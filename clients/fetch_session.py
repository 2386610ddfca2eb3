"""A client's side of a fetch session with one broker (Kafka: ``FetchSessionHandler``): what to name in a request."""

from __future__ import annotations

import attrs

from kafsim.protocol import errors
from kafsim.protocol.messages.fetch import FetchPartition, FetchResponse, FetchTopic, ForgottenTopic
from kafsim.protocol.uuid import Uuid

PartitionKey = tuple[Uuid, int]


@attrs.frozen
class FetchParts:
    """The parts of a request that a session decides."""

    session_id: int
    session_epoch: int
    topics: tuple[FetchTopic, ...]
    forgotten: tuple[ForgottenTopic, ...]


class FetchSessionHandler:
    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        self._known: dict[PartitionKey, FetchPartition] = {}

    def build(self, wanted: dict[PartitionKey, FetchPartition]) -> FetchParts:
        """Everything in a full request, otherwise what changed; and what is not wanted any more."""
        if self._epoch == 0:
            named, gone = wanted, []
        else:
            named = {key: asked for key, asked in wanted.items() if self._known.get(key) != asked}
            gone = [key for key in self._known if key not in wanted]
        self._known = dict(wanted)
        topics: dict[Uuid, list[FetchPartition]] = {}
        for (topic_id, _), asked in named.items():
            topics.setdefault(topic_id, []).append(asked)
        forgotten: dict[Uuid, list[int]] = {}
        for topic_id, index in gone:
            forgotten.setdefault(topic_id, []).append(index)
        return FetchParts(
            self._id,
            self._epoch,
            tuple(FetchTopic(topic_id=id_, partitions=tuple(p)) for id_, p in topics.items()),
            tuple(ForgottenTopic(topic_id=id_, partitions=tuple(p)) for id_, p in forgotten.items()),
        )

    def take(self, response: FetchResponse) -> bool:
        """Go on with the session, or begin a new one. False when the answer holds nothing of use."""
        if response.error_code:
            if response.error_code == errors.FETCH_SESSION_ID_NOT_FOUND:
                self._id = 0
            self._epoch = 0
            return False
        if response.session_id == 0:
            self._id = self._epoch = 0
        else:
            self._id = response.session_id
            self._epoch = 1 if self._epoch == 0 else self._epoch + 1
        return True

    def lost(self) -> None:
        """No answer came: the next request is full, and ends the session if it is still there."""
        self._epoch = 0
