"""Apache Kafka's own dump tool reads what the simulated cluster writes, and prints what ``kafsim dump-log`` prints.

It comes from Maven; without Java and Maven, or without their repository, these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kafsim import simulate
from kafsim.cluster.cluster import Cluster
from kafsim.cluster.node import Node
from kafsim.scenarios import groups
from kafsim.scenarios.scenario import Given
from kafsim.storage.dump import GROUPS, METADATA, PLAIN, SUFFIXES, dump

POM = Path(__file__).parents[1] / "data" / "kafka-tools" / "pom.xml"
LIBS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kafsim-kafka-tools"
MAIN = "org.apache.kafka.tools.DumpLogSegments"


def _fetch() -> None:
    begun = LIBS.with_name(f"{LIBS.name}.{os.getpid()}")
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={begun}"]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    except subprocess.SubprocessError as error:
        shutil.rmtree(begun, ignore_errors=True)
        pytest.skip(f"Maven could not fetch Kafka's tools: {error}")
    if LIBS.exists():  # another process was faster
        shutil.rmtree(begun)
    else:
        begun.rename(LIBS)


@pytest.fixture(scope="session")
def tool() -> list[str]:
    """The command of Kafka's tool."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found")
    if not LIBS.exists():
        _fetch()
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBS}/*", MAIN]


def _written(node: Node, folder: str) -> dict[str, bytes]:
    return {name: node.disk.get(name).read() for name in node.disk.names(f"{folder}/")}


OPTIONS = {
    PLAIN: "--print-data-log",
    METADATA: "--cluster-metadata-decoder",
    GROUPS: "--offsets-decoder",
}


def _compare(tool: list[str], files: dict[str, bytes], at: Path, *, decoder: str = PLAIN) -> None:
    for name, data in files.items():
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    wanted = sorted(at / name for name in files if name.endswith(SUFFIXES))
    command = [*tool, "--files", ",".join(map(str, wanted)), "--deep-iteration", OPTIONS[decoder]]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    ours = [line for path in wanted for line in dump(str(path), path.read_bytes(), decoder=decoder)]
    theirs = [line for line in told.stdout.splitlines() if not line.startswith("SLF4J")]
    assert theirs == ours, told.stderr[-2_000:]
    assert len(ours) > len(wanted)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_log(tool: list[str], tmp_path: Path, compression: str) -> None:
    files: dict[str, bytes] = {}

    async def story(cluster: Cluster) -> None:
        configs = {"internal.segment.bytes": 4_000, "index.interval.bytes": 500}
        await cluster.admin.create_topic("t", assignment={0: (1, 2)}, configs=configs)
        producer = cluster.producer(linger_ms=20, compression_type=compression)
        for number in range(120):
            headers = (("trace", b"\x00\xff"), ("empty", None)) if number % 7 == 0 else ()
            value = None if number % 11 == 0 else f"order {number} ".encode() * 3
            producer.send("t", value, key=f"k{number % 5}" if number % 3 else None, headers=headers)
            await cluster.advance(0.01)
        await producer.flush()
        files.update(_written(cluster.brokers[2], "t-0"))

    simulate(story, brokers=2, settle=False)
    assert sum(name.endswith(".log") for name in files) > 1
    _compare(tool, files, tmp_path)


def test_the_metadata_log_and_a_snapshot(tool: list[str], tmp_path: Path) -> None:
    files: dict[str, bytes] = {}

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("t", partitions=3, replication_factor=2)
        await cluster.admin.alter_configs("topic", "t", set={"retention.ms": 1_000})
        new = cluster.add_controller()
        await cluster.advance(8)
        await cluster.add_voter(new)
        await cluster.advance(8)
        files.update(_written(cluster.controllers[101], "__cluster_metadata-0"))

    configs = {"metadata.log.max.snapshot.interval.ms": 5_000}
    simulate(story, brokers=2, configs=configs, features={"kraft.version": 1}, settle=False)
    checkpoints = [name for name in files if name.endswith(".checkpoint")]
    assert len(checkpoints) > 1
    _compare(tool, files, tmp_path, decoder=METADATA)


def test_what_a_coordinator_writes(tool: list[str], tmp_path: Path) -> None:
    files: dict[str, bytes] = {}

    async def story(cluster: Cluster) -> None:
        await cluster.admin.create_topic("orders", partitions=2, replication_factor=1)
        static = await groups.join(cluster, Given(), group_instance_id="i1")
        other = await groups.join(cluster, Given(), partition_assignment_strategy="range")
        await cluster.producer().send_and_wait("orders", "x")
        await cluster.advance(4)
        await other.stop()
        other.kill()
        await cluster.advance(4)
        static.kill()
        await cluster.advance(8)
        await cluster.admin.delete_group(groups.GROUP)
        files.update(_written(cluster.brokers[1], "__consumer_offsets-0"))

    simulate(story, brokers=1, configs={**groups.SHAPE.configs, "default.replication.factor": 1}, settle=False)
    _compare(tool, files, tmp_path, decoder=GROUPS)
