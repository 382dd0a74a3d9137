"""Report of a run as a file in the state directory, for the flow run that waits for it in another process."""

from pathlib import Path

from prefect.runtime import flow_run

from flows.reports.run_report import RunReport
from sft_core.store.artifact import ArtifactStore
from sft_core.store.durable import write_whole


def hand_over(store: ArtifactStore, report: RunReport) -> RunReport:
    """Write the report of this flow run to the file that its parent flow run reads, and return it unchanged."""
    if flow_run.parent_flow_run_id is not None:
        write_whole(report_file(store, flow_run.id), report.model_dump_json(indent=1).encode())
    return report


def report_file(store: ArtifactStore, flow_run_id: str) -> Path:
    """Return the path of a flow run's report."""
    return store.root / "reports" / f"{flow_run_id}.json"


def read_report(store: ArtifactStore, flow_run_id: str) -> RunReport | None:
    """Read the report of a flow run; return None if this state directory has none."""
    file = report_file(store, flow_run_id)
    return RunReport.model_validate_json(file.read_bytes()) if file.exists() else None
