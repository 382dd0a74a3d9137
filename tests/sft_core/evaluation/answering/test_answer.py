"""Prompts in, samples and scores out."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from sft_core.errors import RecipeError
from sft_core.evaluation.answering import AnsweringConfig, locate_scoring
from sft_core.evaluation.answering.generate import StopAtText, generate
from sft_core.evaluation.answering.processes import on_first, share_of

from .tiny import RAGGED, answering, prompts, tiny_model, tiny_tokenizer, write_module

GREEDY = {"max_new_tokens": 6, "do_sample": False}


def greedy(stops: tuple[str, ...] = (), **gen_kwargs: Any) -> list[str]:
    return generate(tiny_model(), tiny_tokenizer(), RAGGED, 2, {**GREEDY, **gen_kwargs}, stops)


def test_a_sweep_over_two_arguments_answers_every_prompt_with_every_combination() -> None:
    asked = answering(
        gen_kwargs={"do_sample": True, "max_new_tokens": [2, 5], "temperature": [0.5, 3.0]}, metrics=("prefix_match",)
    )
    answered = asked.answer(tiny_model(), {"step": 7, "model": "trained"})
    pairs = [(row["max_new_tokens"], row["temperature"]) for row in answered.rows]
    assert pairs == [pair for pair in product([2, 5], [0.5, 3.0]) for _ in RAGGED]
    assert [len(row["output"].split()) <= row["max_new_tokens"] for row in answered.rows] == [True] * 24
    assert max(len(row["output"].split()) for row in answered.rows) == 5
    suffixes = [f"/max_new_tokens:{n}/temperature:{t}" for n, t in product([2, 5], [0.5, 3.0])]
    assert set(answered.scores) == {"prefix_match", *(f"prefix_match{suffix}" for suffix in suffixes)}
    assert asked.score_names() == ["prefix_match", *(f"prefix_match{suffix}" for suffix in suffixes)]


def test_each_setting_has_the_score_of_its_own_rows_and_the_name_alone_is_the_best(tmp_path: Path) -> None:
    text = "def score(outputs):\n    n = [len(o) for o in outputs]\n    return {'words': n, 'my_loss': n}\n"
    scoring = locate_scoring(AnsweringConfig(metrics=(write_module(tmp_path, text),)))
    asked = answering(scoring, gen_kwargs={**GREEDY, "max_new_tokens": [2, 5]}, metrics=())
    for directions, best, best_loss in (({}, 5, 2), ({"words": False}, 2, 2), ({"my_loss": True}, 5, 5)):
        answered = asked.answer(tiny_model(), {}, directions)
        for n in (2, 5):
            values = [row["words"] for row in answered.rows if row["max_new_tokens"] == n]
            assert answered.scores[f"words/max_new_tokens:{n}"] == sum(values) / 6
        assert answered.scores["words"] == answered.scores[f"words/max_new_tokens:{best}"]
        assert answered.scores["my_loss"] == answered.scores[f"my_loss/max_new_tokens:{best_loss}"]


def test_samples_are_rows_with_all_that_a_reader_needs() -> None:
    asked = answering(asked=prompts([[2, 3], [4]], ["w5", "w6"]), gen_kwargs=GREEDY, metrics=("exact_match", "f1"))
    first, second = asked.answer(tiny_model(), {"step": 7, "model": "trained"}).rows
    assert list(first) == [
        *("step", "model", "source", "row", "prompt", "prompt_tokens_cut", "output", "reference", "exact_match", "f1")
    ]
    assert {**first, "output": ""} == {
        "step": 7,
        "model": "trained",
        "source": "s",
        "row": 10,
        "prompt": "w2 w3",
        "prompt_tokens_cut": 0,
        "output": "",
        "reference": "w5",
        "exact_match": False,
        "f1": first["f1"],
    }
    assert (second["row"], second["reference"]) == (11, "w6")


def test_the_same_seed_samples_the_same_answers_and_another_seed_others() -> None:
    def outputs(seed: int) -> list[str]:
        asked = answering(seed=seed, gen_kwargs={"max_new_tokens": 8, "do_sample": True})
        return [row["output"] for row in asked.answer(tiny_model(), {}).rows]

    assert outputs(1) == outputs(1)
    assert outputs(1) != outputs(2)


def test_greedy_answers_do_not_depend_on_the_batch_size_with_stop_sequences_either() -> None:
    stop = greedy()[0].split()[2]
    ways = [generate(tiny_model(), tiny_tokenizer(), RAGGED, size, GREEDY, (stop,)) for size in (1, 3, 6)]
    assert ways[0] == ways[1] == ways[2]
    assert ways[0][0] == greedy()[0].partition(stop)[0].rstrip()


def test_generation_ends_where_every_answer_of_the_batch_has_a_stop_sequence() -> None:
    model, calls = tiny_model(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    whole = generate(model, tiny_tokenizer(), [[7]], 1, {**GREEDY, "max_new_tokens": 12})[0].split()
    assert len(calls) == len(whole) == 12
    calls.clear()
    cut = generate(model, tiny_tokenizer(), [[7]], 1, {**GREEDY, "max_new_tokens": 12}, (whole[3],))[0]
    first = whole.index(whole[3])
    assert cut.split() == whole[:first]
    assert len(calls) == first + 1


def test_a_stop_sequence_in_the_prompt_ends_nothing() -> None:
    stop = StopAtText(tiny_tokenizer(), ("w2 w3",), prompt_tokens=2)
    ids = torch.tensor([[2, 3, 4, 5], [5, 2, 3, 4], [5, 5, 2, 3]])
    assert stop(ids, None).tolist() == [False, False, True]


def test_beams_stop_as_well() -> None:
    whole = greedy(num_beams=3)[0]
    stop = whole.split()[2]
    assert greedy((stop,), num_beams=3)[0] == whole.partition(stop)[0].rstrip()


def test_prompts_too_long_for_the_model_are_cut_on_the_left_and_counted() -> None:
    asked = answering(asked=prompts([[2, 3, 4, 5, 6], [7]]), gen_kwargs={**GREEDY, "max_new_tokens": 5})
    answered = asked.answer(tiny_model(max_position_embeddings=8), {})
    assert [(row["prompt"], row["prompt_tokens_cut"]) for row in answered.rows] == [("w4 w5 w6", 2), ("w7", 0)]
    assert answered.num_prompts_cut == 1
    assert answering(gen_kwargs=GREEDY).answer(tiny_model(), {}).num_prompts_cut == 0


def test_answers_that_leave_no_room_for_a_prompt_are_refused() -> None:
    with pytest.raises(RecipeError, match="max_new_tokens 8 leaves no room for a prompt in the model's 8 positions"):
        answering(gen_kwargs={"max_new_tokens": 8}).answer(tiny_model(max_position_embeddings=8), {})


def test_processes_have_equal_shares_of_which_the_last_prompt_may_be_twice() -> None:
    assert [share_of([4, 5, 6, 7, 8], rank, 3) for rank in range(3)] == [[4, 7], [5, 8], [6, 8]]
    assert [share_of([4], rank, 2) for rank in range(2)] == [[4], [4]]


SHARED = {"gen_kwargs": {**GREEDY, "max_new_tokens": 8}, "stop_sequences": ("w9", "w3"), "metrics": ("f1",)}


def in_processes(rank: int, folder: Path, is_sharded: bool) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    model = tiny_model()
    if is_sharded:
        mesh = init_device_mesh("cpu", (2,))
        for part in (*model.model.layers, model):
            fully_shard(part, mesh=mesh)
    calls: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs, kw: calls.append(len(kw["input_ids"])), with_kwargs=True)
    answered = answering(asked=prompts(RAGGED[:5]), batch_size=2, **SHARED).answer(model, {})
    try:
        on_first(refuse)
    except RecipeError as error:
        told = str(error)
    torch.save([answered.scores, answered.rows, max(calls), told], folder / f"{rank}.pt")
    distributed.destroy_process_group()


def refuse() -> None:
    assert distributed.get_rank() == 0
    raise RecipeError("not so")


@pytest.mark.parametrize("is_sharded", [False, True])
def test_two_processes_share_the_prompts_and_both_have_the_whole(tmp_path: Path, is_sharded: bool) -> None:
    """Answers have different lengths, so that one process is done before the other."""
    multiprocessing.spawn(in_processes, (tmp_path, is_sharded), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    one = answering(asked=prompts(RAGGED[:5]), batch_size=2, **SHARED).answer(tiny_model(), {})
    assert len({len(row["output"].split()) for row in one.rows}) > 1
    assert first[:2] == second[:2] == [one.scores, one.rows]
    assert first[2] == second[2] == 2
    assert first[3] == second[3] == "not so"
