"""Writing and loading of the folder of a trained model.

    merged or fully trained    model/  config.json, *.safetensors, tokenizer          `from_pretrained` and vLLM load it
    adapter kept apart         model/  adapter_config.json, adapter_model.safetensors, tokenizer,
                                       base_model.json and, if its weights exist nowhere else, base_model/

An adapter is merged after loading the saved adapter on its freshly loaded base model. So it does not matter how the
weights were sharded during training, and every delivered model has been loaded once already.
"""

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoTokenizer

from sft_core.modeling.adapters import PEFT_MISTAKES, is_mergeable, with_hidden_prompts
from sft_core.modeling.model_class import auto_class
from sft_core.modeling.weights import load_model
from sft_core.pretrained.model import ModelRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"
BASE_FILE = "base_model.json"
BASE_FOLDER = "base_model"


def deliver_adapter(
    adapter: Path, folder: Path, ref: ModelRef, tokenizer: "PreTrainedTokenizerBase", seed: int, merge_adapter: bool
) -> bool:
    """Write a model folder from a saved adapter.

    Args:
        adapter: Folder of the saved adapter; it is kept.
        folder: Folder for the model, without its tokenizer.
        ref: The base model of the adapter.
        tokenizer: The tokenizer of the training.
        seed: Seed of the training, from which the weights of a randomly initialized base model are drawn again.
        merge_adapter: Whether to merge the adapter into the weights if possible.

    Returns:
        True if the adapter was merged. Those of a quantized base, with virtual tokens, and of some methods are not.
    """
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(str(adapter))
    config.base_model_name_or_path, config.revision = ref.path, ref.commit  # the model's own name, not the cache folder
    config.save_pretrained(str(adapter))
    if merge_adapter and is_mergeable(config) and "quantization_config" not in ref.model_init_kwargs:
        base = load_model(ref, tokenizer, seed)
        try:
            merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload(safe_merge=True)
            merged.save_pretrained(folder)
            return True
        except PEFT_MISTAKES as error:  # this configuration of the method cannot be merged
            warnings.warn(
                f"training.merge_adapter: merging failed, so the adapter stays separate: {error}", stacklevel=2
            )
            shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    if ref.init == "config":
        load_model(ref, tokenizer, seed).save_pretrained(folder / BASE_FOLDER)
        ref = ref.model_copy(update={"path": BASE_FOLDER, "init": "pretrained", "config": {}})
    (folder / BASE_FILE).write_text(ref.model_dump_json(indent=1), encoding="utf-8")
    return False


def load_trained(folder: Path) -> Any:
    """Load a model folder that training wrote; an adapter is loaded on top of its base model.

    Raises:
        RecipeError: if the base model of an adapter cannot be loaded any more.
    """
    if not (folder / ADAPTER_CONFIG).exists():
        return auto_class(AutoConfig.from_pretrained(folder)).from_pretrained(folder)
    from peft import PeftModel

    ref = ModelRef.model_validate_json((folder / BASE_FILE).read_bytes())
    if ref.path == BASE_FOLDER:
        ref = ref.model_copy(update={"path": str(folder / BASE_FOLDER)})
        ref = ref.model_copy(update={"additional_special_tokens": ()})  # the saved base has their rows already
    base = load_model(ref, AutoTokenizer.from_pretrained(folder), seed=0)
    return with_hidden_prompts(PeftModel.from_pretrained(base, str(folder)))
