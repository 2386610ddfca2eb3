"""One node of the metadata quorum: it votes, leads, follows or observes (Kafka: ``KafkaRaftClient``).

Every input is handled to its end and then polled: what is due is done, and requests go to whoever is ready. As in
Kafka nothing else is handled while epoch and vote, or what was appended, are on their way to the disk; what follows
from epoch and vote leaves after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kafsim.controller.raft import messages, raft_fetches
from kafsim.controller.raft.batch_accumulator import BatchAccumulator
from kafsim.controller.raft.disk_gate import Act, DiskGate
from kafsim.controller.raft.leader_state import LeaderState
from kafsim.controller.raft.quorum_state import (
    NEVER,
    Candidate,
    Follower,
    Prospective,
    QuorumState,
    Resigned,
    Unattached,
)
from kafsim.controller.raft.raft_elections import ElectionService
from kafsim.controller.raft.raft_fetches import FetchService
from kafsim.controller.raft.raft_following import FetchClient
from kafsim.controller.raft.raft_log import RaftLog
from kafsim.controller.raft.request_manager import RequestManager
from kafsim.controller.raft.voter_changes import VoterChanges
from kafsim.controller.raft.voter_set import ReplicaKey, Voter, VoterSet
from kafsim.controller.raft.voter_updates import VoterUpdates
from kafsim.protocol import errors
from kafsim.protocol.facts import quorum as facts
from kafsim.protocol.facts.fact import STATE, Because, because
from kafsim.protocol.messages import fetch, fetch_snapshot
from kafsim.protocol.messages.add_raft_voter import AddRaftVoterRequest, AddRaftVoterResponse
from kafsim.protocol.messages.api_versions import ApiVersionsResponse
from kafsim.protocol.messages.begin_quorum_epoch import BeginQuorumEpochRequest, BeginQuorumEpochResponse
from kafsim.protocol.messages.end_quorum_epoch import EndQuorumEpochRequest, EndQuorumEpochResponse
from kafsim.protocol.messages.remove_raft_voter import RemoveRaftVoterRequest, RemoveRaftVoterResponse
from kafsim.protocol.messages.update_raft_voter import UpdateRaftVoterRequest, UpdateRaftVoterResponse
from kafsim.protocol.messages.vote import VoteRequest, VoteResponse
from kafsim.protocol.metadata.control_records import KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter
from kafsim.protocol.surroundings import Surroundings
from kafsim.protocol.types import Address, ConnectionId, FlushKey, Header, Micros, TimerKey, millis

POLL = "raft-poll"
FETCH_TIMER = raft_fetches.TIMER
MAX_WAIT_MS = 500
SHUTDOWN_PATIENCE = millis(5_000)
CLEAN_INTERVAL = millis(60_000)


class RaftListener(Protocol):
    """Who is told of the progress of the metadata log."""

    def on_committed(self, now: Micros) -> None:
        """The high watermark has moved."""
        ...

    def on_leader_change(self, now: Micros, leader: int, epoch: int) -> None:
        """-1 for no leader. Of its own leadership a node is told when all before it is committed here."""
        ...


class RaftClient:
    """``me``: a voter when the voter set has this key; ``bootstrap``: whom to ask for the leader.

    ``can_vote``: this is a controller, which may become a voter.
    """

    def __init__(
        self,
        given: Surroundings,
        me: ReplicaKey,
        static_voters: VoterSet,
        settings: dict[str, Any],
        cluster_id: str,
        owners: dict[ConnectionId, Any],
        *,
        bootstrap: list[Address] | None = None,
        can_vote: bool = True,
    ) -> None:
        self.given = given
        self.outbox = given.outbox
        self.me = me
        self.static_voters = static_voters
        self.cluster_id = cluster_id
        self.settings = settings
        self.listeners: list[RaftListener] = []
        self.log = RaftLog(
            given,
            static_voters,
            segment_bytes=settings["metadata.log.segment.bytes"],
            segment_ms=settings["metadata.log.segment.ms"],
        )
        self._disk = DiskGate(given.outbox, self._poll)
        self.quorum = QuorumState(
            given,
            me,
            lambda: self.log.voters,
            lambda: self.log.kraft_version,
            election_timeout=millis(settings["controller.quorum.election.timeout.ms"]),
            fetch_timeout=millis(settings["controller.quorum.fetch.timeout.ms"]),
            on_persist=self._disk.persist,
        )
        self.requests = RequestManager(
            given.outbox,
            given.entropy,
            owners,
            self,
            request_timeout=millis(settings["controller.quorum.request.timeout.ms"]),
            retry_backoff=millis(settings["controller.quorum.retry.backoff.ms"]),
        )
        self.elections = ElectionService(self)
        self.fetches = FetchService(self)
        self.following = FetchClient(self)
        self.voter_changes = VoterChanges(self, millis(settings["controller.quorum.request.timeout.ms"]))
        self.voter_updates = VoterUpdates(self, can_vote=can_vote)
        self.accumulator = BatchAccumulator(millis(settings["controller.quorum.append.linger.ms"]))
        self.bootstrap = bootstrap or [voter.address for voter in static_voters.by_id.values()]
        self._addresses: dict[int, Address] = {}
        """Of leaders, as answers told them."""
        self._armed: Micros = NEVER
        self._stop_at: Micros | None = None
        self._on_stopped: Act | None = None
        self._clean_at: Micros = NEVER
        self._is_dead = False
        self._told: tuple[int, int] = (-1, 0)
        """Leader and epoch that the listeners were told last."""

    # --------------------------------------------------------------------------- inputs

    def start(self, now: Micros) -> None:
        self.log.open(now)
        self._clean_at = Micros(now + CLEAN_INTERVAL)
        self.quorum.start(now, self.log.last_epoch)
        role = self.quorum.role
        if self.log.voters.is_only(self.me) and isinstance(role, (Unattached, Follower, Resigned)):
            self._to_prospective(now, because(facts.ONLY_VOTER))
        elif isinstance(role, Candidate):
            self.maybe_lead(now)
        self._poll(now)

    def handle(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        """A request of another node."""
        handlers: dict[type, Callable[[Micros, ConnectionId, Header, Any], None]] = {
            fetch.FetchRequest: self.fetches.fetch,
            VoteRequest: self.elections.on_vote_request,
            BeginQuorumEpochRequest: self.elections.on_begin_request,
            EndQuorumEpochRequest: self.elections.on_end_request,
            fetch_snapshot.FetchSnapshotRequest: self.fetches.fetch_snapshot,
            AddRaftVoterRequest: self.voter_changes.on_add_request,
            RemoveRaftVoterRequest: self.voter_changes.on_remove_request,
            UpdateRaftVoterRequest: self.voter_changes.on_update_request,
        }
        handler = handlers[type(body)]
        self._disk.enter(now, lambda at: handler(at, connection, header, body))

    def on_response(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        self._disk.enter(now, lambda at: self._on_response(at, connection, header, body))

    def on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        self._disk.enter(now, lambda at: self._on_disconnect(at, connection))

    def on_timer(self, now: Micros, key: TimerKey) -> None:
        if key == POLL:
            self._armed = NEVER
            self._disk.enter(now, lambda _: None)
        else:
            self._disk.enter(now, self.fetches.on_wait_over)

    def on_flushed(self, now: Micros, key: FlushKey) -> None:
        self._disk.on_flushed(now, key)

    def flush_log(self, now: Micros, then: Act) -> None:
        """What was appended goes to the disk, and then this is done."""
        file, end = self.log.log.active.file, self.log.end_offset
        if not self.given.safeguards.flush_metadata_before_counting:
            self.outbox.flush(file)
            then(now)
            return

        def flushed(at: Micros) -> None:
            self.log.log.on_flushed(end)
            then(at)

        self._disk.flush_log(file, flushed)

    def emit(self, output: Callable[[], None]) -> None:
        """Something that others will see: at once, or when epoch and vote are on the disk."""
        self._disk.emit(output)

    def reply(self, connection: ConnectionId, header: Header, body: Any) -> None:
        self.emit(lambda: self.outbox.reply(connection, header, body))

    # ----------------------------------------------------------------------- questions

    @property
    def epoch(self) -> int:
        return self.quorum.epoch

    @property
    def leader_id(self) -> int:
        return self.quorum.leader

    @property
    def leader(self) -> LeaderState | None:
        """The state of a leader, None in every other role."""
        role = self.quorum.role
        return role if isinstance(role, LeaderState) else None

    @property
    def high_watermark(self) -> int:
        """-1 as long as it is not known."""
        return self.quorum.role.high_watermark

    @property
    def myself(self) -> Voter:
        """What this node tells of itself as a voter."""
        return Voter(self.me, self.given.address)

    @property
    def kraft_version(self) -> int:
        """The level in force, or the one that this leader has begun to raise it to."""
        requested = self.voter_changes.requested_version
        return self.log.kraft_version if requested is None else requested

    def address_of(self, node: int) -> Address | None:
        return self._addresses.get(node) or self.log.voters.address(node)

    @property
    def leader_address(self) -> Address | None:
        leader = self.quorum.leader
        return None if leader < 0 else self.given.address if leader == self.me.id else self.address_of(leader)

    def check_leader(self, epoch: int) -> int:
        """What is wrong with a request to the leader in this epoch."""
        if epoch != self.epoch:
            return errors.FENCED_LEADER_EPOCH if epoch < self.epoch else errors.UNKNOWN_LEADER_EPOCH
        if self.leader is None:
            return errors.NOT_LEADER_OR_FOLLOWER
        return errors.BROKER_NOT_AVAILABLE if self._stop_at is not None else errors.NONE

    def has_cluster(self, cluster_id: str | None) -> bool:
        return cluster_id is None or cluster_id == self.cluster_id

    # ---------------------------------------------------------------------- appending

    def append(self, now: Micros, records: list[Any]) -> int | None:
        """Records to be written in one batch; the offset of the first one. None when this node does not lead."""
        state = self.leader
        if state is None or state.resign_requested:
            return None
        base = self.next_offset
        self.accumulator.append(now, self.given.wall_ms(now), records)
        self._arm(now)
        return base

    @property
    def next_offset(self) -> int:
        """Of the next record that the leader appends."""
        return self.log.end_offset + self.accumulator.count

    def append_control(self, now: Micros, records: list[Any]) -> None:
        """Control records of the leader, in a batch of their own, which is written as soon as the disk is free."""
        self.accumulator.append_control(now, self.given.wall_ms(now), records)
        self._arm(now)

    def drain(self, now: Micros) -> None:
        for batch in self.accumulator.drain(self.log.end_offset, self.epoch):
            self._write(now, batch)

    def _write(self, now: Micros, batch: bytes) -> None:
        self.log.append_as_leader(batch, now)
        end = self.log.end_offset
        self.flush_log(now, lambda at: self._local_end_moved(at, end))
        if not self.log.voters.is_only(self.me):
            self.fetches.complete_below(now, end)  # the only voter tells its observers once it is committed

    def _local_end_moved(self, now: Micros, end: int) -> None:
        state = self.leader
        assert state is not None, "a local end without leading"
        if end > state.progress_of(self.me).end and state.update_local(end, self.log.voters):
            self.leader_high_watermark_moved(now)

    # ---------------------------------------------------------------- high watermark

    def leader_high_watermark_moved(self, now: Micros) -> None:
        state = self.leader
        assert state is not None, "no leader"
        self.log.log.set_high_watermark(state.high_watermark)
        self.voter_changes.high_watermark_moved()
        if self.outbox.heard >= STATE:
            counts = {"majority": len(state.voters) // 2 + 1, "voters": len(state.voters)}
            why = because(
                facts.MAJORITY, **counts, to=state.high_watermark, epoch_start=state.epoch_start, epoch=state.epoch
            )
            self.state_high_watermark(state.high_watermark, why, leads=True)
        self.fetches.complete_all(now)
        self.tell_listeners(now)

    def state_high_watermark(self, to: int, why: Because, *, leads: bool) -> None:
        self.outbox.happened(facts.QuorumHighWatermarkMoved(to=to, epoch=self.epoch, leads=leads, because=why))

    def tell_listeners(self, now: Micros) -> None:
        """One after the other: a new active controller is that before the broker beside it goes on."""
        state = self.leader
        begins = state is not None and state.high_watermark > state.epoch_start and self._is_news()
        for listener in self.listeners:
            listener.on_committed(now)
            if begins:
                listener.on_leader_change(now, self.quorum.leader, self.epoch)

    def _tell_leader(self, now: Micros) -> None:
        """Of a new leader, or that there is none any more; each epoch and leader once."""
        if self._is_news():
            for listener in self.listeners:
                listener.on_leader_change(now, self.quorum.leader, self.epoch)

    def _is_news(self) -> bool:
        leader, epoch = self.quorum.leader, self.epoch
        news = epoch > self._told[1] or (leader >= 0 and self._told[0] < 0)
        if news:
            self._told = (leader, epoch)
        return news

    # ------------------------------------------------------------------------- moves

    def _to_prospective(self, now: Micros, why: Because) -> None:
        self.quorum.to_prospective(now, why)
        self.maybe_stand(now)

    def maybe_stand(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Prospective), f"pre-votes as {role}"
        if role.election.is_won or not self.given.safeguards.use_pre_vote:
            votes = {"granted": len(role.election.granting), "voters": len(role.election.votes)}
            self.quorum.to_candidate(now, because(facts.PRE_VOTES, **votes))
            self._tell_leader(now)
            self.maybe_lead(now)
        else:
            self.requests.reset_all()

    def maybe_lead(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Candidate), f"votes as {role}"
        if not role.election.is_won:
            self.requests.reset_all()
            return
        granting = role.election.granting
        state = LeaderState(
            self.me,
            role.epoch,
            self.log.end_offset,
            self.log.voters,
            granting,
            fetch_timeout=self.quorum.fetch_timeout,
            now=now,
            only_own_epoch=self.given.safeguards.commit_only_in_own_epoch,
        )
        why = because(facts.VOTES, granted=len(granting), voters=len(role.election.votes), epoch=role.epoch)
        self.accumulator.clear()
        self.following.forget()
        self.quorum.to_leader(state, why)
        self.log.log.start_epoch(role.epoch)
        self.requests.reset_all()
        self.voter_changes.begin()
        self._begin_epoch(now, state)

    def _begin_epoch(self, now: Micros, state: LeaderState) -> None:
        """The control record that the epoch begins with; with kraft.version 1 also the voters when they changed."""
        voters = tuple(LeaderChangeVoter(voter_id=id_) for id_ in state.voters)
        granting = tuple(LeaderChangeVoter(voter_id=id_) for id_ in state.granting)
        change = LeaderChangeMessage(leader_id=self.me.id, voters=voters, granting_voters=granting)
        records: list[Any] = [change]
        if self.log.kraft_version and (self.log.voters_offset < 0 or self.log.voters.needs_update(self.myself)):
            updated = self.log.voters.update(self.myself)
            assert updated is not None, "a leader is a voter"
            records += [KRaftVersionRecord(k_raft_version=self.log.kraft_version), updated.to_record()]
        self.append_control(now, records)
        self.drain(now)

    def to_unattached(self, now: Micros, epoch: int, why: Because, leader: int = -1) -> None:
        self._end_epoch()
        self.quorum.to_unattached(now, epoch, why, leader)
        self._tell_leader(now)
        self.requests.reset_all()

    def to_follower(self, now: Micros, epoch: int, leader: int, why: Because) -> None:
        self._end_epoch()
        self.following.forget()
        self.quorum.to_follower(now, epoch, leader, why)
        self.fetches.refuse_all(now)
        self._tell_leader(now)
        self.requests.reset_all()

    def _end_epoch(self) -> None:
        self.accumulator.clear()
        self.voter_changes.end()

    def _die(self, epoch: int, why: Because) -> None:
        """Told to follow itself in an epoch that it does not lead: its disk has lost what it was (a fatal fault)."""
        self.outbox.happened(facts.QuorumNodeDied(epoch=epoch, because=why))
        self._is_dead = True
        self.outbox.exit()

    def _to_resigned(self, now: Micros, why: Because) -> None:
        state = self.leader
        assert state is not None, "only a leader resigns"
        self._end_epoch()
        self.fetches.refuse_all(now)
        self.quorum.to_resigned(now, state.successors, why)
        self.requests.reset_all()

    def meet_epoch(self, now: Micros, leader: int, epoch: int, peer: str) -> None:
        """A message of this epoch, and perhaps its leader (Kafka: ``maybeTransition``)."""
        known = leader >= 0 and self.address_of(leader) is not None
        if leader == self.me.id and self.leader is None:
            self._die(epoch, because(facts.LEADER_FOUND, peer=peer, leader=leader, epoch=epoch))
            return
        if epoch > self.epoch:
            why = because(facts.HIGHER_EPOCH, peer=peer, epoch=epoch, was=self.epoch)
            if known:
                self.to_follower(now, epoch, leader, why)
            else:
                self.to_unattached(now, epoch, why, leader)
        elif known and leader != self.me.id and (self.leader_id < 0 or isinstance(self.quorum.role, Unattached)):
            self.to_follower(now, epoch, leader, because(facts.LEADER_FOUND, peer=peer, leader=leader, epoch=epoch))

    def resign(self, epoch: int) -> None:
        """The controller gives up an epoch, when it still leads in it."""
        state = self.leader
        if state is not None and state.epoch == epoch:
            state.resign_requested = True

    def shut_down(self, now: Micros, on_stopped: Act) -> None:
        """Leave in good order: resign, and go when there is another leader or after five seconds."""
        self._stop_at, self._on_stopped = Micros(now + SHUTDOWN_PATIENCE), on_stopped
        self._disk.enter(now, lambda _: None)

    # ----------------------------------------------------------------- requests served

    def learn_endpoints(self, leader: int, endpoints: tuple[Any, ...]) -> None:
        if leader >= 0 and endpoints:
            self.learn_address(leader, Address.parse(endpoints[0].host))

    def learn_address(self, leader: int, address: Address) -> None:
        self._addresses[leader] = address

    # -------------------------------------------------------------------- answers received

    def _on_response(self, now: Micros, connection: ConnectionId, header: Header, body: Any) -> None:
        peer = self.requests.take_answer(connection, header)
        if peer is None:
            return
        handlers: dict[type, Callable[[Micros, Address, Any], bool]] = {
            fetch.FetchResponse: self.following.on_fetch_response,
            VoteResponse: self.elections.on_vote_response,
            BeginQuorumEpochResponse: self.elections.on_begin_response,
            EndQuorumEpochResponse: self.elections.on_end_response,
            fetch_snapshot.FetchSnapshotResponse: self.following.on_snapshot_response,
            ApiVersionsResponse: self.voter_changes.on_api_versions_response,
            AddRaftVoterResponse: self.voter_updates.on_join_response,
            RemoveRaftVoterResponse: self.voter_updates.on_join_response,
            UpdateRaftVoterResponse: self.voter_updates.on_update_response,
        }
        if not handlers[type(body)](now, peer, body):
            self.requests.back_off(now, peer)

    def _on_disconnect(self, now: Micros, connection: ConnectionId) -> None:
        peer = self.requests.on_disconnect(now, connection)
        if peer is not None:
            self.voter_changes.on_disconnect(peer)

    def handle_common(self, now: Micros, error: int, leader: int, epoch: int, peer: Address) -> bool | None:
        """What every answer tells (Kafka: ``maybeHandleCommonResponse``): None when there is more to do with it."""
        if epoch < self.epoch or error == errors.UNKNOWN_LEADER_EPOCH:
            return True
        fenced = error in (errors.FENCED_LEADER_EPOCH, errors.NOT_LEADER_OR_FOLLOWER)
        if epoch > self.epoch or fenced:
            before = (self.epoch, type(self.quorum.role))
            self.meet_epoch(now, leader, epoch, str(peer))
            return (self.epoch, type(self.quorum.role)) != before
        if self.leader_id < 0 and leader not in (-1, self.me.id) and self.address_of(leader) is not None:
            why = because(facts.LEADER_FOUND, peer=str(peer), leader=leader, epoch=epoch)
            self.to_follower(now, epoch, leader, why)
            return None if error == errors.NONE else True
        return None if error == errors.NONE else False

    # ------------------------------------------------------------------------- polling

    def _poll(self, now: Micros) -> None:
        """Do what is due; as often as that changes the role."""
        while not self._disk.is_busy and not self._is_dead:
            before = self.quorum.role
            if self._is_stopped(now):
                return
            _POLLS[type(before)](self, now)
            if self.quorum.role is before:
                break
        if now >= self._clean_at:
            self._clean_at = Micros(now + CLEAN_INTERVAL)
            self.log.clean(
                now,
                max_bytes=self.settings["metadata.max.retention.bytes"],
                max_ms=self.settings["metadata.max.retention.ms"],
            )
        self._arm(now)

    def _is_stopped(self, now: Micros) -> bool:
        if self._stop_at is None or self._on_stopped is None:
            return False
        leader = self.quorum.leader
        away = leader >= 0 and leader != self.me.id
        if now >= self._stop_at or not self.quorum.is_voter or self.log.voters.is_only(self.me) or away:
            stopped, self._on_stopped = self._on_stopped, None
            stopped(now)
            return True
        return False

    def _poll_leader(self, now: Micros) -> None:
        state = self.leader
        assert state is not None, "polled as a leader"
        due = state.check_quorum_due
        if self._stop_at is not None:
            self._to_resigned(now, because(facts.STOPPING))
        elif state.resign_requested:
            self._to_resigned(now, because(facts.ASKED_TO_RESIGN))
        elif due is not None and now >= due and self.given.safeguards.check_quorum:
            why = because(facts.NO_MAJORITY, timeout_ms=state.check_quorum_timeout // 1_000)
            self._to_resigned(now, why)
        else:
            self._work_as_leader(now, state)

    def _work_as_leader(self, now: Micros, state: LeaderState) -> None:
        self.voter_changes.expire(now)
        if now >= self.accumulator.due:
            self.drain(now)
        if now >= state.begin_quorum_due:
            for voter in state.need_begin_quorum(now):
                address = self.address_of(voter.id)
                if address is not None:
                    mine = self.given.address
                    self.send(
                        now, address, messages.begin_request(self.cluster_id, self.epoch, self.me.id, mine, voter)
                    )

    def _poll_resigned(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Resigned), "polled as resigned"
        for voter in role.unacknowledged:
            address = self.address_of(voter)
            if address is not None:
                mine = self.given.address
                body = messages.end_request(self.cluster_id, role.epoch, self.me.id, mine, role.successors)
                self.send(now, address, body)
        if self._stop_at is None and now >= role.deadline:
            self.to_unattached(now, role.epoch + 1, self._waited())

    def _poll_candidate(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Candidate), "polled as a candidate"
        if self._stop_at is None and now >= role.deadline:
            timeout = self.quorum.election_timeout // 1_000
            self._to_prospective(now, because(facts.ELECTION_TIMED_OUT, timeout_ms=timeout))
        else:
            self.elections.ask_for_votes(now, role)

    def _poll_prospective(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Prospective), "polled as prospective"
        if self._stop_at is None and now >= role.deadline:
            timeout = self.quorum.election_timeout // 1_000
            self.elections.after_lost_pre_vote(now, role, because(facts.ELECTION_TIMED_OUT, timeout_ms=timeout))
        else:
            self.elections.ask_for_votes(now, role)

    def _poll_unattached(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Unattached), "polled as unattached"
        if self.quorum.is_voter and self._stop_at is not None:
            return
        if self.quorum.is_voter and now >= role.deadline:
            self._to_prospective(now, self._waited())
        else:
            self.following.fetch_from_any(now)

    def _poll_follower(self, now: Micros) -> None:
        role = self.quorum.role
        assert isinstance(role, Follower), "polled as a follower"
        if self._stop_at is not None:
            return
        if self.quorum.is_voter and now >= role.deadline:
            self._to_prospective(now, self._waited())
            return
        leader = self.address_of(role.leader)
        assert leader is not None, f"no way to {role.leader}"
        if self.voter_updates.ask(now, role, leader):
            return
        if self.requests.has_timed_out(now, leader):
            self.requests.reset(leader)
            self.following.fetch_from_any(now)
        elif self.requests.is_backing_off(now, leader):
            self.following.fetch_from_any(now)
        elif not self.requests.has_any_in_flight(now):
            self.following.fetch_from(now, leader)

    def _waited(self) -> Because:
        role = self.quorum.role
        follows = isinstance(role, Follower)
        if isinstance(role, Follower) and role.leader_resigned:
            return because(facts.LEADER_RESIGNED, leader=role.leader)
        timeout = self.quorum.fetch_timeout if follows else self.quorum.election_timeout
        return because(facts.NOT_HEARD if follows else facts.NO_LEADER, timeout_ms=timeout // 1_000)

    def send(self, now: Micros, address: Address, body: Any) -> None:
        self.requests.send(now, address, body)

    def _arm(self, now: Micros) -> None:
        """One timer for all that comes due; an earlier wish stays until it has fired."""
        times = [self._deadline_of_role(), self.accumulator.due, self._clean_at]
        request = self.requests.next_deadline(now)
        if request is not None:
            times.append(request)
        if self._stop_at is not None and self._on_stopped is not None:
            times.append(self._stop_at)
        earliest = min(times)
        if earliest < self._armed and earliest != NEVER:
            self._armed = Micros(max(earliest, now))
            self.outbox.set_timer(POLL, self._armed)

    def _deadline_of_role(self) -> Micros:
        role = self.quorum.role
        if isinstance(role, LeaderState):
            due = role.check_quorum_due if self.given.safeguards.check_quorum else None
            dues = (role.begin_quorum_due, due, self.voter_changes.deadline)
            return min(at for at in dues if at is not None)
        is_waiting = self.quorum.is_voter or isinstance(role, Resigned)
        if self._stop_at is not None or not is_waiting:
            return NEVER
        return role.deadline


_POLLS: dict[type, Callable[[RaftClient, Micros], None]] = {
    LeaderState: RaftClient._poll_leader,
    Resigned: RaftClient._poll_resigned,
    Candidate: RaftClient._poll_candidate,
    Prospective: RaftClient._poll_prospective,
    Unattached: RaftClient._poll_unattached,
    Follower: RaftClient._poll_follower,
}
