"""What lies beside a model's weights, so that one can talk to it: tokenizer, chat template, processor of images."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sft_core.pretrained.processor import PROCESSOR_FILES, ProcessorRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Companions:
    """Those of one training."""

    tokenizer: "PreTrainedTokenizerBase"
    processor: ProcessorRef | None = None

    def save(self, folder: Path) -> None:
        """Write them into a model's folder; the processor's files as they are, for nothing changes it."""
        self.tokenizer.save_pretrained(folder)
        if self.processor is not None:
            for name in PROCESSOR_FILES:
                file = self.processor.tokenizer.folder / name
                if file.is_file():
                    shutil.copyfile(file, folder / name)
