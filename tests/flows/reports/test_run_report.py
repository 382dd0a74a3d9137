"""What stands on a run's page."""

from pathlib import Path

from flows.reports.run_report import RunReport, as_markdown

REPORT = RunReport(
    status="completed",
    recipe="sums",
    mlflow_run_id="abc",
    tracking_uri="http://server",
    experiment_id="1",
    mlflow_url="http://server/#/experiments/1/runs/abc",
    model_uri="models:/sums/1",
    model_dir=Path("/home/model"),
    is_champion=True,
    verdict="eval_loss 1.5; there was no champion",
    resumed_from=1200,
    training={
        "global_step": 2000,
        "num_tokens": 5667,
        "seconds": 10.4,
        "device": "H100",
        "attn_implementation": "varlen",
    },
    scorecard={"eval_loss": 1.5, "baseline_eval_loss": 2.25, "num_prompts": 4},
    intervals={"eval_loss": {"low": 1.4, "high": 1.625}},
    ledger={"rows_in": 1300, "rows_trained": 1270, "rows_held_out": 30, "rows_rejected": 0, "rows_left_out": 0},
    rejected=Path("/home/rejected.jsonl"),
    report=Path("/home/report.html"),
    artifacts={},
    stages={"train_model": "cached", "register_model": "executed"},
)


def test_model_and_links_come_first_and_tables_are_tables() -> None:
    paragraphs = as_markdown(REPORT, "[Data report](#/there)").strip().split("\n\n")
    assert paragraphs == [
        "Model `models:/sums/1`, champion: eval_loss 1.5; there was no champion.",
        "[Data report](#/there)",
        "1,300 rows in = 1,270 trained + 30 held out + 0 rejected + 0 left out.",
        "| score | before training | after | 95 % interval |\n| --- | --- | --- | --- |\n"
        "| eval_loss | 2.25 | 1.5 | 1.4 to 1.625 |\n| num_prompts | – | 4 | – |",
        "| stage | this run |\n| --- | --- |\n| train_model | cached |\n| register_model | executed |",
        "Training was resumed from step 1,200. 2,000 steps over 5,667 tokens in 10 s on H100, attention `varlen`. "
        "Weights: `/home/model`.",
    ]
