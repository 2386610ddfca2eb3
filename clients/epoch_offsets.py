"""Commits and questions of a member of the consumer protocol, which carry its epoch (Kafka: ``CommitRequestManager``).

A commit may come at any time, also while the group rebalances; the coordinator takes it if the member has had the
partition all the while.
"""

from __future__ import annotations

from typing import Any

from kafsim.clients.consumer_membership import ConsumerMembership
from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import CommitFailedError, KafkaError
from kafsim.clients.group_offsets import ANYBODY, RETRIABLE, GroupOffsets, Offsets, OnCommitted
from kafsim.clients.membership import Generation
from kafsim.clients.network import Lost
from kafsim.protocol import errors
from kafsim.protocol.messages.offset_commit import OffsetCommitResponse
from kafsim.protocol.types import Micros

UNKNOWN_MEMBER = "OffsetCommit failed with unknown member ID. The coordinator is not aware of this member."
STALE = (
    "OffsetCommit failed with stale member epoch. The member epoch is stale. The member must retry after receiving its "
    "updated member epoch via the ConsumerGroupHeartbeat API."
)


class EpochOffsets(GroupOffsets):
    """``member``: None for a consumer whose partitions are assigned by hand."""

    retriable_fetch = RETRIABLE | {errors.STALE_MEMBER_EPOCH}

    def __init__(self, channel: CoordinatorChannel, settings: dict[str, Any]) -> None:
        super().__init__(channel, settings)
        self.member: ConsumerMembership | None = None

    def _commit(self, now: Micros, offsets: Offsets, then: OnCommitted, *, known: bool) -> None:
        if known:
            self._send_commit(now, offsets, self._who(), then)
        else:
            then(now, self._not_known())

    def commit_once_known(self, now: Micros, offsets: Offsets, then: OnCommitted) -> None:
        """However long the coordinator has to be looked for."""

        def known(at: Micros, is_known: bool) -> None:
            if is_known or self._channel.failed is not None:
                self._commit(at, offsets, then, known=is_known)
            else:
                self._channel.when_known(at, known)

        if offsets:
            self._channel.when_known(now, known)
        else:
            then(now, None)

    def _who(self) -> Generation:
        return ANYBODY if self.member is None else self.member.generation

    def _asks_as(self) -> tuple[str | None, int]:
        who = self._who()
        return (None, -1) if who.id < 0 else (who.member, who.id)

    def _instance(self) -> str | None:
        instance: str | None = self._settings["group.instance.id"]
        return instance

    def _outcome(self, now: Micros, response: OffsetCommitResponse | Lost, who: Generation) -> KafkaError | None:
        error = super()._outcome(now, response, who)
        if error is not None and error.code == errors.STALE_MEMBER_EPOCH:
            return KafkaError(errors.STALE_MEMBER_EPOCH, STALE)
        return error

    def _not_a_member(self, error: int, who: Generation) -> KafkaError:
        return CommitFailedError(UNKNOWN_MEMBER) if error == errors.UNKNOWN_MEMBER_ID else KafkaError(error)
