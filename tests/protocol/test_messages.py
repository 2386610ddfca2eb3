"""Message classes against Kafka's schemas, and their binary form against Kafka's own bytes."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import typing
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafsim.protocol import codec, consumer_protocol, group_records, messages, metadata, uuid
from kafsim.protocol.group_records import serde as groups
from kafsim.protocol.metadata import serde
from kafsim.protocol.schema import NO_KEY, about, versions, wire_of
from kafsim.protocol.wire import codec as wire_codec
from kafsim.protocol.wire import json_form
from kafsim.protocol.wire.primitives import WireError

DATA = Path(__file__).parent.parent / "data"
SCHEMAS = json.loads((DATA / "schemas.json").read_text())

for package in (messages, metadata, group_records):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")

CLASSES = {cls.__name__: cls for cls in about}


def snake(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def test_every_class_has_a_schema():
    assert set(CLASSES) <= set(SCHEMAS)


@pytest.mark.parametrize("name", CLASSES)
def test_fields_are_kafkas(name):
    cls, schema = CLASSES[name], SCHEMAS[name]
    assert about[cls].key == (NO_KEY if schema["key"] is None else schema["key"])
    assert about[cls].versions == versions(schema["valid"])
    assert about[cls].flexible == versions(schema["flexible"])
    check_fields(cls, schema["fields"], schema["common"])


def check_fields(cls, fields, common):
    ours = {field.name: wire_of(field) for field in attrs.fields(cls)}
    assert list(ours) == [snake(field[0]) for field in fields]
    hints = typing.get_type_hints(cls)
    for name, type_, span, nullable, tag, tagged, _default, inner in fields:
        wire = ours[snake(name)]
        assert wire.versions == versions(span)
        assert (wire.tag, wire.tagged) == (tag, versions(tagged))
        if not type_.endswith("records"):
            assert wire.nullable == versions(nullable)
        base = type_.removeprefix("[]")
        if base[0].isupper():
            assert wire.type.removeprefix("[]") in (base, base + "Result")
            check_fields(wire_codec.class_in(hints[snake(name)]), inner or common[base], common)
        else:
            assert wire.type == type_


GROUP_LINES = (DATA / "vectors" / "group_records.jsonl").read_text().splitlines()
GROUPS = [vector for vector in map(json.loads, GROUP_LINES) if vector["record_type"] in groups.by_type]


@pytest.mark.parametrize("vector", GROUPS, ids=lambda v: v["name"])
def test_records_of_groups_are_written_and_read_as_kafka_does(vector):
    key, value = bytes.fromhex(vector["key_hex"]), bytes.fromhex(vector["value_hex"])
    our_key, our_value, version = groups.decode(key, value)
    assert version == vector["value_version"]
    assert json_form.to_json(our_key, 0) == vector["key"]
    assert json_form.to_json(our_value, version) == vector["value"]
    assert groups.encode_key(our_key) == key
    assert groups.encode_value(our_value, version) == value


BLOBS = (DATA / "vectors" / "consumer_protocol.jsonl").read_text().splitlines()


@pytest.mark.parametrize("vector", [*map(json.loads, BLOBS)], ids=lambda v: v["name"])
def test_subscriptions_and_assignments_are_written_and_read_as_kafka_does(vector):
    data = bytes.fromhex(vector["hex"])
    decode = consumer_protocol.decode_subscription
    if vector["name"].startswith("assignment"):
        decode = consumer_protocol.decode_assignment
    found, version = decode(data), int.from_bytes(data[:2], "big")
    assert json_form.to_json(found, min(version, 3)) == vector["data"]
    if version <= 3:
        assert consumer_protocol.encode(found, version) == data
    for cut in (0, 1, 5, len(data) // 2):
        with pytest.raises(WireError):
            decode(data[:cut])


LINES = (DATA / "vectors" / "metadata_records.jsonl").read_text().splitlines()
METADATA = [vector for vector in map(json.loads, LINES) if vector["record_type"] in serde.by_type]


@pytest.mark.parametrize("vector", METADATA, ids=lambda v: v["name"])
def test_metadata_records_are_written_and_read_as_kafka_does(vector):
    data = bytes.fromhex(vector["hex"])
    record, version = serde.decode(data)
    assert version == vector["version"]
    check_values(record, vector["data"], version)
    assert serde.encode(record, version) == data


def check_values(record, data, version):
    for key, value in data.items():
        wanted = value & 0xFFFF if key == "port" else value  # the vectors' random ports do not fit their field
        check_value(getattr(record, snake(key)), wanted, version)


def check_value(ours, value, version):
    if isinstance(value, dict):
        check_values(ours, value, version)
    elif isinstance(value, list):
        assert len(ours) == len(value)
        for one, other in zip(ours, value, strict=True):
            check_value(one, other, version)
    elif isinstance(ours, bytes):
        assert uuid.to_text(ours) == value
    else:
        assert ours == value


NUMBERS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}


def values(wire, hint):
    base = wire.type.removeprefix("[]")
    if base in NUMBERS:
        one = st.integers(-(2 ** NUMBERS[base]), 2 ** NUMBERS[base] - 1)
    elif base[0].isupper():
        one = instances(wire_codec.class_in(hint))
    else:
        one = {
            "uint16": st.integers(0, 65535),
            "bool": st.booleans(),
            "string": st.text(max_size=9),
            "uuid": st.binary(min_size=16, max_size=16),
            "bytes": st.binary(max_size=9),
            "records": st.binary(max_size=9),
        }[base]
    many = st.lists(one, max_size=3).map(tuple) if wire.type.startswith("[]") else one
    return many | st.none() if wire.nullable else many


def instances(cls):
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: values(wire_of(f), hints[f.name]) for f in attrs.fields(cls)})


def in_version(message, version):
    """The message without the fields that this version does not carry."""
    changes = {}
    for field in attrs.fields(type(message)):
        wire, value = wire_of(field), getattr(message, field.name)
        if not wire.versions[0] <= version <= wire.versions[1]:
            changes[field.name] = field.default
        elif attrs.has(type(value)):
            changes[field.name] = in_version(value, version)
        elif isinstance(value, tuple) and value and attrs.has(type(value[0])):
            changes[field.name] = tuple(in_version(one, version) for one in value)
    return attrs.evolve(message, **changes)


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_every_message_survives_all_forms(name, data):
    cls = CLASSES[name]
    message = data.draw(instances(cls))
    assert codec.decode(codec.encode(message)) == message
    version = data.draw(st.integers(*about[cls].versions))
    written = wire_codec.encode(message, version)
    assert wire_codec.decode(cls, written, version) == (in_version(message, version), len(written))
    shown = json.loads(json.dumps(json_form.to_json(message, version)))
    assert json_form.from_json(cls, shown, version) == in_version(message, version)


@pytest.mark.parametrize("vector", METADATA, ids=lambda v: v["name"])
def test_json_is_kafkas_own(vector):
    record, version = serde.decode(bytes.fromhex(vector["hex"]))
    shown = json_form.to_json(record, version)
    for end_point in vector["data"].get("endPoints") or []:
        end_point["port"] &= 0xFFFF  # the vectors' random ports do not fit their field
    assert shown == vector["data"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"topic": []}, "ListOffsetsRequest has no 'topic'"),
        ({"topics": [{"name": "t", "partitions": [{"time": 1}]}]}, "ListOffsetsPartition has no 'time'"),
        ({"replicaId": {"a": 1}}, "replicaId is {'a': 1}: that is no int"),
        ({"topics": 3}, "topics is 3: that is no list"),
        ({"isolationLevel": True}, "isolationLevel is True: that is no int"),
    ],
)
def test_json_that_does_not_fit_is_named(given, message):
    with pytest.raises(WireError, match=re.escape(message)):
        json_form.from_json(CLASSES["ListOffsetsRequest"], given, 8)


def test_json_fields_of_other_versions_are_passed_over():
    given = {"replicaId": -1, "timeoutMs": 5, "isolationLevel": 1}
    assert json_form.from_json(CLASSES["ListOffsetsRequest"], given, 1).timeout_ms == 0
