"""Plays of ``quorum.play``: voters, observers and what they may lose, each checked by the invariants of the quorum."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.quorum_kit import Play, perform, read

PLAYS = read(Path(__file__).parent / "quorum.play")


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_play(play: Play) -> None:
    perform(play)


@pytest.mark.parametrize("play", [p for p in PLAYS if any(w[0] == "off" for _, w in p.lines)], ids=lambda p: p.name)
def test_with_all_safeguards_the_same_faults_break_nothing(play: Play) -> None:
    assert perform(play, off=False).broken == []
