"""Tasks of lm-eval that need no network, and a model of which every answer is known."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

COLOURS = ["blue", "green", "white", "black"]
WORDS = ["<pad>", "<eos>", "<user>", "<system>", "sky", "grass", "snow", "coal", *COLOURS, "Answer"]
SAYS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "white"}
"""What the model says after a word; of coal it is wrong. After a colour it ends."""
TRUTH = {**SAYS, "coal": "black"}
TEMPLATE = "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} {% endfor %}"

CHOICE = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{thing}}"
doc_to_choice: [blue, green, white, black]
doc_to_target: "{{['blue', 'green', 'white', 'black'].index(colour)}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
GENERATION = """
task: say_colour
tag: said
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
fewshot_split: test
output_type: generate_until
process_docs: !function utils.tidy
doc_to_text: "{{thing}}"
doc_to_target: "{{colour}}"
generation_kwargs: {until: ["Answer"], max_gen_toks: 3}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
ROLLING = """
task: colour_perplexity
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{thing}} {{colour}}"
metric_list: [{metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}]
"""
GROUP = """
group: all_colours
task: [colours, {task: say_colour, num_fewshot: 2}]
aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true, filter_list: [none]}]
"""
NESTED = """
group: nested
task:
  - group: inner
    task: [colours]
    aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true, filter_list: [none]}]
  - say_colour
"""
CODE = '''
def tidy(dataset):
    """Leave it as it is."""
    return dataset
'''


def write_tasks(folder: Path, repeats: int = 1) -> Path:
    """Write three tasks, a group and their data; return the folder of the tasks."""
    data, tasks = folder / "colours.jsonl", folder / "tasks"
    rows = [{"thing": thing, "colour": colour} for thing, colour in TRUTH.items()] * repeats
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks.mkdir()
    texts = {"choice": CHOICE, "generation": GENERATION, "rolling": ROLLING, "group": GROUP, "nested": NESTED}
    for name, text in texts.items():
        (tasks / f"{name}.yaml").write_text(text.replace("DATA", str(data)))
    (tasks / "utils.py").write_text(CODE)
    return tasks


def write_tokenizer(folder: Path, chat_template: str | None = TEMPLATE) -> None:
    """Each word is a token."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def write_scripted(folder: Path, says: Mapping[str, str] = SAYS) -> Path:
    """A model without layers: a token's embedding is its own direction, and the head says what comes after it."""
    size = len(WORDS)
    model = LlamaForCausalLM(_config(hidden_size=16, num_hidden_layers=0))
    after = {**dict.fromkeys(WORDS, "<eos>"), **says}
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size, 16))
        model.lm_head.weight.zero_()
        for word, following in after.items():
            model.lm_head.weight[WORDS.index(following), WORDS.index(word)] = 2.0
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_random(folder: Path, chat_template: str | None = TEMPLATE) -> Path:
    """A model that looks at all that stands before, with weights large enough that its answers differ."""
    set_seed(5)
    model = LlamaForCausalLM(_config(hidden_size=32, num_hidden_layers=2))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6.0 if weight.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    write_tokenizer(folder, chat_template)
    return folder


def _config(**sizes: int) -> LlamaConfig:
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    return LlamaConfig(
        vocab_size=len(WORDS), num_attention_heads=4, intermediate_size=64, max_position_embeddings=64, **ids, **sizes
    )
