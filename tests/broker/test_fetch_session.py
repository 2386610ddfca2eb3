"""Fetch sessions: incremental requests mean what full ones would, and every wrong id or epoch is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafsim.broker.fetch_session import EVICTABLE_AFTER, FetchSession, FetchSessionCache, next_epoch
from kafsim.cluster.chance import Chance
from kafsim.protocol import errors
from kafsim.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState
from kafsim.protocol.types import Micros

TOPIC = b"t" * 16


def _cache(slots: int = 10) -> FetchSessionCache:
    return FetchSessionCache(slots, Chance(1).stream("sessions"))


def _request(
    id_: int, epoch: int, asked: dict[int, int], gone: tuple[int, ...] = (), replica: int = -1
) -> FetchRequest:
    partitions = tuple(FetchPartition(partition=index, fetch_offset=offset) for index, offset in asked.items())
    return FetchRequest(
        session_id=id_,
        session_epoch=epoch,
        replica_state=ReplicaState(replica_id=replica),
        topics=(FetchTopic(topic_id=TOPIC, partitions=partitions),) if asked else (),
        forgotten_topics_data=(ForgottenTopic(topic_id=TOPIC, partitions=gone),) if gone else (),
    )


def _open(cache: FetchSessionCache, now: int = 0, replica: int = -1) -> FetchSession:
    request = _request(0, 0, {0: 0}, replica=replica)
    session, _, error = cache.find(request)
    assert session is not None
    assert not error
    session.update(request)
    session.last_fetch = Micros(now)
    cache.keep(session, Micros(now))
    return session


changes = st.tuples(
    st.dictionaries(st.integers(0, 5), st.integers(0, 9), max_size=4), st.lists(st.integers(0, 5), max_size=3)
)


@given(st.lists(changes, max_size=12))
def test_what_a_session_holds_is_what_all_its_requests_named(script: list[tuple[dict[int, int], list[int]]]) -> None:
    cache = _cache()
    session, model, epoch = _open(cache), {0: 0}, 1
    for asked, dropped in script:
        gone = [index for index in dropped if index not in asked]
        request = _request(session.id, epoch, asked, tuple(gone))
        found, _, error = cache.find(request)
        assert found is session
        assert error == errors.NONE
        assert {key[1] for key in session.update(request)} == model.keys() & {*gone}
        model = {**{index: offset for index, offset in model.items() if index not in gone}, **asked}
        assert {key[1]: cached.asked.fetch_offset for key, cached in session.partitions.items()} == model
        epoch = next_epoch(epoch)


def test_wrong_ids_and_epochs() -> None:
    cache = _cache()
    session = _open(cache)
    assert cache.find(_request(session.id + 1, 1, {}))[2] == errors.FETCH_SESSION_ID_NOT_FOUND
    assert cache.find(_request(session.id, 2, {}))[2] == errors.INVALID_FETCH_SESSION_EPOCH
    assert cache.find(_request(session.id, 1, {}))[2] == errors.NONE
    assert cache.find(_request(session.id, 1, {}))[2] == errors.INVALID_FETCH_SESSION_EPOCH
    assert cache.find(_request(session.id, 2, {}))[2] == errors.NONE


def test_epochs_go_round_without_the_first_two() -> None:
    assert [next_epoch(epoch) for epoch in (0, 1, 0x7FFF_FFFF, -1)] == [1, 2, 1, -1]


def test_the_final_epoch_ends_a_session_and_reads_once_more() -> None:
    cache = _cache()
    session = _open(cache)
    last, ended, error = cache.find(_request(session.id, -1, {0: 0}))
    assert ended is session
    assert error == errors.NONE
    assert last is not None
    assert last.id == 0
    assert cache.find(_request(session.id, 1, {}))[2] == errors.FETCH_SESSION_ID_NOT_FOUND


def test_a_full_cache_keeps_who_is_there_unless_idle_for_long() -> None:
    cache = _cache(slots=2)
    old, other = _open(cache, now=0), _open(cache, now=5)
    assert _open(cache, now=10).id == 0
    late = _open(cache, now=EVICTABLE_AFTER + 1)
    assert late.id
    assert cache.find(_request(old.id, 1, {}))[2] == errors.FETCH_SESSION_ID_NOT_FOUND
    assert cache.find(_request(other.id, 1, {}))[2] == errors.NONE


def test_a_follower_takes_the_place_of_a_client() -> None:
    cache = _cache(slots=2)
    _open(cache, replica=2)
    client = _open(cache)
    assert _open(cache, replica=3).id
    assert cache.find(_request(client.id, 1, {}))[2] == errors.FETCH_SESSION_ID_NOT_FOUND
    assert _open(cache, replica=4).id == 0
