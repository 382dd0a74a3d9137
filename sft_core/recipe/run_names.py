"""What a run is called: its recipe, its model, and four letters that are others for other settings.

    quickstart - llama 2x128 - 3f2a          random weights: 2 layers, 128 wide
    gsm8k - SmolLM2-135M - 90be              a model of that name
    quickstart@champion on gsm8k             an evaluation

A run has one name in Prefect and in MLflow, and the same recipe has it again. All characters are plain: Prefect's graph
draws no `·` and no `×`.
"""

from pathlib import PurePath
from typing import Any

from sft_core.pretrained.model import ModelConfig
from sft_core.recipe import Recipe
from sft_core.store.fingerprint import digest

MODEL_CHARS = 40
SETTINGS_CHARS = 4
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model")
"""What architectures call the same two numbers."""


def run_name(recipe: Recipe) -> str:
    """Recipe, model and settings; where the work is done (`runtime`) is no setting."""
    settings = digest({name: value for name, value in recipe if name != "runtime"})
    return f"{recipe.name} - {model_label(recipe.model)} - {settings[:SETTINGS_CHARS]}"


def score_name(model: str, recipe: Recipe) -> str:
    """An evaluation: the model, as it was named, on the rows."""
    return f"{path_label(model)} on {recipe.name}"


def comparison_name(model: str, against: str, recipe: Recipe) -> str:
    """Two models on the same rows."""
    return f"{path_label(model)} against {path_label(against)} on {recipe.name}"


def model_label(model: ModelConfig) -> str:
    """The name of the weights; of random ones architecture, layers and width."""
    kind = str(model.config.get("model_type", "")) or path_label(model.path or "model")
    if model.init == "pretrained" and model.path is not None:
        return path_label(model.path)
    shape = [_first(model.config, names) for names in (LAYERS, WIDTHS)]
    return _shortened(kind if None in shape else f"{kind} {shape[0]}x{shape[1]}")


def path_label(path: str) -> str:
    """The last part of a folder, a Hub id or a model's address; a folder that is just called `model` has its parent's
    name."""
    parts = [part for part in PurePath(path.removeprefix("models:/")).parts if part not in ("/", ".", "..")]
    is_version = path.startswith("models:/") and len(parts) > 1
    if is_version or (len(parts) > 1 and parts[-1] == "model"):
        return _shortened("/".join(parts[-2:]) if is_version else parts[-2])
    return _shortened(parts[-1] if parts else path)


def _first(config: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if name in config), None)


def _shortened(name: str) -> str:
    return name if len(name) <= MODEL_CHARS else f"{name[: MODEL_CHARS - 3]}..."
