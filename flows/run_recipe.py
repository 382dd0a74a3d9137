"""The flow behind the form in Prefect's UI: a recipe file, with any of its fields changed."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.logging import get_run_logger

from flows.reports.run_names import of_form
from flows.reports.run_report import RunReport, show_run
from flows.triggers.placement import run_sft
from flows.triggers.run_form import FormOf, lay_form
from sft_core.recipe.recipe_file import parse_recipe, read_content

Fields = dict[str, Any] | None
"""Some fields of a section; None if the input was left empty."""


@flow(name="run-recipe", flow_run_name=of_form)
def run_recipe(
    preset: str,
    name: Annotated[str | None, FormOf("name")] = None,
    model: Annotated[Fields, FormOf("model")] = None,
    sources: Annotated[list[dict[str, Any]] | None, FormOf("sources")] = None,
    formats: Annotated[Fields, FormOf("formats")] = None,
    images: Annotated[Fields, FormOf("images")] = None,
    chat: Annotated[Fields, FormOf("chat")] = None,
    tokens: Annotated[Fields, FormOf("tokens")] = None,
    packing: Annotated[Fields, FormOf("packing")] = None,
    training: Annotated[Fields, FormOf("training")] = None,
    evaluation: Annotated[Fields, FormOf("evaluation")] = None,
    registry: Annotated[Fields, FormOf("registry")] = None,
    gates: Annotated[Fields, FormOf("gates")] = None,
    runtime: Annotated[Fields, FormOf("runtime")] = None,
    train_on: str = "",
) -> RunReport:
    """Fine-tune one model from a recipe file. Values that are filled in here replace those of the file.

    An empty input keeps the value of the file or, if the file has none, the default of the recipe. All parameters
    except `preset` and `train_on` are fields of the recipe, with the same descriptions.

    Args:
        preset: YAML file of the recipe, relative to the project's folder.
        sources: Data sources that the rows come from. The list replaces that of the file as a whole: fill in all
            sources, or none.
        train_on: Deployment that trains, as FLOW/DEPLOYMENT, usually in the work pool with the GPUs. If it is empty,
            this flow run trains.
    """
    filled = {
        "name": name,
        "model": model,
        "sources": sources,
        "formats": formats,
        "images": images,
        "chat": chat,
        "tokens": tokens,
        "packing": packing,
        "training": training,
        "evaluation": evaluation,
        "registry": registry,
        "gates": gates,
        "runtime": runtime,
    }
    content = read_content(Path(preset), [], get_run_logger().info)
    return show_run(run_sft(parse_recipe(lay_form(content, filled), preset), train_on or None))
