"""Facts that the controller states."""

from __future__ import annotations

from kafsim.protocol.facts.fact import DECISION, STATE, Because, fact, rule

IN_ISR = rule(
    "election.in-isr", "broker {leader} is the first of the replicas {replicas} that may lead (ISR {isr}){passed_over}"
)
PREFERRED = rule("election.preferred", "broker {leader} is the preferred leader of {replicas} and in the ISR {isr}")
FROM_ELR = rule(
    "election.from-elr",
    "the ISR is empty; broker {leader} is the first of the eligible leader replicas {elr} that is up{passed_over}",
)
LAST_KNOWN = rule(
    "election.last-known", "ISR and ELR are empty; broker {leader} is the last known leader and is up, so it recovers"
)
UNCLEAN = rule(
    "election.unclean",
    "no replica of the ISR {isr} is up; broker {leader} leads because unclean.leader.election.enable=true{passed_over}",
)
UNSAFE = rule(
    "election.unsafe",
    "the rule that only the ISR may lead is off; broker {leader} is the first that is up{passed_over}",
)
NOBODY = rule(
    "election.nobody",
    "no replica may lead (ISR {isr}, unclean.leader.election.enable={unclean}){passed_over}",
)
SESSION = rule(
    "broker.session", "no heartbeat of broker {broker} for {silent_ms} ms; broker.session.timeout.ms={timeout_ms}"
)
WANTS_FENCE = rule("broker.wants-fence", "broker {broker} asked to stay fenced")
CAUGHT_UP = rule(
    "broker.caught-up",
    "broker {broker} has read the metadata up to offset {offset}, its registration is at {registered}",
)
SHUTTING_DOWN = rule("broker.shutting-down", "broker {broker} asked for a controlled shutdown")
SHUT_DOWN = rule("broker.shut-down", "broker {broker} leads nothing any more and every broker knows it")
REGISTERED = rule("broker.registered", "{how}")
DIRECTORY_FAILED = rule("isr.directory-failed", "directory {directory} of broker {broker} has failed")
FENCED_BROKER = rule("isr.fenced", "broker {broker} is fenced")
UNCLEAN_SHUTDOWN = rule(
    "isr.unclean-shutdown",
    "broker {broker} did not stop cleanly (it names broker epoch {named}, {stored} was registered), "
    "so its log may be shorter",
)
LEADER_ASKED = rule("isr.leader-asked", "leader {leader} asked for the ISR {isr}")
DIRECTORY = rule("replicas.directory", "broker {broker} tells in which directory its replica is")
UNREGISTERED = rule("isr.unregistered", "broker {broker} was taken out of the cluster")
REASSIGNED = rule("replicas.reassigned", "an admin client asked for other replicas")
CREATED = rule("topic.created", "all replicas that are up are in sync at creation")
DELETED = rule("topic.deleted", "an admin client asked for it")
CONFIGURED = rule("topic.configured", "min.insync.replicas was set, which empties the ELR")
REFUSED = rule("alter-partition.refused", "{reason}")


@fact(DECISION)
class ControllerActivated:
    epoch: int
    log_end_offset: int


@fact(DECISION)
class BrokerRegistered:
    broker: int
    epoch: int
    incarnation: str
    because: Because


@fact(DECISION)
class RegistrationRefused:
    broker: int
    error: str
    because: Because


@fact(DECISION)
class BrokerFenced:
    broker: int
    epoch: int
    because: Because


@fact(DECISION)
class BrokerUnfenced:
    broker: int
    epoch: int
    because: Because


@fact(DECISION)
class ControlledShutdownStarted:
    broker: int
    because: Because


@fact(DECISION)
class ControlledShutdownAllowed:
    broker: int
    because: Because


@fact(DECISION)
class LeaderElected:
    """``leader`` is -1 when nobody may lead."""

    topic: str
    partition: int
    leader: int
    was: int
    leader_epoch: int
    because: Because


@fact(DECISION)
class IsrChanged:
    topic: str
    partition: int
    isr: tuple[int, ...]
    was: tuple[int, ...]
    partition_epoch: int
    because: Because


@fact(DECISION)
class AlterPartitionRefused:
    topic: str
    partition: int
    broker: int
    error: str
    because: Because


@fact(STATE)
class PartitionRegistered:
    """One partition in the controller's committed metadata, after a change."""

    topic: str
    partition: int
    leader: int
    leader_epoch: int
    partition_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    elr: tuple[int, ...]
    last_known_elr: tuple[int, ...]
    min_isr: int


@fact(STATE)
class BrokerCommitted:
    """The registration of a broker, as committed; fenced too when it is gone."""

    broker: int
    epoch: int
    fenced: bool
    in_controlled_shutdown: bool


@fact(STATE)
class TopicRegistered:
    topic: str
    topic_id: str


@fact(STATE)
class TopicRemoved:
    topic: str
    topic_id: str
    partitions: int


@fact(DECISION)
class BrokerUnregistered:
    """An admin client takes a broker out of the cluster, whether it runs or not."""

    broker: int
    epoch: int


@fact(STATE)
class ControllerRegistered:
    controller: int


@fact(DECISION)
class FeatureLevelChanged:
    feature: str
    level: int
