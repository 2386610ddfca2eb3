"""Facts about the metadata quorum, stated by every node that takes part: controllers vote, brokers only observe."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

STARTED = rule("quorum.started", "the process starts with epoch {epoch} of its quorum-state file")
NOT_HEARD = rule("quorum.not-heard", "the leader has not answered a fetch for {timeout_ms} ms")
NO_LEADER = rule("quorum.no-leader", "no leader was found within {timeout_ms} ms and up to as much again, by lot")
LEADER_RESIGNED = rule("quorum.leader-resigned", "leader {leader} has resigned")
ONLY_VOTER = rule("quorum.only-voter", "this is the only voter")
PRE_VOTES = rule("quorum.pre-votes", "{granted} of {voters} voters would vote for this one")
VOTES = rule("quorum.votes", "{granted} of {voters} voters voted for this one in epoch {epoch}")
ELECTION_LOST = rule("quorum.election-lost", "a majority of the {voters} voters would not vote for this one")
ELECTION_TIMED_OUT = rule("quorum.election-timed-out", "no majority answered within {timeout_ms} ms")
HIGHER_EPOCH = rule("quorum.higher-epoch", "{peer} is in epoch {epoch} already, this one was in {was}")
LEADER_FOUND = rule("quorum.leader-found", "{peer} says that {leader} leads in epoch {epoch}")
NO_MAJORITY = rule("quorum.no-majority", "no majority of the voters has fetched for {timeout_ms} ms")
ASKED_TO_RESIGN = rule("quorum.asked-to-resign", "its controller gave up the epoch")
STOPPING = rule("quorum.stopping", "the process is asked to stop")

UP_TO_DATE = rule(
    "vote.up-to-date",
    "the log of {candidate} ends with epoch {epoch} at offset {offset}, ours with epoch {our_epoch} at {our_offset}",
)
BEHIND = rule(
    "vote.behind",
    "the log of {candidate} ends with epoch {epoch} at offset {offset} and lacks what ours has, "
    "which ends with epoch {our_epoch} at {our_offset}",
)
SAME_VOTE = rule("vote.same", "this voter has voted for {candidate} in this epoch")
OTHER_VOTE = rule("vote.other", "this voter has voted for {voted} in epoch {epoch}")
HAS_LEADER = rule("vote.has-leader", "{leader} leads in epoch {epoch}")
HEARS_LEADER = rule("vote.hears-leader", "this voter hears its leader {leader}")
STANDS_ITSELF = rule("vote.stands-itself", "this voter stands for election or led in epoch {epoch}")

CHANGE_GOES_ON = rule("voters.change-goes-on", "the change of voter {voter} is not finished")
NO_COMMIT_YET = rule("voters.no-commit-yet", "nothing of epoch {epoch} is committed yet")
CHANGE_UNCOMMITTED = rule(
    "voters.change-uncommitted",
    "the last change, at offset {at}, is not below {committed}, where what is committed ends",
)
VERSION_TOO_LOW = rule("voters.version-too-low", "kraft.version is {version}")
IS_VOTER = rule("voters.is-voter", "{voter} is a voter already, with this directory or another")
NOT_REMOVABLE = rule("voters.not-removable", "{voter} with this directory is no voter, or is the only one")
NOT_READY = rule("voters.not-ready", "{voter} does not answer")
NOT_SPOKEN = rule("voters.not-spoken", "{voter} does not speak this kraft.version")
LAGS = rule("voters.lags", "{voter} has not caught up with the leader's log")

MAJORITY = rule(
    "high-watermark.majority",
    "{majority} of {voters} voters have the log up to offset {to}, which is beyond {epoch_start}, "
    "where epoch {epoch} began",
)
LEADER_SAYS = rule("high-watermark.leader-says", "leader {leader} says so")


@fact(DECISION)
class QuorumRoleChanged:
    """Unattached, Prospective, Candidate, Leader, Follower or Resigned; -1 for no leader and for no vote."""

    role: str
    was: str
    epoch: int
    leader: int
    voted: int
    is_voter: bool
    because: Because


@fact(DECISION)
class VoteAnswered:
    candidate: int
    epoch: int
    pre_vote: bool
    granted: bool
    because: Because


@fact(STATE)
class QuorumHighWatermarkMoved:
    """All below is committed, as this node knows."""

    to: int
    epoch: int
    leads: bool
    because: Because


@fact(STATE)
class VotersChanged:
    """The voters as this node's log has them, committed or not; ``at`` is the offset of the record."""

    voters: tuple[int, ...]
    at: int


@fact(DECISION)
class VoterChangeRefused:
    voter: int
    error: str
    because: Because


@fact(STATE)
class SnapshotTaken:
    """All below ``end_offset`` is in a snapshot; ``fetched`` when it was copied from the leader."""

    end_offset: int
    epoch: int
    records: int
    fetched: bool


@fact(DECISION)
class ControllerRenounced:
    """The active controller is no longer it; what was not committed is taken back."""

    epoch: int
    reverted_to: int


@fact(DECISION)
class QuorumNodeDied:
    """A voter that was told to follow itself: its process ends."""

    epoch: int
    because: Because
