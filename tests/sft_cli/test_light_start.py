"""Commands load what they use: what a fresh process has imported at a command's end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "prefect",
    "prefect.server",
    "mlflow",
    "mlflow.sklearn",
    "mlflow.transformers",
    "sqlalchemy",
    "pandas",
    "pyarrow",
    "numpy",
    "huggingface_hub",
    "jinja2",
    "sft_core.recipe",
}
COMMAND = f"""
import sys
from sft_cli.main import main
try:
    main()
finally:
    sys.stderr.write("loaded: " + " ".join(sorted({HEAVY!r} & set(sys.modules))) + "\\n")
"""


def loaded(home: Path, *words: str) -> set[str]:
    """Those of `HEAVY` that a command loads."""
    outside = ("PREFECT_", "MLFLOW_", "SFT_HOME", "SFT_STACK")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        env={**clean, "SFT_HOME": str(home), "PYTHONPATH": str(PROJECT)},
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded:")]
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words", [["--help"], ["find", "--help"], ["run", "--help"], ["status"], ["status", "--json"], ["init"]]
)
def test_help_and_status_load_no_library(tmp_path: Path, words: list[str]) -> None:
    assert loaded(tmp_path, *words) == set()
    assert not (tmp_path / "prefect").exists()


def test_a_mistake_in_a_recipe_is_found_without_any_server(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x\n")
    with pytest.raises(AssertionError, match="model: expected a value, found none"):
        loaded(tmp_path, "run", "recipe.yaml")
    assert not (tmp_path / "prefect").exists()


@pytest.mark.slow
def test_look_ups_load_mlflow_alone(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_run(client.create_experiment("sft"), tags={"sft.recipe": "x"})
    found = loaded(tmp_path, "find", "runs")
    assert {"mlflow", "sqlalchemy"} <= found
    assert not found & {"prefect", "torch", "transformers", "datasets", "pandas", "mlflow.sklearn", "sft_core.recipe"}


@pytest.mark.slow
def test_data_that_is_prepared_is_looked_at_without_prefect_mlflow_and_torch(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    rows = [{"prompt": f"What is {n} plus {n}?", "completion": f" {2 * n}"} for n in range(40)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    recipe = {
        "name": "sums",
        "model": {
            "init": "config",
            "config": {**config, "num_attention_heads": 2, "max_position_embeddings": 64},
            "tokenizer": str(tokenizer_folder),
        },
        "sources": [{"path": "sums.jsonl"}],
        "formats": {"eval_fraction": 0.2},
        "tokens": {"max_length": 64},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    loaded(tmp_path, "check", "recipe.yaml")
    for words in (["check"], ["plan"], ["show"], ["trace", "--block", "0"]):
        found = loaded(tmp_path, words[0], "recipe.yaml", *words[1:])
        assert not found & {"prefect", "mlflow", "torch", "transformers", "datasets", "huggingface_hub"}, words
    assert not (tmp_path / "prefect" / "prefect.db").exists()
    found = loaded(tmp_path, "prepare", "recipe.yaml")
    assert "prefect" in found
    assert not found & {"prefect.server", "mlflow", "torch", "transformers", "datasets"}
