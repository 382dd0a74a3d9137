"""The picture of a training."""

import xml.etree.ElementTree as ElementTree

from sft_core.inspection.loss_curve import MAX_POINTS, loss_curve, points_of, thinned

SVG = "{http://www.w3.org/2000/svg}"


def lines(num_steps: int) -> list[dict[str, float]]:
    return [{"step": step, "loss": 4.0 / step} for step in range(1, num_steps + 1)]


def curves(svg: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(svg).findall(f"{SVG}polyline")
    return [[tuple(map(float, place.split(","))) for place in line.attrib["points"].split()] for line in lines]  # type: ignore[misc]


def test_both_curves_are_drawn_over_their_steps() -> None:
    drawing = loss_curve([{"step": 0, "eval_loss": 8.0}, *lines(10), {"step": 10, "eval_loss": 2.0}])
    assert drawing is not None
    loss, held_out = curves(drawing)
    assert (len(loss), len(held_out)) == (10, 2)
    assert loss[-1][0] == held_out[-1][0] == 744, "the last step is at the right"
    assert held_out[0][1] < loss[0][1] < held_out[1][1] < loss[-1][1], "8 above 4 above 2 above 0.4"
    assert "held-out loss" in drawing


def test_a_long_training_is_a_small_picture_from_its_first_to_its_last_step() -> None:
    drawing = loss_curve(lines(100_000))
    assert drawing is not None
    assert len(drawing) < 12_000
    points = thinned(points_of(lines(100_000), "loss"))
    assert len(points) == MAX_POINTS
    assert (points[0][0], points[-1][0]) == (1, 100_000)


def test_what_is_no_number_is_not_drawn_and_without_losses_there_is_no_picture() -> None:
    assert points_of([{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 1.0}], "loss") == [(2, 1.0)]
    assert loss_curve([{"step": 1, "loss": float("inf")}, {"step": 2}]) is None


def test_a_step_that_was_done_twice_counts_as_it_was_done_last() -> None:
    assert points_of([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 1, "loss": 1.0}], "loss") == [
        (1, 1.0),
        (2, 2.0),
    ]


def test_a_training_of_loss_zero_at_step_zero_can_be_drawn() -> None:
    assert loss_curve([{"step": 0, "loss": 0.0}]) is not None
