"""A class is refused when it could be shared and changed; every other one comes back equal."""

from __future__ import annotations

import enum

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.protocol import codec
from kafsim.protocol.types import NodeId


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@attrs.frozen
class Inner:
    number: int
    text: str | None


@attrs.frozen(kw_only=True)
class Outer:
    node: NodeId
    data: bytes
    flag: bool
    colour: Colour
    inner: Inner
    maybe: Inner | None
    many: tuple[Inner, ...]
    nested: tuple[tuple[int, ...], ...]
    pair: tuple[str, Inner]


codec.register(Outer, "tests.Outer")

inner = st.builds(Inner, st.integers(-(2**63), 2**63 - 1), st.none() | st.text())
outer = st.builds(
    Outer,
    node=st.integers(0, 2**31),
    data=st.binary(),
    flag=st.booleans(),
    colour=st.sampled_from(Colour),
    inner=inner,
    maybe=st.none() | inner,
    many=st.lists(inner).map(tuple),
    nested=st.lists(st.lists(st.integers(0, 9)).map(tuple)).map(tuple),
    pair=st.tuples(st.text(), inner),
)


@given(outer)
def test_what_is_decoded_equals_what_was_encoded_and_shares_nothing(message):
    back = codec.decode(codec.encode(message))
    assert back == message
    assert back is not message
    assert back.inner is not message.inner


@pytest.mark.parametrize("hint", [list[int], dict[str, int], set[int], float, bytearray, Inner | Colour, object])
def test_a_field_that_can_be_changed_or_not_be_written_is_refused(hint):
    bad = attrs.make_class("Bad", {"field": attrs.field(type=hint)}, frozen=True)
    with pytest.raises(TypeError, match=r"Bad\.field"):
        codec.register(bad, f"tests.Bad.{hint}")


def test_a_tag_names_one_class():
    with pytest.raises(TypeError, match=r"belongs to Outer"):
        codec.register(Inner, "tests.Outer")
