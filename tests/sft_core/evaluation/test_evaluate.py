"""Scores: known answers give known scores, whatever the batch size."""

from itertools import chain
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from sft_core.evaluation import EvaluationConfig, EvaluationPlan
from sft_core.evaluation.answering import Prompts, is_exact_match
from sft_core.evaluation.answering.generate import generate
from sft_core.evaluation.run import evaluate
from sft_core.store.records import PROMPTS
from sft_core.store.tables import write_table

VOCABULARY = 24


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_tokenizer().save_pretrained(folder)
    set_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, pad_token_id=0, eos_token_id=1, **sizes)).save_pretrained(
        folder
    )
    return folder


def make_tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<eos>")), pad_token="<pad>", eos_token="<eos>"
    )


def load(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    return LlamaForCausalLM.from_pretrained(folder).eval(), PreTrainedTokenizerFast.from_pretrained(folder)


RAGGED = [[2, 3, 4, 5, 6], [7], [8, 9], [10, 11, 12], [2, 2], [3]]


def test_greedy_answers_do_not_depend_on_the_batch_size_and_keep_the_order_of_the_prompts(model_folder: Path) -> None:
    model, tokenizer = load(model_folder)
    options = {"max_new_tokens": 6, "do_sample": False}
    one, three, all_at_once = (generate(model, tokenizer, RAGGED, size, options) for size in (1, 3, 6))
    assert one == three == all_at_once
    for prompt, answer in zip(RAGGED, one, strict=True):
        alone = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), **options
        )
        assert tokenizer.decode(alone[0, len(prompt) :], skip_special_tokens=True) == answer


def test_a_model_that_gives_the_reference_scores_one_and_any_other_zero(tmp_path: Path, model_folder: Path) -> None:
    model, tokenizer = load(model_folder)
    options = {"max_new_tokens": 4, "do_sample": False}
    answers = generate(model, tokenizer, RAGGED, 2, options)
    references = [*answers[:4], "something else", "w2 and more"]
    rows = [
        {"source": "s", "row": i, "prompt_ids": ids, "reference": ref, "metadata": "{}"}
        for i, (ids, ref) in enumerate(zip(RAGGED, references, strict=True))
    ]
    write_table(tmp_path / "prompts.arrow", PROMPTS, rows)
    Dataset.from_list([{"input_ids": [2, 3, 4], "seq_lengths": [3], "loss_mask": [0, 1, 1]}]).save_to_disk(
        str(tmp_path / "eval")
    )
    plan = EvaluationPlan(
        evaluation=EvaluationConfig(gen_kwargs=options, batch_size=4),
        model_folder=model_folder,
        baseline=None,
        baseline_seed=0,
        eval_folder=tmp_path / "eval",
        prompts=tmp_path / "prompts.arrow",
        output_folder=tmp_path,
    )
    scorecard = evaluate(plan)
    log_p = torch.log_softmax(model(torch.tensor([[2, 3, 4]])).logits[0], -1)
    assert scorecard["exact_match"] == pytest.approx(4 / 6)
    assert scorecard["num_prompts"] == 6
    assert scorecard["eval_loss"] == pytest.approx(-(log_p[0, 3] + log_p[1, 4]).item() / 2, rel=1e-5)
    assert orjson.loads((tmp_path / "scorecard.json").read_bytes()) == scorecard
    samples = [orjson.loads(line) for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
    assert [sample["exact_match"] for sample in samples] == [True] * 4 + [False] * 2


def test_prompts_are_spread_evenly_over_all(tmp_path: Path) -> None:
    rows = [{"source": "s", "row": i, "prompt_ids": [2], "reference": "x", "metadata": "{}"} for i in range(10)]
    write_table(tmp_path / "prompts.arrow", PROMPTS, rows)
    assert Prompts.read(tmp_path / "prompts.arrow", 4).row == [0, 3, 6, 9]
    assert Prompts.read(tmp_path / "prompts.arrow", 99).row == list(range(10))


def test_no_prompts_are_no_error(tmp_path: Path) -> None:
    write_table(tmp_path / "prompts.arrow", PROMPTS, [])
    assert Prompts.read(tmp_path / "prompts.arrow", 4).row == []
    assert pa.ipc.open_file(tmp_path / "prompts.arrow").schema.names == PROMPTS.names


@pytest.mark.parametrize(
    ("output", "reference", "pattern", "expected"),
    [
        (" 72\n", "72", None, True),
        ("72.", "72", None, False),
        ("so it is #### 72", "first #### 7\nthen #### 72", r"#### (.+)", True),
        ("no answer", "no answer either", r"#### (.+)", False),
        ("#### 7 … #### 8", "#### 8", r"#### (\d+)", True),
    ],
)
def test_exact_match(output: str, reference: str, pattern: str | None, expected: bool) -> None:
    assert is_exact_match(output, reference, pattern) is expected


def test_a_pattern_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a group"):
        EvaluationConfig(answer_pattern="####")


@pytest.mark.parametrize("model_type", ["llama", "opt"])
def test_documents_of_a_block_are_measured_as_if_each_was_alone(tmp_path: Path, model_type: str) -> None:
    """OPT's own attention lets documents in one row see each other; training it is possible all the same, with an
    attention of variable length."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32}
    config = AutoConfig.for_model(model_type, vocab_size=VOCABULARY, pad_token_id=0, **sizes)
    set_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0 if weight.ndim > 1 else 1.0)
    model.save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    documents = [[2, 3, 4, 5, 6], [9, 8, 7], [11, 10, 12, 13], [5, 14]]
    blocks = [documents[:3], documents[3:]]
    rows = [{"input_ids": [*chain(*of)], "seq_lengths": [len(one) for one in of]} for of in blocks]
    Dataset.from_list([{**row, "loss_mask": [1] * len(row["input_ids"])} for row in rows]).save_to_disk(
        str(tmp_path / "eval")
    )
    plan = EvaluationPlan(
        evaluation=EvaluationConfig(batch_size=2),
        model_folder=tmp_path / "model",
        baseline=None,
        baseline_seed=0,
        eval_folder=tmp_path / "eval",
        prompts=None,
        output_folder=tmp_path,
    )
    losses = torch.cat(
        [
            torch.nn.functional.cross_entropy(
                model(torch.tensor([ids])).logits[0, :-1], torch.tensor(ids[1:]), reduction="none"
            )
            for ids in documents
        ]
    )
    assert evaluate(plan)["eval_loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
