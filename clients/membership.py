"""The part of a consumer in a classic group: join, sync, heartbeat, leave (Kafka: ``AbstractCoordinator``).

UNJOINED      no member: before the first join, after it left, or after it was told that it is none
PREPARING     a join is asked for, and answered when all others have joined too
COMPLETING    the generation is known, and the assignment is asked for
STABLE        the assignment is known

UNJOINED    --poll-->                                   PREPARING
PREPARING   --joined-->                                 COMPLETING
COMPLETING  --assigned-->                               STABLE
STABLE      --poll after a reason to join again-->      PREPARING
any         --unknown member, stale generation, left--> UNJOINED

Joins begin and end while somebody polls; heartbeats go on beside that, as in Kafka's thread for them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from kafsim.clients.coordinator_channel import CoordinatorChannel
from kafsim.clients.errors import KafkaError
from kafsim.clients.network import Lost
from kafsim.protocol import errors
from kafsim.protocol.consumer_protocol import PROTOCOL_TYPE
from kafsim.protocol.effects import Outbox
from kafsim.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafsim.protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kafsim.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafsim.protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse
from kafsim.protocol.types import Micros, millis

JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 11, 12, 13, 14
HEARTBEAT_TIMER, RETRY_TIMER = "heartbeat", "join-retry"
_BEYOND_REBALANCE_MS = 5_000
REASON_LENGTH = 255


class MemberState(enum.Enum):
    UNJOINED = enum.auto()
    PREPARING = enum.auto()
    COMPLETING = enum.auto()
    STABLE = enum.auto()


class Generation(NamedTuple):
    """-1 and an empty member id before the first join."""

    id: int = -1
    member: str = ""
    protocol: str | None = None

    @property
    def is_none(self) -> bool:
        return self.id < 0 or not self.member


class Hooks(Protocol):
    """What the consumer does in a rebalance."""

    def prepare(self, now: Micros, generation: Generation) -> bool:
        """Before a join; false while something has to be waited for first."""
        ...

    def protocols(self, generation: Generation) -> tuple[JoinGroupRequestProtocol, ...]: ...
    def assign(self, now: Micros, joined: JoinGroupResponse) -> dict[str, bytes] | None:
        """As the leader; None while the topics are not known yet."""
        ...

    def complete(self, now: Micros, generation: Generation, assignment: bytes) -> None: ...


_AT_ONCE = frozenset(
    {errors.UNKNOWN_MEMBER_ID, errors.ILLEGAL_GENERATION, errors.REBALANCE_IN_PROGRESS, errors.MEMBER_ID_REQUIRED}
)
"""After these the member joins again without a pause."""
_NOT_HERE = frozenset({errors.COORDINATOR_NOT_AVAILABLE, errors.NOT_COORDINATOR})
_LATER = frozenset({errors.COORDINATOR_LOAD_IN_PROGRESS, errors.NETWORK_EXCEPTION, *_NOT_HERE})
LOST = errors.NETWORK_EXCEPTION


class Membership:
    """``settings``: parsed consumer settings; ``is_polling``: does somebody poll at this moment?"""

    def __init__(
        self,
        outbox: Outbox,
        channel: CoordinatorChannel,
        settings: dict[str, Any],
        hooks: Hooks,
        is_polling: Callable[[], bool],
    ) -> None:
        self.state = MemberState.UNJOINED
        self.generation = Generation()
        self.failed: KafkaError | None = None
        """What heartbeats found out, told to the next poll."""
        self._outbox = outbox
        self._channel = channel
        self._settings = settings
        self._hooks = hooks
        self._is_polling = is_polling
        self._rejoin_needed = True
        self._reason = ""
        self._needs_prepare = True
        self._is_joining = False
        """A join is under way, or its outcome has not been looked at."""
        self._outcome: bytes | int | KafkaError | None = None
        """The assignment, or the error, of the join under way."""
        self._to_assign: JoinGroupResponse | None = None
        self._unread: Callable[[Micros], None] | None = None
        """The answer to a join that came between two polls."""
        self._joins = 0
        self._retry_at = Micros(0)
        self._next_heartbeat = self._session_over = self._polled = Micros(0)
        self._heartbeat_under_way = False
        channel.on_found = self._on_coordinator

    @property
    def is_to_join(self) -> bool:
        """Is a join wanted, and none under way?"""
        return self._rejoin_needed and not self._is_joining

    @property
    def is_rebalancing(self) -> bool:
        return self.state in (MemberState.PREPARING, MemberState.COMPLETING)

    @property
    def _has_joined(self) -> bool:
        return self.state in (MemberState.COMPLETING, MemberState.STABLE)

    def request_rejoin(self, reason: str, *, unless_wanted: bool = False) -> None:
        if not (unless_wanted and self._rejoin_needed):
            self._rejoin_needed, self._reason = True, reason

    # -------------------------------------------------------------------------------- join

    def on_poll(self, now: Micros) -> None:
        self._polled = now
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed

    def ensure_active(self, now: Micros) -> bool:
        """Is there an assignment that nothing is known against? What fails for good is raised."""
        while self._rejoin_needed or self._is_joining:
            if not self._channel.ensure(now) and not self._is_joining:
                self._raise_lookup()
                return False
            if not self._is_joining and not self._begin(now):
                return False
            unread, self._unread = self._unread, None
            if unread is not None:
                unread(now)
            self._maybe_assign(now)
            outcome, self._outcome = self._outcome, None
            if outcome is None:
                return False
            if isinstance(outcome, bytes):
                self._outcome = outcome  # taken once more at the next poll if this fails
                self._finish(now, outcome)
                self._outcome, self._is_joining = None, False
                continue
            self._is_joining = False
            if isinstance(outcome, KafkaError):
                self.request_rejoin(f"rebalance failed due to {outcome.name}")
                raise outcome
            if not self._retry(now, outcome):
                return False
        return True

    def _raise_lookup(self) -> None:
        failed, self._channel.failed = self._channel.failed, None
        if failed is not None:
            raise failed

    def _begin(self, now: Micros) -> bool:
        if self._needs_prepare:
            self._needs_prepare = False
            if not self._hooks.prepare(now, self.generation):
                self._needs_prepare = True
                return False
        if now < self._retry_at:
            self._outbox.set_timer(RETRY_TIMER, self._retry_at)
            return False
        self._send_join(now)
        return True

    def _send_join(self, now: Micros) -> None:
        self._is_joining, self.state = True, MemberState.PREPARING
        self._joins += 1
        rebalance = self._settings["max.poll.interval.ms"]
        request = JoinGroupRequest(
            group_id=self._settings["group.id"],
            session_timeout_ms=self._settings["session.timeout.ms"],
            rebalance_timeout_ms=rebalance,
            member_id=self.generation.member,
            group_instance_id=self._settings["group.instance.id"],
            protocol_type=PROTOCOL_TYPE,
            protocols=self._hooks.protocols(self.generation),
            reason=self._reason[:REASON_LENGTH],
        )
        timeout = millis(max(self._settings["request.timeout.ms"], rebalance + _BEYOND_REBALANCE_MS))
        sent, number = self.generation, self._joins
        self._channel.send(
            now,
            JOIN_GROUP,
            request,
            lambda at, answer: self._joined(at, answer, sent, number),
            version=9,
            timeout=timeout,
        )

    def _joined(self, now: Micros, answer: JoinGroupResponse | Lost, sent: Generation, number: int) -> None:
        """Nobody reads the answer before somebody polls: Kafka's thread for heartbeats rests during a join."""
        if not self._is_polling():
            self._unread = lambda at: self._joined(at, answer, sent, number)
            return
        if number != self._joins:
            return
        error = LOST if isinstance(answer, Lost) else answer.error_code
        if isinstance(answer, Lost) or error:
            self._join_failed(now, error, sent, "" if isinstance(answer, Lost) else answer.member_id)
        elif self.state is not MemberState.PREPARING:
            self._outcome = errors.REBALANCE_IN_PROGRESS  # a heartbeat found out otherwise meanwhile
        else:
            self.state = MemberState.COMPLETING
            self.generation = Generation(answer.generation_id, answer.member_id, answer.protocol_name)
            self._enable_heartbeats(now)
            if answer.leader == answer.member_id:
                self._to_assign = answer
                self._maybe_assign(now)
            else:
                self._send_sync(now, {})

    def _join_failed(self, now: Micros, error: int, sent: Generation, member: str) -> None:
        if error == errors.UNKNOWN_MEMBER_ID:
            if self.generation == sent:
                self._reset(keep_member=False)
                self._needs_prepare = True
        elif error == errors.MEMBER_ID_REQUIRED:
            self.generation = Generation(member=member)
            self.request_rejoin(f"need to re-join with the given member-id: {member}")
        elif error in _NOT_HERE:
            self._channel.forget(now)
        self._outcome = error

    def _maybe_assign(self, now: Micros) -> None:
        """The leader's part, as soon as the topics are known."""
        joined = self._to_assign
        if joined is None:
            return
        try:
            assignments = self._hooks.assign(now, joined)
        except KafkaError as error:
            self._to_assign = None
            self._outcome = error
            return
        if assignments is not None:
            self._to_assign = None
            self._send_sync(now, assignments)

    def _send_sync(self, now: Micros, assignments: dict[str, bytes]) -> None:
        if not self._channel.is_known:
            self._outcome = LOST
            return
        sent, number = self.generation, self._joins
        request = SyncGroupRequest(
            group_id=self._settings["group.id"],
            generation_id=sent.id,
            member_id=sent.member,
            group_instance_id=self._settings["group.instance.id"],
            protocol_type=PROTOCOL_TYPE,
            protocol_name=sent.protocol,
            assignments=tuple(
                SyncGroupRequestAssignment(member_id=member, assignment=data) for member, data in assignments.items()
            ),
        )
        self._channel.send(
            now, SYNC_GROUP, request, lambda at, answer: self._synced(at, answer, sent, number), version=5
        )

    def _synced(self, now: Micros, answer: SyncGroupResponse | Lost, sent: Generation, number: int) -> None:
        if number != self._joins:
            return
        error = LOST if isinstance(answer, Lost) else answer.error_code
        if isinstance(answer, Lost) or error:
            if error in (errors.UNKNOWN_MEMBER_ID, errors.ILLEGAL_GENERATION) and self.generation == sent:
                self._reset(keep_member=error == errors.ILLEGAL_GENERATION)
                self._needs_prepare = True
            elif error in _NOT_HERE:
                self._channel.forget(now)
            self._outcome = error
        elif self.generation != sent or self.state is not MemberState.COMPLETING:
            self._outcome = errors.ILLEGAL_GENERATION
        else:
            self.state = MemberState.STABLE
            self._rejoin_needed, self._reason = False, ""
            self._outcome = answer.assignment

    def _finish(self, now: Micros, assignment: bytes) -> None:
        self._needs_prepare = True
        if self.generation.is_none or self.state is not MemberState.STABLE:
            text = (
                f"rebalance failed since the generation/state was modified by heartbeat thread to "
                f"{self.generation.id}/{self.state.name} before the rebalance callback triggered"
            )
            self._reset_and_rejoin(text, keep_member=False)
            return
        self._hooks.complete(now, self.generation, assignment)

    def _retry(self, now: Micros, error: int) -> bool:
        """Go on at once? After a pause, or what failed for good is raised."""
        if error != errors.MEMBER_ID_REQUIRED:
            self.request_rejoin(f"rebalance failed due to {errors.name(error)}")
        if error in _AT_ONCE:
            return True
        if error not in _LATER:
            raise KafkaError(error, _TEXTS.get(error))
        self._retry_at = Micros(now + millis(self._settings["retry.backoff.ms"]))
        self._outbox.set_timer(RETRY_TIMER, self._retry_at)
        return False

    # --------------------------------------------------------------------------- heartbeat

    def _enable_heartbeats(self, now: Micros) -> None:
        self._polled = now
        self._next_heartbeat = Micros(now + millis(self._settings["heartbeat.interval.ms"]))
        self._on_coordinator(now)
        self._arm(now)

    def _on_coordinator(self, now: Micros) -> None:
        self._session_over = Micros(now + millis(self._settings["session.timeout.ms"]))

    @property
    def _poll_over(self) -> Micros:
        return Micros(self._polled + millis(self._settings["max.poll.interval.ms"]))

    def _arm(self, now: Micros) -> None:
        at = min(self._session_over, self._poll_over)
        if not self._heartbeat_under_way:
            at = min(at, self._next_heartbeat)
        self._outbox.set_timer(HEARTBEAT_TIMER, Micros(max(at, now + 1)))

    def on_timer(self, now: Micros) -> None:
        """One step of what Kafka's heartbeat thread does."""
        if not self._has_joined:
            return
        if self._is_polling():
            self._polled = now
        pause = Micros(now + millis(self._settings["retry.backoff.ms"]))
        if not self._channel.ensure(now):
            self._outbox.set_timer(HEARTBEAT_TIMER, pause)
        elif now >= self._session_over:
            self._channel.forget(now)
            self._outbox.set_timer(HEARTBEAT_TIMER, pause)
        elif now >= self._poll_over:
            self.leave(now, "consumer poll timeout has expired.")
        else:
            if now >= self._next_heartbeat and not self._heartbeat_under_way:
                self._send_heartbeat(now)
            self._arm(now)

    def _send_heartbeat(self, now: Micros) -> None:
        self._heartbeat_under_way = True
        self._next_heartbeat = Micros(now + millis(self._settings["heartbeat.interval.ms"]))
        sent = self.generation
        request = HeartbeatRequest(
            group_id=self._settings["group.id"],
            generation_id=sent.id,
            member_id=sent.member,
            group_instance_id=self._settings["group.instance.id"],
        )
        self._channel.send(now, HEARTBEAT, request, lambda at, answer: self._heard(at, answer, sent), version=4)

    def _heard(self, now: Micros, answer: HeartbeatResponse | Lost, sent: Generation) -> None:
        self._heartbeat_under_way = False
        error = LOST if isinstance(answer, Lost) else answer.error_code
        if error == errors.REBALANCE_IN_PROGRESS and self.state is MemberState.STABLE:
            self.request_rejoin("group is already rebalancing")
        elif error in (errors.ILLEGAL_GENERATION, errors.UNKNOWN_MEMBER_ID, errors.FENCED_INSTANCE_ID):
            if self.generation == sent:
                self.reset_after(error, "HEARTBEAT")
                if error == errors.FENCED_INSTANCE_ID:
                    self.failed = KafkaError(error)
        elif error in _NOT_HERE:
            self._channel.forget(now)
        if error in (errors.NONE, errors.REBALANCE_IN_PROGRESS):
            self._on_coordinator(now)
        else:
            self._next_heartbeat = Micros(now + millis(self._settings["retry.backoff.ms"]))
        if self._has_joined:
            self._arm(now)

    # ----------------------------------------------------------------------- reset and leave

    def reset_after(self, error: int, request: str) -> None:
        """It is told that it is no member, or not of this generation."""
        reason = f"encountered {errors.name(error)} from {request} response"
        self._reset_and_rejoin(reason, keep_member=error == errors.ILLEGAL_GENERATION)

    def _reset(self, *, keep_member: bool) -> None:
        self.state = MemberState.UNJOINED
        self.generation = Generation(member=self.generation.member if keep_member else "")

    def _reset_and_rejoin(self, reason: str, *, keep_member: bool) -> None:
        self._reset(keep_member=keep_member)
        self.request_rejoin(reason)
        self._needs_prepare = True

    def leave(self, now: Micros, reason: str, on_left: Callable[[Micros], None] = lambda _: None) -> None:
        """Tell the coordinator, unless this is a static member, which may come back."""
        left = self.generation
        tells = (
            self.state is not MemberState.UNJOINED
            and bool(left.member)
            and self._settings["group.instance.id"] is None
            and self._channel.ensure(now)
        )
        self._joins += 1
        self._is_joining, self._outcome, self._to_assign = False, None, None
        self._reset_and_rejoin("consumer pro-actively leaving the group", keep_member=False)
        if not tells:
            on_left(now)
            return
        member = MemberIdentity(member_id=left.member, reason=reason[:REASON_LENGTH])
        request = LeaveGroupRequest(group_id=self._settings["group.id"], members=(member,))
        self._channel.send(now, LEAVE_GROUP, request, lambda at, _: on_left(at), version=5)


_TEXTS = {
    errors.GROUP_MAX_SIZE_REACHED: "The consumer group already has the configured maximum number of members.",
}
