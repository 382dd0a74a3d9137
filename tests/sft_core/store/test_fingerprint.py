"""Canonical values, their digests, and the difference between two payloads."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.packing import PackingConfig
from sft_core.store.fingerprint import (
    Placement,
    canonical,
    digest,
    digest_bytes,
    digest_file,
    explain_difference,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset("ab"),
        math.nan,
        math.inf,
        -math.inf,
        print,
        lambda: 1,
        object(),
        b"bytes",
        {1: "a"},
        Path("x"),
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_deterministic_text_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no deterministic fingerprint"):
        canonical({"nested": [value]})


@dataclass(frozen=True)
class Where(Placement):
    folder: str


@dataclass(frozen=True)
class Inputs:
    rate: float
    names: tuple[str, ...]
    where: Where


def test_a_dataclass_counts_by_its_fields_without_those_that_only_place_work() -> None:
    assert canonical(Inputs(0.5, ("a", "b"), Where("x"))) == {"rate": 0.5, "names": ["a", "b"]}
    with pytest.raises(TypeError, match="no deterministic fingerprint"):
        canonical(Inputs(math.nan, (), Where("x")))
    with pytest.raises(TypeError, match="no deterministic fingerprint"):
        canonical(Where("x"))
    with pytest.raises(TypeError, match="no deterministic fingerprint"):
        canonical(Inputs)


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_a_tuple_is_a_list() -> None:
    assert digest((1, (2, 3))) == digest([1, [2, 3]])


def test_the_order_of_a_list_matters() -> None:
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, "1"), (0, None), ("", None), ([], {}), ([["a"], "b"], ["a", ["b"]])]
)
def test_values_of_different_types_differ(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_a_section_counts_by_all_its_fields_defaults_included() -> None:
    fields = {
        "packing": True,
        "packing_strategy": "bfd",
        "eval_packing": None,
        "shuffle_dataset": False,
        "shuffle_seed": 42,
        "drop_duplicates": False,
        "target_column": "loss_mask",
    }
    assert canonical(PackingConfig(packing=True)) == fields


def test_an_object_with_an_identity_of_its_own_counts_by_it() -> None:
    class Located:
        path = "/somewhere"

        def fingerprint(self) -> dict[str, str]:
            return {"content": "abc"}

    assert canonical([Located()]) == [{"content": "abc"}]


def test_lone_surrogates_can_be_digested() -> None:
    assert digest("\ud800") != digest("\ud801")


@given(JSON)
def test_canonical_values_stay_what_they_are(value: object) -> None:
    assert canonical(canonical(value)) == canonical(value)


def test_bytes_are_digested_as_one_stream_however_they_are_cut(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abcdef")
    assert digest_bytes([b"abc", b"def"]) == digest_bytes([b"abcdef"]) == digest_file(file)
    assert len(digest_file(file)) == 32


def test_a_difference_names_the_field_and_both_values() -> None:
    ours = {"code": "a", "config": {"max_length": 64, "truncation_mode": "keep_start"}, "shards": ["x", "y"]}
    theirs = {"code": "a", "config": {"max_length": 32, "truncation_mode": "keep_start"}, "shards": ["x", "z"]}
    assert explain_difference(ours, theirs) == ["config.max_length: 32 → 64", "shards.1: 'z' → 'y'"]


def test_a_field_that_only_one_payload_has_is_a_difference() -> None:
    assert explain_difference({"a": 1}, {"b": 2}) == ["a: None → 1", "b: 2 → None"]


def test_lists_of_different_lengths_differ_as_a_whole() -> None:
    assert explain_difference({"a": [1]}, {"a": [1, 2]}) == ["a: [1, 2] → [1]"]


def test_equal_payloads_have_no_difference() -> None:
    assert explain_difference({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []
