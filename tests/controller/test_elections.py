"""Plays of ``elections.play``: leader, ISR and ELR after one change, as ``PartitionChangeBuilder`` decides them."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from kafsim.controller.metadata_state import RECOVERED, RECOVERING, PartitionState
from kafsim.controller.partition_change import Election, PartitionChangeBuilder

FILE = Path(__file__).parent / "elections.play"


@attrs.define
class Play:
    name: str
    state: PartitionState | None = None
    setting: dict[str, str] = attrs.field(factory=dict)
    change: list[str] = attrs.field(factory=list)
    expected: list[str] = attrs.field(factory=list)


def _ids(text: str) -> tuple[int, ...]:
    return () if text == "-" else tuple(map(int, text.split(",")))


def _plays() -> list[Play]:
    plays: list[Play] = []
    for line in FILE.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "play":
            plays.append(Play(rest))
        elif word == "state":
            replicas, isr, elr, known, leader = rest.split()
            plays[-1].state = PartitionState(
                replicas=_ids(replicas),
                isr=_ids(isr),
                elr=_ids(elr),
                last_known_elr=_ids(known),
                leader=int(leader),
                leader_epoch=4,
                partition_epoch=9,
            )
        elif word == "setting":
            words = rest.split()
            plays[-1].setting = dict(zip(words[::2], words[1::2], strict=True))
        elif word == "change":
            change, _, expected = rest.partition("=>")
            plays[-1].change, plays[-1].expected = change.split(), expected.split()
    return plays


@pytest.mark.parametrize("play", _plays(), ids=lambda play: play.name)
def test_play(play: Play) -> None:
    assert play.state is not None
    up = _ids(play.setting["up"])
    builder = PartitionChangeBuilder(
        key=(b"t" * 16, 0),
        partition=play.state,
        is_acceptable=lambda replica: replica in up,
        min_isr=int(play.setting["min"]),
        elr_enabled=play.setting["elr"] == "on",
        election=Election(play.setting["election"]),
    )
    if play.change[0] == "isr":
        builder.target_isr = _ids(play.change[1])
    elif play.change[0] == "unclean-shutdown":
        builder.unclean_shutdown = _ids(play.change[1])
    change = builder.build()
    if play.expected == ["nothing"]:
        assert change is None
        return
    assert change is not None
    after = play.state.merge(change.record)
    leader, isr, elr, known, *recovering = play.expected
    assert (after.isr, after.elr, after.last_known_elr) == (_ids(isr), _ids(elr), _ids(known))
    assert after.recovery == (RECOVERING if recovering else RECOVERED)
    assert after.partition_epoch == 10
    if leader == "keep":
        assert (after.leader, after.leader_epoch, change.election) == (play.state.leader, 4, None)
    else:
        assert (after.leader, after.leader_epoch) == (int(leader), 5)
        assert change.election is not None
