"""Plays of ``consumer_group.play``: the rules of KIP-848."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coordinator.consumer_play import Play, perform, read

PLAYS = read(Path(__file__).parent / "consumer_group.play")


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_play(play: Play) -> None:
    perform(play)
