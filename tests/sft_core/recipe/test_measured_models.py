"""A model is measured once, and again when something that counts has changed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelConfig, ModelRef, locate_model
from sft_core.pretrained.tokenizer import TokenizerRef, load_tokenizer
from sft_core.recipe.measured_models import measured_model
from sft_core.recipe.model_shape import measure_model
from sft_core.store.file_digests import FileDigests
from sft_core.training import TrainingConfig

SMALL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from pathlib import Path
from sft_core.recipe.measured_models import measured_model
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.training import TrainingConfig
model, tokenizer = ModelRef.model_validate_json(sys.argv[1]), TokenizerRef.model_validate_json(sys.argv[2])
print(measured_model(model, tokenizer, TrainingConfig(), Path(sys.argv[3])))
"""


def model_of(config: dict[str, Any], digests: FileDigests) -> ModelRef:
    return locate_model(ModelConfig(init="config", config=config, tokenizer="x"), digests)


def test_a_measurement_is_kept_and_read_without_torch(
    tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    model, training = model_of(SMALL, file_digests), TrainingConfig()
    shape = measured_model(model, tokenizer_ref, training, tmp_path)
    assert shape == measure_model(model, load_tokenizer(tokenizer_ref), training)
    assert measured_model(model, tokenizer_ref, training, tmp_path) == shape
    words = [model.model_dump_json(), tokenizer_ref.model_dump_json(), str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True)
    assert done.stdout.strip() == str(shape), done.stderr
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


def test_another_model_and_another_part_that_is_trained_are_measured_anew(
    tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    model = model_of(SMALL, file_digests)
    whole = measured_model(model, tokenizer_ref, TrainingConfig(), tmp_path)
    last = measured_model(model, tokenizer_ref, TrainingConfig(num_layers_unfrozen=1), tmp_path)
    assert last.num_trained_parameters < whole.num_trained_parameters == whole.num_parameters
    deep = measured_model(model_of({**SMALL, "num_hidden_layers": 4}, file_digests), tokenizer_ref, None, tmp_path)
    assert deep.num_parameters > whole.num_parameters
    assert measured_model(model, tokenizer_ref, TrainingConfig(learning_rate=0.5), tmp_path) == whole
    assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_measured_is_not_kept_and_what_is_broken_is_measured_anew(
    tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError):
        measured_model(model_of({"model_type": "nothing"}, file_digests), tokenizer_ref, None, tmp_path)
    assert list(tmp_path.iterdir()) == []
    model = model_of(SMALL, file_digests)
    shape = measured_model(model, tokenizer_ref, None, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    assert measured_model(model, tokenizer_ref, None, tmp_path) == shape
