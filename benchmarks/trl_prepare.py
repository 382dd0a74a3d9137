"""Time of TRL's preparation of one JSONL file: `python -m benchmarks.trl_prepare rows.jsonl folder [--chats]`.

The output is the seconds of `load_dataset` and `SFTTrainer._prepare_dataset(packing=True)`, in one process, which is
TRL's default. Imports and the construction of the trainer are not counted.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the Hub's client

import datasets
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

TOKENIZER = Path(__file__).parents[2] / "shared" / "data" / "tokenizer-gpt-neox"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_trainer(
    tokenizer: PreTrainedTokenizerFast, folder: Path, max_length: int = 1024, **options: object
) -> SFTTrainer:
    """Return an `SFTTrainer` with a random Llama of one layer, and two rows in place of the data."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    args = SFTConfig(
        output_dir=str(folder),
        report_to="none",
        use_cpu=True,
        bf16=False,
        max_length=max_length,
        packing=True,
        packing_strategy="bfd",
        **options,
    )
    rows = datasets.Dataset.from_list([{"prompt": "two and", "completion": " two"}] * 2)
    if options.get("assistant_only_loss"):
        turns = [{"role": "user", "content": "two and"}, {"role": "assistant", "content": "two"}]
        rows = datasets.Dataset.from_list([{"messages": turns}] * 2)
    return SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer)


def prepare(trainer: SFTTrainer, data: Path, folder: Path, columns: dict[str, str]) -> datasets.Dataset:
    """Prepare a file with TRL. `folder` is the cache of `datasets`; `columns` maps the file's names to TRL's."""
    raw = datasets.load_dataset("json", data_files=str(data), split="train", cache_dir=str(folder))
    raw = raw.rename_columns(columns) if columns else raw
    return trainer._prepare_dataset(raw, trainer.processing_class, trainer.args, True, None, "train")


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description="Time TRL's preparation of a JSONL file.")
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chats", action="store_true")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    if options.chats:
        tokenizer.chat_template = CHATML
    trainer = build_trainer(tokenizer, options.folder, assistant_only_loss=options.chats)
    columns = {} if options.chats else {"question": "prompt", "answer": "completion"}
    started = time.perf_counter()
    prepare(trainer, options.data, options.folder, columns)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
