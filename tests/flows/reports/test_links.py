"""From Prefect to the MLflow run and back."""

import pytest

from flows.reports.links import how_to_open, run_path, run_url, version_link


@pytest.mark.parametrize(
    ("tracking_uri", "server"),
    [
        ("http://10.0.0.7:5000", "http://10.0.0.7:5000"),
        ("https://mlflow.example/tracking/", "https://mlflow.example/tracking"),
        ("https://user:secret@mlflow.example", "https://mlflow.example"),
    ],
)
def test_a_server_has_a_page_and_the_link_holds_no_password(tracking_uri: str, server: str) -> None:
    page = f"{server}/#/experiments/1/runs/abc?workflowType=machine_learning"
    assert run_url(tracking_uri, "1", "abc") == page
    assert how_to_open(tracking_uri, "1", "abc") == f"[MLflow run]({page})"


def test_for_a_database_the_command_stands_that_makes_one() -> None:
    assert run_url("sqlite:////home/mlflow.db", "1", "abc") is None
    words = how_to_open("sqlite:////home/mlflow.db", "1", "abc")
    assert "/mlflow ui --backend-store-uri sqlite:////home/mlflow.db`" in words
    assert "<http://127.0.0.1:5000/#/experiments/1/runs/abc?workflowType=machine_learning>" in words


def test_an_artifact_has_a_page_of_its_own() -> None:
    assert run_path("1", "abc", "report.html") == (
        "#/experiments/1/runs/abc/artifacts/report.html?workflowType=machine_learning"
    )


def test_a_registered_version_has_a_page_where_there_is_a_server() -> None:
    assert version_link("http://user:secret@server:5000", "sums", "3") == (
        "[models:/sums/3](http://server:5000/#/models/sums/versions/3)"
    )
    assert version_link("sqlite:////home/mlflow.db", "sums", "3") == "`models:/sums/3`"
