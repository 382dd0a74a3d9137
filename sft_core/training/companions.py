"""Files that a model needs besides its weights: tokenizer, chat template and image processor."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sft_core.pretrained.processor import PROCESSOR_FILES, ProcessorRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Companions:
    """Tokenizer (with its chat template) and image processor that are saved with a model."""

    tokenizer: "PreTrainedTokenizerBase"
    processor: ProcessorRef | None = None

    def save(self, folder: Path) -> None:
        """Write both into a model's folder. The processor's files are copied unchanged."""
        self.tokenizer.save_pretrained(folder)
        if self.processor is not None:
            for name in PROCESSOR_FILES:
                file = self.processor.tokenizer.folder / name
                if file.is_file():
                    shutil.copyfile(file, folder / name)
