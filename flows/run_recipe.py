"""What people trigger: a recipe file, with as much of it changed as they like."""

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
"""Some fields of a section, or none."""


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
    """Fine-tune one model from a recipe file, with what is filled in here laid over it.

    An empty input leaves what the file says, and where it says nothing, the recipe's default. All parameters but the
    first and the last are fields of the recipe, and described there.

    Args:
        preset: The recipe's YAML file, relative to the checkout.
        sources: Where the rows come from. The list is replaced as a whole: give all sources, or none.
        train_on: FLOW/DEPLOYMENT that trains, in the pool with the GPUs; empty: this run trains itself.
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
