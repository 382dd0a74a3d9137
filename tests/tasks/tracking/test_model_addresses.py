"""Names of models, as people write them."""

import pytest

from tasks.tracking.addresses import ModelAddress, parse_model

RUN, MODEL = "0123456789abcdef" * 2, "m-" + "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (RUN, ModelAddress(run_id=RUN)),
        (f"runs:/{RUN}", ModelAddress(run_id=RUN)),
        (MODEL, ModelAddress(model_id=MODEL)),
        (f"models:/{MODEL}", ModelAddress(model_id=MODEL)),
        ("sums", ModelAddress(name="sums")),
        ("sums/3", ModelAddress(name="sums", version="3")),
        ("models:/sums/3", ModelAddress(name="sums", version="3", scheme="models:/")),
        ("models:/sums@champion", ModelAddress(name="sums", alias="champion", scheme="models:/")),
        ("a/b/c", None),
        ("models:/sums@a@b", None),
        ("runs:/sums", None),
        (f"models:/{MODEL}/file", None),
    ],
)
def test_each_name_is_read_in_one_way(reference: str, expected: ModelAddress | None) -> None:
    assert parse_model(reference) == expected
