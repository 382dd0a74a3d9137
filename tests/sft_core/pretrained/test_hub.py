"""Names on the Hub; nothing here reaches for a network."""

import pytest

from sft_core.errors import RecipeError
from sft_core.pretrained.hub import download_data_files, looks_like_repo


@pytest.mark.parametrize(
    ("path", "is_repo"),
    [
        ("gpt2", True),
        ("org/name-1.5_b", True),
        ("./gpt2", False),
        ("../gpt2", False),
        ("/models/gpt2", False),
        ("a/b/c", False),
        ("a b", False),
        ("", False),
    ],
)
def test_a_hub_id_has_at_most_one_slash_and_does_not_begin_with_a_dot(path: str, is_repo: bool) -> None:
    assert looks_like_repo(path) is is_repo


@pytest.mark.parametrize(
    "url", ["hf://datasets/name/train.jsonl", "hf://models/org/name/x.json", "hf://datasets/org/name/"]
)
def test_a_malformed_data_url_is_refused(url: str) -> None:
    with pytest.raises(RecipeError, match="expected hf://datasets/<org>/<name>"):
        download_data_files(url)
