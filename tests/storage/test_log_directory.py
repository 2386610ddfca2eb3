"""A broker's log directory over clean stops, crashes and deletions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafsim.protocol.types import TopicPartition
from kafsim.storage import checkpoint
from kafsim.storage.log_config import DEFAULT
from kafsim.storage.log_directory import LogDirectory
from kafsim.storage.retention import delete_old_segments
from tests.storage.kit import NOW, Machine, batch

TP, TOPIC_ID = TopicPartition("orders", 0), bytes(range(16))


def open_directory(machine: Machine) -> LogDirectory:
    directory = LogDirectory(machine.disk, machine.outbox, machine.safeguards)
    directory.begin()
    return directory


def test_a_clean_stop_is_remembered_with_its_broker_epoch_until_the_next_start():
    machine = Machine()
    directory = open_directory(machine)
    assert (directory.was_clean, directory.previous_broker_epoch) == (False, -1)
    log = directory.open(TP, TOPIC_ID, DEFAULT, NOW)
    log.append_as_leader(batch("a"), 0, NOW)
    log.set_high_watermark(1)
    directory.close(42)
    directory = open_directory(machine)
    assert (directory.was_clean, directory.previous_broker_epoch) == (True, 42)
    assert directory.on_disk() == {TP: TOPIC_ID}
    assert directory.open(TP, TOPIC_ID, DEFAULT, NOW).high_watermark == 1
    assert not open_directory(machine).was_clean


def test_after_a_crash_the_high_watermark_is_the_one_last_written():
    machine = Machine()
    directory = open_directory(machine)
    log = directory.open(TP, TOPIC_ID, DEFAULT, NOW)
    for hw in (1, 2, 3):
        log.append_as_leader(batch("a"), 0, NOW)
        log.set_high_watermark(hw)
        if hw == 2:
            directory.high_watermarks.put(TP, hw)
            directory.high_watermarks.write()
    log = open_directory(machine).open(TP, TOPIC_ID, DEFAULT, NOW)
    assert (log.high_watermark, log.log_end_offset) == (2, 3)


def test_an_unchanged_checkpoint_is_not_written_again():
    machine = Machine()
    directory = open_directory(machine)
    directory.high_watermarks.put(TP, 5)
    directory.high_watermarks.write()
    file = machine.disk.get(checkpoint.HIGH_WATERMARK)
    directory.high_watermarks.put(TP, 5)
    directory.high_watermarks.write()
    assert machine.disk.get(checkpoint.HIGH_WATERMARK) is file


def test_a_deleted_partition_leaves_nothing():
    machine = Machine()
    directory = open_directory(machine)
    directory.open(TP, TOPIC_ID, DEFAULT, NOW)
    directory.high_watermarks.put(TP, 0)
    directory.delete(TP)
    assert directory.on_disk() == {}
    assert not [name for name in machine.disk.names() if name.startswith("orders")]


def test_a_log_directory_has_one_id_for_ever():
    machine = Machine()
    first = open_directory(machine).format(1, bytes(range(1, 17)), "cluster")
    assert open_directory(machine).format(1, bytes(16), "cluster") == first


def test_broken_checkpoints_count_as_empty():
    machine = Machine()
    for text in ("1\n0\n", "0\n2\nt 0 5\n", "0\nx\n", "0\n1\nt 0\n", "0\n1\nt 0 five\n"):
        machine.disk.replace("c", text.encode())
        assert checkpoint.read_offsets(machine.disk, "c") == {}
    machine.disk.replace("c", b"0\n1\nt 0 5\n")
    assert checkpoint.read_offsets(machine.disk, "c") == {TopicPartition("t", 0): 5}


steps = st.tuples(
    st.sampled_from(("append", "append", "roll", "flush", "truncate", "start", "replace", "retain", "close", "delete")),
    st.integers(0, 1),
    st.integers(0, 8),
)


@given(st.lists(steps, min_size=20, max_size=60))
def test_checkpoints_hold_what_a_walk_over_all_logs_would_write(script):
    machine = Machine()
    directory = open_directory(machine)
    for do, partition, number in script:
        tp = TopicPartition("orders", partition)
        log = directory.open(tp, TOPIC_ID, DEFAULT, NOW)
        match do:
            case "append":
                log.append_as_leader(batch("a"), 0, NOW)
                log.set_high_watermark(log.log_end_offset)
            case "roll" if log.active.size:
                log.roll(log.log_end_offset, NOW)
            case "flush":
                log.on_flushed(number)
            case "truncate":
                log.truncate_to(max(number, log.log_start_offset), NOW)
            case "start":
                log.advance_log_start(min(number, log.high_watermark))
            case "replace" if number == 0:
                log.replace_all(number, NOW)
            case "retain":
                delete_old_segments(log, NOW)
            case "close" if number == 0:
                log.close()
            case "delete" if number == 0:
                directory.delete(tp)
        directory.write_bounds()
        logs = directory.logs.items()
        assert checkpoint.read_offsets(machine.disk, checkpoint.RECOVERY_POINT) == {
            tp: log.recovery_point for tp, log in logs
        }
        assert checkpoint.read_offsets(machine.disk, checkpoint.LOG_START) == {
            tp: log.log_start_offset for tp, log in logs if log.log_start_offset > log.segments[0].base_offset
        }
