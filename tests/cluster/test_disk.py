"""What a crash and a power failure leave of a disk, against a model that tries every prefix."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kafsim.cluster.disk import SimDisk
from kafsim.protocol.types import Micros


class Machine:
    """A disk with a clock that a test moves."""

    def __init__(self, key: int = 0) -> None:
        self.time = 0
        self.disk = SimDisk(lambda: Micros(self.time), key)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.binary(min_size=1, max_size=6)), st.tuples(st.just("cut"), st.integers(0, 20))
    ),
    max_size=12,
)


@given(operations, operations, st.integers(0, 2**64 - 1))
def test_a_power_failure_keeps_a_prefix_beyond_what_was_flushed(flushed, later, key):
    machine = Machine(key)
    file = machine.disk.create("log/0")
    for operation in flushed:
        apply(file, operation)
    machine.disk.flush(file)[1]()
    states = [file.read()]
    for operation in later:
        apply(file, operation)
        states.append(file.read())
    machine.disk.lose_power()
    left = machine.disk.get("log/0").read()
    torn = {
        after[:n]
        for before, after in itertools.pairwise(states)
        if len(after) > len(before)
        for n in range(len(before), len(after))
    }
    assert left in states or left in torn


def apply(file, operation) -> None:
    kind, argument = operation
    if kind == "append":
        file.append(argument)
    else:
        file.truncate(argument)


def outcomes(prepare) -> set[bytes | None]:
    found = set()
    for key in range(200):
        machine = Machine(key)
        prepare(machine)
        machine.disk.lose_power()
        file = machine.disk.get("f")
        found.add(None if file is None else file.read())
    return found


def test_every_prefix_and_every_torn_append_can_be_what_is_left():
    def prepare(machine):
        file = machine.disk.create("f")
        machine.disk.flush(file)[1]()
        file.append(b"abc")
        file.append(b"de")

    assert outcomes(prepare) == {b"", b"a", b"ab", b"abc", b"abcd", b"abcde"}


def test_a_name_that_was_never_flushed_can_be_lost():
    def prepare(machine):
        machine.disk.create("f").append(b"x")

    assert None in outcomes(prepare)


def test_the_kernel_writes_back_within_35_seconds():
    def prepare(machine):
        machine.disk.create("f").append(b"x")
        machine.time += 35_000_001

    assert outcomes(prepare) == {b"x"}


def test_a_replaced_file_has_its_old_bytes_or_all_of_the_new_ones():
    def prepare(machine):
        machine.disk.replace("f", b"old")
        machine.time += 2
        machine.disk.replace("f", b"new and longer")

    assert outcomes(prepare) == {b"old", b"new and longer"}


def test_a_deleted_file_can_come_back_and_a_rename_is_one_step():
    def prepare(machine):
        file = machine.disk.create("g")
        file.append(b"x")
        machine.disk.flush(file)[1]()
        machine.disk.rename("g", "f")

    assert outcomes(prepare) == {None, b"x"}


def test_a_flush_covers_what_was_written_when_it_began():
    machine = Machine()
    file = machine.disk.create("f")
    file.append(b"covered")
    done, settle = machine.disk.flush(file)
    file.append(b" not covered")
    assert done == 1_000
    settle()
    assert file.operations == 2
    assert len(file._journal) == 1
