"""What is deployed, and a team's own deployments."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from deployments.catalogue import Entry, catalogue
from deployments.deploying import _job_variables, _schema
from deployments.environment import HEARTBEAT_ENVIRONMENT
from deployments.names import CPU_POOL, GPU_POOL, TRAIN_DEPLOYMENT
from sft_core.errors import RecipeError

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "deployments").mkdir()
    recipe = {"name": "s", "model": {"path": "gpt2"}, "sources": [{"path": "a.jsonl"}], "training": {"max_steps": 6}}
    (tmp_path / "recipes" / "small.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def own(checkout: Path, *entries: dict[str, Any]) -> list[Entry]:
    (checkout / "deployments" / "schedules.yaml").write_text(yaml.safe_dump({"deployments": list(entries)}))
    return catalogue(checkout)


def test_plain_prefect_deploy_makes_the_same_deployments() -> None:
    plain = {
        (one["entrypoint"], one["name"], one["work_pool"]["name"], str(one.get("parameters", {})), *one["tags"])
        for one in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    }
    ours = {(one.entrypoint, one.name, one.pool, str(one.parameters), "sft") for one in catalogue(PROJECT)}
    assert plain == ours


def test_what_trains_or_answers_runs_where_the_gpus_are() -> None:
    pools = {one.full_name: one.pool for one in catalogue(PROJECT)}
    on_gpu = {name for name, pool in pools.items() if pool == GPU_POOL}
    assert on_gpu == {TRAIN_DEPLOYMENT, "score-model/score-model", "compare-models/compare-models"}
    assert pools["run-recipe/quickstart"] == CPU_POOL


def test_each_recipe_has_a_deployment_whose_form_shows_what_it_says(checkout: Path) -> None:
    entry = next(one for one in catalogue(checkout) if one.full_name == "run-recipe/small")
    assert (entry.full_name, entry.parameters) == (
        "run-recipe/small",
        {"preset": "recipes/small.yaml", "train_on": TRAIN_DEPLOYMENT},
    )
    schema = _schema(entry, checkout)
    assert schema["properties"]["training"]["properties"]["max_steps"]["default"] == 6
    assert "default" not in schema["properties"]["training"]["properties"]["learning_rate"]
    assert schema["additionalProperties"] is False


def test_a_teams_own_deployment_is_a_recipe_with_parameters_and_a_schedule(checkout: Path) -> None:
    entry = own(
        checkout,
        {
            "name": "nightly",
            "recipe": "recipes/small.yaml",
            "parameters": {"training": {"learning_rate": 0.001}},
            "cron": "0 2 * * *",
            "timezone": "Europe/Berlin",
            "active": False,
            "tags": ["night"],
            "concurrency_limit": 1,
            "collision_strategy": "CANCEL_NEW",
        },
    )[-1]
    assert entry.full_name == "run-recipe/nightly"
    assert entry.parameters == {
        "preset": "recipes/small.yaml",
        "train_on": TRAIN_DEPLOYMENT,
        "training": {"learning_rate": 0.001},
    }
    assert entry.schedule == CronSchedule(cron="0 2 * * *", timezone="Europe/Berlin")
    assert (entry.is_active, entry.tags, entry.collision_strategy) == (False, ("night",), "CANCEL_NEW")


@pytest.mark.parametrize(
    ("timing", "kind"),
    [({"interval": "PT6H"}, IntervalSchedule), ({"rrule": "FREQ=WEEKLY;BYDAY=MO"}, RRuleSchedule), ({}, type(None))],
)
def test_schedules_are_intervals_and_calendar_rules_too(checkout: Path, timing: dict[str, str], kind: type) -> None:
    assert isinstance(own(checkout, {"name": "x", "flow": "prune-home", **timing})[-1].schedule, kind)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "x"}, "x: expected a `recipe` with `flow: run-recipe`, found None"),
        ({"name": "x", "flow": "sft", "recipe": "r.yaml"}, "x: expected no `recipe` with `flow: sft`, found r.yaml"),
        ({"name": "x", "flow": "prune-home", "cron": "often"}, "deployments.0: .*cron"),
        ({"name": "x", "flow": "prune-home", "cron": "* * * * *", "interval": 60}, "found several"),
        ({"name": "x", "flow": "prune-home", "timezone": "Mars", "cron": "* * * * *"}, "Mars|timezone"),
        ({"name": "x", "flow": "prune"}, "expected a flow of sft, prepare-data.*; found 'prune'"),
        ({"name": "small", "recipe": "recipes/small.yaml"}, "run-recipe/small is defined twice"),
        ({"name": "x", "crn": "* * * * *", "flow": "prune-home"}, "deployments.0.crn: "),
    ],
)
def test_a_mistake_in_a_teams_own_file_is_told_before_anything_is_deployed(
    checkout: Path, entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        own(checkout, entry)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"training": {"max_stepz": 1}}, "training.max_stepz: unknown key; did you mean 'max_steps'"),
        ({"trainin": {}}, "trainin: unknown key; did you mean 'training'"),
        ({"packing": {"packing": True}, "tokens": {"max_length": None}}, "`packing` needs `tokens.max_length`"),
    ],
)
def test_parameters_that_make_no_recipe_are_told_before_anything_is_deployed(
    checkout: Path, parameters: dict[str, Any], message: str
) -> None:
    entry = own(checkout, {"name": "x", "recipe": "recipes/small.yaml", "parameters": parameters})[-1]
    with pytest.raises(RecipeError, match=message):
        _schema(entry, checkout)


def test_parameters_that_another_flow_does_not_have_are_told_too(checkout: Path) -> None:
    entry = own(checkout, {"name": "x", "flow": "prune-home", "parameters": {"keep_day": 3}})[-1]
    with pytest.raises(RecipeError, match=r"prune-home/x: .*'keep_day' was unexpected"):
        _schema(entry, checkout)


@pytest.mark.parametrize(("type_", "place"), [("process", {"working_dir": "/work"}), ("kubernetes", {})])
def test_workers_get_the_folder_and_the_addresses_but_no_password(
    type_: str, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.schemas.objects import WorkPool

    monkeypatch.setenv("SFT_HOME", "/srv/sft")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow:5000")
    entry = Entry("flows.sft.sft", "sft", GPU_POOL, job_variables={"env": {"CUDA_VISIBLE_DEVICES": "1"}})
    env = {**HEARTBEAT_ENVIRONMENT, "SFT_HOME": "/srv/sft", "CUDA_VISIBLE_DEVICES": "1"}
    assert _job_variables(entry, WorkPool(name="p", type=type_), Path("/work")) == {**place, "env": env}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert "MLFLOW_TRACKING_URI" in _job_variables(entry, WorkPool(name="p", type=type_), Path("/work"))["env"]
