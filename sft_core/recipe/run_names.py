"""Names of runs: the recipe, the model, and four hexadecimal digits of a digest of the settings.

    quickstart - llama 2x128 - 3f2a          random weights: 2 layers, 128 wide
    gsm8k - SmolLM2-135M - 90be              pretrained weights of that name
    quickstart@champion on gsm8k             an evaluation

A run has the same name in Prefect and in MLflow, and running the same recipe again gives it again. Names use plain
characters only: Prefect's graph cannot draw `·` and `×`.
"""

from pathlib import PurePath
from typing import Any

from sft_core.pretrained.model import ModelConfig
from sft_core.recipe import Recipe
from sft_core.store.fingerprint import digest

MODEL_CHARS = 40
SETTINGS_CHARS = 4
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
"""Names of the number of layers in the configurations of different architectures."""
WIDTHS = ("hidden_size", "n_embd", "d_model")
"""Names of the hidden size in the configurations of different architectures."""


def run_name(recipe: Recipe) -> str:
    """Return the name of a recipe's run: recipe, model and settings. The section `runtime` does not change it."""
    settings = digest({name: value for name, value in recipe if name != "runtime"})
    return f"{recipe.name} - {model_label(recipe.model)} - {settings[:SETTINGS_CHARS]}"


def score_name(model: str, recipe: Recipe) -> str:
    """Return the name of an evaluation: the model, as the user named it, and the recipe of its rows."""
    return f"{path_label(model)} on {recipe.name}"


def comparison_name(model: str, against: str, recipe: Recipe) -> str:
    """Return the name of a comparison of two models on the same rows."""
    return f"{path_label(model)} against {path_label(against)} on {recipe.name}"


def model_label(model: ModelConfig) -> str:
    """Return the name of pretrained weights; for random weights, the architecture, number of layers and width."""
    kind = str(model.config.get("model_type", "")) or path_label(model.path or "model")
    if model.init == "pretrained" and model.path is not None:
        return path_label(model.path)
    shape = [_first(model.config, names) for names in (LAYERS, WIDTHS)]
    return _shortened(kind if None in shape else f"{kind} {shape[0]}x{shape[1]}")


def path_label(path: str) -> str:
    """Return the last part of a folder, a Hub id or an MLflow model URI.

    For a folder named `model`, that is its parent's name; for a version of a registered model, `NAME/VERSION`.
    """
    parts = [part for part in PurePath(path.removeprefix("models:/")).parts if part not in ("/", ".", "..")]
    is_version = path.startswith("models:/") and len(parts) > 1
    if is_version or (len(parts) > 1 and parts[-1] == "model"):
        return _shortened("/".join(parts[-2:]) if is_version else parts[-2])
    return _shortened(parts[-1] if parts else path)


def _first(config: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if name in config), None)


def _shortened(name: str) -> str:
    return name if len(name) <= MODEL_CHARS else f"{name[: MODEL_CHARS - 3]}..."
