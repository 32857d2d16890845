"""Input and Output against what djl-serving v0.27.0's djl_python does."""

from __future__ import annotations

import importlib
import json
import pickle

import pytest

from local_cloud.djl.messages import Input, Output, provide


def test_a_single_request_is_its_own_batch() -> None:
    request = Input()
    request.properties["Content-Type"] = "application/json"
    assert request.get_batches() == [request]
    assert request.get_property("content-type") == "application/json"
    assert request.get_property("accept") is None


def test_a_batch_is_taken_apart_by_its_prefixes() -> None:
    batch = Input()
    batch.properties.update(
        {"batch_size": "2", "batch_000.accept": "a", "batch_001.accept": "b", "device_id": "-1"}
    )
    batch.content.add("batch_001.data", b"second")
    batch.content.add("batch_000.data", b"first")
    first, second = batch.get_batches()
    assert [each.get_as_bytes() for each in (first, second)] == [
        bytearray(b"first"),
        bytearray(b"second"),
    ]
    assert (first.get_properties(), second.get_properties()) == ({"accept": "a"}, {"accept": "b"})


def test_content_is_found_as_data_then_first_and_there_may_be_none() -> None:
    request = Input()
    found = [request.get_as_bytes()]
    for name in (None, "data"):
        request.content.add(name, f"{name}".encode())
        found.append(request.get_as_bytes())
    assert found == [None, b"None", b"data"]


def test_an_output_encodes_what_it_is_given_and_gets_over_to_the_host() -> None:
    output = Output().add("ü").add(b"\x00").add({"n": 1}, batch_index=2).finalize(print)
    for each in (output, pickle.loads(pickle.dumps(output))):
        assert each.content.values == [b"\xc3\xbc", b"\x00", b'{\n  "n":1\n}']
        assert each.content.keys == [None, None, "batch_2."]
        assert (each.code, each.message) == (200, "OK")
    with pytest.raises(ValueError, match="Out of range"):
        Output().add(float("nan"))


def test_an_error_output_is_djl_s_own_json() -> None:
    output = Output().error("no")
    said = {"code": 424, "message": "prediction failure", "error": "no"}
    assert (output.code, output.properties["content-type"]) == (424, "application/json")
    assert json.loads(output.content.value_at(0)) == said


def test_provides_the_module_that_a_handler_imports() -> None:
    provide()
    djl_python = importlib.import_module("djl_python")
    assert (djl_python.Input, djl_python.Output) == (Input, Output)
