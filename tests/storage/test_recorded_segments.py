"""Log directories of a real Kafka 4.3 broker: read, dumped, recovered and written as Kafka does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafsim.cluster.disk import SimDisk
from kafsim.protocol.records import batch as batches
from kafsim.protocol.types import Micros, TopicPartition
from kafsim.storage import checkpoint
from kafsim.storage.dump import GROUPS, METADATA, PLAIN, SUFFIXES, dump
from kafsim.storage.log_directory import LogDirectory
from kafsim.storage.producer_state import ProducerState
from tests.storage.kit import Machine

SEGMENTS = Path(__file__).parent.parent / "data" / "segments"
# Kafka's tool compares a time index with its log and gives up where the log is damaged; ours reads each file by itself.
GIVEN_UP = SEGMENTS / "torn_before_recovery/s-zeros-0/00000000000000000055.timeindex"
FILES = sorted(path for path in SEGMENTS.rglob("*") if path.suffix in SUFFIXES and path != GIVEN_UP)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SEGMENTS)))
def test_every_file_is_dumped_as_kafka_dumps_it(path):
    expected = path.with_name(path.name + ".dump").read_text().splitlines()
    lines = list(dump(path.name, path.read_bytes(), decoder=_decoder(path)))
    assert lines == [line for line in expected if line]


def _decoder(path):
    if path.suffix == ".checkpoint":
        return METADATA
    return GROUPS if path.parent.name.startswith("__consumer_offsets") else PLAIN


def place(machine: Machine, moment: str, topic: str) -> None:
    """Put a recorded partition on a disk of ours."""
    for path in sorted((SEGMENTS / moment / f"{topic}-0").iterdir()):
        if path.suffix != ".dump":
            machine.disk.create(f"{topic}-0/{path.name}").append(path.read_bytes())


@pytest.mark.parametrize(("topic", "end"), [("s-torn", 85), ("s-zeros", 90)])
def test_a_torn_tail_is_cut_where_kafka_cut_it(topic, end):
    machine = Machine(segment_bytes=2_000, index_interval_bytes=300)
    place(machine, "torn_before_recovery", topic)
    recovery_point = checkpoint_of("killed", checkpoint.RECOVERY_POINT)[TopicPartition(topic, 0)]
    log = machine.open(f"{topic}-0", recovery_point=recovery_point)
    assert log.log_end_offset == end
    for path in sorted((SEGMENTS / "recovered" / f"{topic}-0").iterdir()):
        if path.suffix == ".log":
            assert machine.disk.get(f"{topic}-0/{path.name}").read() == path.read_bytes()


def checkpoint_of(moment: str, name: str) -> dict[TopicPartition, int]:
    disk = SimDisk(lambda: Micros(0))
    disk.create(name).append((SEGMENTS / moment / name).read_bytes())
    return checkpoint.read_offsets(disk, name)


def test_checkpoints_are_read():
    offsets = checkpoint_of("clean_stop", checkpoint.RECOVERY_POINT)
    assert offsets[TopicPartition("s-rolled", 0)] == 150
    assert checkpoint_of("clean_stop", checkpoint.LOG_START)[TopicPartition("s-deleted", 0)] > 0


@pytest.mark.parametrize("topic", ["s-rolled", "s-plain", "s-headers", "s-gzip"])
def test_the_same_batches_give_the_same_files(topic):
    """Segments, indexes, time indexes, snapshots and epochs, byte for byte, after a clean stop."""
    small = {"segment_bytes": 2_000, "index_interval_bytes": 300} if topic == "s-rolled" else {}
    machine = Machine(**small)
    log = machine.open(f"{topic}-0", clean=True)
    for path in sorted((SEGMENTS / "clean_stop" / f"{topic}-0").glob("*.log")):
        data = path.read_bytes()
        for span in batches.spans_in_file(data):
            log.append_as_follower(data[span.position : span.position + span.size], 0, 0)
    log.close()
    for path in (SEGMENTS / "clean_stop" / f"{topic}-0").iterdir():
        if path.suffix != ".dump" and path.name != "partition.metadata":
            ours = machine.disk.get(f"{topic}-0/{path.name}")
            assert ours is not None, path.name
            assert ours.read() == path.read_bytes(), path.name


def test_snapshots_are_written_as_they_were_read():
    for path in SEGMENTS.rglob("*.snapshot"):
        state = ProducerState()
        assert state.load(path.read_bytes(), 0, 0, 1 << 62)
        assert state.snapshot() == path.read_bytes()


def test_a_whole_directory_is_opened_after_its_clean_stop():
    machine = Machine()
    for path in sorted((SEGMENTS / "clean_stop").rglob("*")):
        if path.is_file() and path.suffix != ".dump":
            machine.disk.create(str(path.relative_to(SEGMENTS / "clean_stop"))).append(path.read_bytes())
    directory = LogDirectory(machine.disk, machine.outbox, machine.safeguards)
    assert directory.was_clean
    assert directory.previous_broker_epoch == 12
    directory.begin()
    found = directory.on_disk()
    for tp, offset in directory.recovery_points.offsets.items():
        if tp in found:
            log = directory.open(tp, found[tp], machine.config, 0)
            assert log.log_end_offset == offset, tp
    assert machine.disk.get(".kafka_cleanshutdown") is None
