"""The undo journal: whatever is written after the last commit is taken back, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafsim.controller.tables import Table, UndoJournal

writes = st.tuples(st.sampled_from(("put", "delete")), st.integers(0, 1), st.integers(0, 4), st.integers(0, 9))


@given(st.lists(writes, max_size=40), st.integers(-1, 40))
def test_reverting_gives_what_was_committed(steps: list[tuple[str, int, int, int]], committed: int) -> None:
    journal = UndoJournal()
    tables: tuple[Table[int, int], Table[int, int]] = (Table(journal), Table(journal))
    models: tuple[dict[int, int], dict[int, int]] = ({}, {})
    kept = ({}, {})
    for offset, (do, which, key, value) in enumerate(steps):
        journal.offset = offset
        if do == "put":
            tables[which].put(key, value)
            models[which][key] = value
        elif key in tables[which]:
            tables[which].delete(key)
            del models[which][key]
        if offset == committed:
            kept = (dict(models[0]), dict(models[1]))
    assert [dict(table.items()) for table in tables] == list(models)
    journal.commit(committed)
    journal.revert()
    expected = kept if committed < len(steps) else models
    assert [dict(table.items()) for table in tables] == list(expected)
    assert not len(journal)


def test_replaying_what_is_committed_keeps_no_journal() -> None:
    journal = UndoJournal()
    table: Table[str, int] = Table(journal)
    table.put("a", 1)
    journal.revert()
    assert table["a"] == 1
