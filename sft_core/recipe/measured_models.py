"""Cache of model sizes, measured once per state directory.

Measuring builds the model on the meta device, which needs torch and transformers: 3 to 5 s of processor time, nearly
all of it imports. A measurement is therefore cached in a file whose name is a digest of everything that it depends on:
model and tokenizer by content, the trained parts, the versions of the libraries, and the code that measures.
"""

from dataclasses import asdict
from pathlib import Path

import orjson

from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.tokenizer import TokenizerRef, load_tokenizer
from sft_core.recipe.model_shape import ModelShape, measure_model
from sft_core.store.closure import library_versions, own_code
from sft_core.store.durable import write_whole
from sft_core.store.fingerprint import digest
from sft_core.training import TrainingConfig

OPTIONAL_LIBRARIES = ("bitsandbytes",)


def measured_model(
    model: ModelRef, tokenizer: TokenizerRef, training: TrainingConfig | None, folder: Path
) -> ModelShape:
    """Return the cached measurement of a model, or measure the model and cache the result.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        training: The `training` section, which decides the trained parts; None: everything is trained.
        folder: Folder of the cached measurements.

    Raises:
        RecipeError: as `measure_model`. A failed measurement is not cached.
    """
    trained = {} if training is None else _what_is_trained(training)
    code = own_code().closure(f"{measure_model.__module__}:{measure_model.__name__}")
    libraries = library_versions(code.libraries, OPTIONAL_LIBRARIES)
    depends_on = [model, tokenizer, trained, libraries, code.digest]
    file = folder / f"shape-{digest(depends_on)}.json"
    try:
        return ModelShape(**orjson.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        pass
    shape = measure_model(model, load_tokenizer(tokenizer), training)
    write_whole(file, orjson.dumps(asdict(shape)))
    return shape


def _what_is_trained(training: TrainingConfig) -> dict[str, object]:
    return {name: getattr(training, name) for name in ("peft", "num_layers_unfrozen", "freeze")}
