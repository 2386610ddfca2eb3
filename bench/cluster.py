"""Three brokers with all their logic: load, start, idle, failover, and partitions that nobody uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.measure import Case
from kafsim.cluster.cluster import Cluster, ClusterShape
from kafsim.cluster.world import Shape, World, run
from kafsim.scenarios.simulation import Options, run_story

MODES = (("channel", "codec"), ("direct", "share"))
Story = Callable[[Cluster], Awaitable[dict[str, float]]]


def cases() -> list[Case]:
    found = []
    for dispatch, wire in MODES:
        how = f"{dispatch} + {wire}"
        found += [
            Case(f"load, no listeners, {how}", plain(load, dispatch, wire), per_message),
            Case(f"start, no listeners, {how}", plain(nothing, dispatch, wire), milliseconds),
            Case(f"idle cluster, no listeners, {how}", plain(idle, dispatch, wire), speed),
        ]
    found.append(Case("60 s failover, invariants, direct + share", failover, seeds))
    for partitions in (1, 10_000):
        story = idle_partitions(partitions)
        name = f"idle second with {partitions:,} partitions, direct + share"
        found.append(Case(name, plain(story, "direct", "share"), idle_seconds))
    for brokers in (3, 100):
        story, shape = two_leaders_each(brokers), ClusterShape(brokers=brokers)
        name = f"idle second of {brokers} brokers that follow two each, direct + share"
        found.append(Case(name, plain(story, "direct", "share", shape), per_broker))
    for voters in (1, 3):
        shape = ClusterShape(controllers=voters)
        name = f"idle second with a quorum of {voters}, direct + share"
        found.append(Case(name, plain(idle_minutes, "direct", "share", shape), idle_seconds))
    found.append(Case("10,000 partitions created, direct + share", plain(create, "direct", "share"), creation))
    found += [Case(f"memory of {n:,} partitions", memory_of(n), memory) for n in (1_000, 10_000)]
    return found


def plain(story: Story, dispatch: str, wire: str, shape: ClusterShape | None = None) -> Callable[[], dict[str, float]]:
    """A run that nobody listens to."""

    def once() -> dict[str, float]:
        world = World(Shape(dispatch=dispatch, wire=wire))  # type: ignore[arg-type]
        counts: dict[str, float] = {}

        async def play(world: World) -> None:
            cluster = Cluster(world, shape or ClusterShape())
            await cluster.start()
            counts.update(await story(cluster))

        run(world, play)
        return {"messages": world.messages, "virtual_seconds": world.clock.now / 1e6, **counts}

    return once


async def nothing(_: Cluster) -> dict[str, float]:
    return {}


async def load(cluster: Cluster) -> dict[str, float]:
    """Six partitions, acks=all, 1,000 records a second one by one, for ten virtual seconds."""
    await cluster.admin.create_topic("orders", partitions=6, replication_factor=3)
    producers = [cluster.producer(linger_ms=0, max_block_ms=60_000) for _ in range(4)]
    for index in range(10_000):
        producers[index % 4].send("orders", b"x" * 100, partition=index % 6)
        if index % 4 == 3:
            await cluster.advance(0.004)
    for producer in producers:
        await producer.flush()
    return {}


async def idle(cluster: Cluster) -> dict[str, float]:
    await cluster.advance(120)
    return {}


def idle_partitions(count: int) -> Story:
    """CPU time of five idle minutes, one period of the retention check, once the first checkpoints are written."""

    async def story(cluster: Cluster) -> dict[str, float]:
        import time  # noqa: PLC0415

        for number in range(max(1, count // 1_000)):
            await cluster.admin.create_topic(f"t{number}", partitions=min(count, 1_000), replication_factor=3)
        await cluster.advance(70)
        begin = time.process_time()
        await cluster.advance(300)
        return {"idle_cpu": time.process_time() - begin, "idle_virtual": 300}

    return story


def two_leaders_each(brokers: int) -> Story:
    """One partition led by each broker, followed by the next two; CPU time of two idle minutes for each broker."""

    async def story(cluster: Cluster) -> dict[str, float]:
        ring = {i: [(i + n) % brokers + 1 for n in range(3)] for i in range(brokers)}
        await cluster.admin.create_topic("t", assignment=ring)
        return {**await idle_minutes(cluster), "brokers": brokers}

    return story


async def idle_minutes(cluster: Cluster) -> dict[str, float]:
    import time  # noqa: PLC0415

    await cluster.advance(10)
    begin = time.process_time()
    await cluster.advance(120)
    return {"idle_cpu": time.process_time() - begin, "idle_virtual": 120}


async def create(cluster: Cluster) -> dict[str, float]:
    """Two topics: one request writes at most 10,000 records. Until every broker has its replicas."""
    import time  # noqa: PLC0415

    begin = time.process_time()
    for name in ("a", "b"):
        await cluster.admin.create_topic(name, partitions=5_000, replication_factor=3)
    await cluster.until(
        lambda: all((core := cluster.core(b)) and len(core.replicas.by_key) == 10_000 for b in cluster.brokers)
    )
    return {"creation_cpu": time.process_time() - begin}


def memory_of(partitions: int) -> Callable[[], dict[str, float]]:
    """What a cluster with idle partitions takes, by the size of a process of its own."""

    def once() -> dict[str, float]:
        import subprocess  # noqa: PLC0415
        import sys  # noqa: PLC0415

        done = subprocess.run([sys.executable, "-m", "bench.memory", str(partitions)], capture_output=True, check=True)
        return {"mb": float(done.stdout)}

    return once


def failover() -> dict[str, float]:
    """Ten batches a second from a producer, two consumers, the leader killed at 20 s and back at 40 s."""

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders", assignment={0: (1, 2, 3)}, configs={"min.insync.replicas": 2})
        producer = cluster.producer(linger_ms=0)
        consumers = [cluster.consumer(auto_offset_reset="earliest") for _ in range(2)]
        for consumer in consumers:
            await consumer.assign(["orders-0"])
        world, begin = cluster.world, cluster.world.clock.now
        for index in range(600):
            at = begin + index * 100_000
            world.at(at, lambda i=index: producer.send("orders", f"v{i}"), "load")  # type: ignore[misc]
        world.at(begin + 20_000_000, lambda: cluster.kill(1), "kill")
        world.at(begin + 40_000_000, lambda: cluster.restart(1), "restart")
        while world.clock.now < begin + 60_000_000:
            for consumer in consumers:
                await consumer.getmany(timeout_ms=1_000)

    done = run_story(story, Options(dispatch="direct", wire="share", settle=False))
    assert done.ok
    return {"seeds": 1, "messages": done.messages}


def per_message(counts: dict[str, float], cpu: float) -> dict[str, float]:
    return {"messages per CPU second": counts["messages"] / cpu, "us per message": cpu / counts["messages"] * 1e6}


def milliseconds(_: dict[str, float], cpu: float) -> dict[str, float]:
    return {"ms": cpu * 1e3}


def speed(counts: dict[str, float], cpu: float) -> dict[str, float]:
    virtual = counts["virtual_seconds"]
    return {"times real time": virtual / cpu, "messages per virtual second": counts["messages"] / virtual}


def seeds(_: dict[str, float], cpu: float) -> dict[str, float]:
    return {"seeds per CPU second": 1 / cpu}


def idle_seconds(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"us per idle virtual second": counts["idle_cpu"] / counts["idle_virtual"] * 1e6}


def per_broker(counts: dict[str, float], _: float) -> dict[str, float]:
    return {
        "us per idle virtual second and broker": counts["idle_cpu"] / counts["idle_virtual"] / counts["brokers"] * 1e6
    }


def creation(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"CPU seconds": counts["creation_cpu"]}


def memory(counts: dict[str, float], _: float) -> dict[str, float]:
    return {"MB": counts["mb"]}
