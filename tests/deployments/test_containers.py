"""The files for containers agree with each other, with the code, and with what Prefect knows. No engine is asked."""

import ast
import importlib
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.names import CPU_POOL, GPU_POOL
from deployments.worker import SECONDS_OF_A_WORKER
from tasks.processes.launching import SECONDS_TO_SAVE

FOLDER = Path(__file__).parents[2] / "deployments"
POOLS = ["docker-pool.json", "kubernetes-pool.json"]
KNOWN_KEYS = {
    "build", "command", "depends_on", "deploy", "env_file", "environment", "healthcheck", "image", "init", "networks",
    "ports", "profiles", "restart", "shm_size", "stop_grace_period", "volumes",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def variables_of(text: str) -> list[tuple[str, str]]:
    """Name and default of each `${…}`."""
    return re.findall(r"\$\{(\w+)(:[-?][^}]*)?\}", text)


def template(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


def placeholders(value: Any) -> set[str]:
    return set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(value)))


def test_services_have_known_keys_and_name_what_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service) <= KNOWN_KEYS, name
        assert service["image"] in {"postgres:17", "redis:7", "sft:cpu", "sft:cuda"}
        assert service["networks"] == ["sft"]
        for mount in service.get("volumes", []):
            source = mount.rpartition(":/")[0].removesuffix(":ro").split(":/")[0]
            assert source in compose["volumes"] or source.startswith("${SFT_DATA"), mount


def test_what_is_waited_for_can_come(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no", f"{name} waits for the end of {other}"


def test_the_example_has_every_variable_and_nothing_else(compose: dict[str, Any]) -> None:
    example = dict(
        line.split("=", 1)
        for line in (FOLDER / "compose.env.example").read_text().splitlines()
        if "=" in line[:40] and not line.startswith("#")
    )
    asked = variables_of((FOLDER / "compose.yaml").read_text())
    assert {name for name, _ in asked} == set(example)
    for name, default in asked:
        assert default, f"{name} has neither a default nor a message"
        if default.startswith(":-"):
            assert example[name] == default[2:], f"{name}: the example says what counts without it"


def test_the_secret_is_no_file_of_the_repository() -> None:
    assert "deployments/compose.env" in (FOLDER.parent / ".gitignore").read_text().splitlines()
    assert "deployments/compose.env" in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()


def test_commands_run_what_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        command = service.get("command", [])
        if command[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(command[2]), name
        for code in (
            [command[2]] if command[:2] == ["python", "-c"] else re.findall(r'python -c "([^"]*)"', " ".join(command))
        ):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names), name


def test_workers_poll_our_pools_and_have_time_to_save(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["worker-cpu"]["command"][-1] == CPU_POOL
    assert services["worker-gpu"]["command"][-1] == GPU_POOL
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    for name in ("worker-cpu", "worker-gpu"):
        minutes = int(services[name]["stop_grace_period"].removesuffix("m"))
        assert 60 * minutes > SECONDS_TO_SAVE + SECONDS_OF_A_WORKER
        assert services[name]["init"], "a process that is PID 1 is deaf to signals that it does not handle"


def test_ports_and_names_agree(compose: dict[str, Any]) -> None:
    services = compose["services"]
    environment = services["worker-gpu"]["environment"]
    prefect, mlflow = services["prefect-server"], services["mlflow-server"]
    assert environment["PREFECT_API_URL"] == "http://prefect-server:4200/api"
    assert prefect["command"][prefect["command"].index("--port") + 1] == "4200"
    assert prefect["ports"] == ["${BIND_ADDRESS:-127.0.0.1}:4200:4200"]
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow-server:5000"
    assert mlflow["environment"]["MLFLOW_PORT"] == "5000"
    assert mlflow["ports"] == ["${BIND_ADDRESS:-127.0.0.1}:5000:5000"]
    assert "mlflow-server:5000" in mlflow["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_prefect_knows_every_setting(compose: dict[str, Any]) -> None:
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect.settings.models.root import Settings

    known = _get_valid_setting_names(Settings)
    for name, service in compose["services"].items():
        for setting in service.get("environment", {}):
            if setting.startswith("PREFECT_") and not setting.startswith("PREFECT_REDIS_"):
                assert setting in known, f"{name}: {setting}"


def test_the_image_has_the_packages_of_the_project_and_no_root() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    packages = {"sft_core", "tasks", "flows", "deployments", "sft", "sft_cli"}
    assert packages <= set(re.findall(r"^COPY (\w+) \w+$", dockerfile, re.MULTILINE))
    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE) == ["sft"]
    assert all("-c constraints.txt" in line for line in dockerfile.splitlines() if "pip install" in line)
    extras = re.search(r"^ARG EXTRAS=(\S+)$", dockerfile, re.MULTILINE)
    declared = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras is not None
    assert set(extras.group(1).split(",")) <= set(declared)
    copied = set(re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE))
    allowed = {line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    assert {name for names in copied for name in names.split()} == allowed


@pytest.mark.parametrize("name", POOLS)
def test_every_placeholder_of_a_job_template_has_a_variable_and_every_variable_a_place(name: str) -> None:
    pool = template(name)
    assert placeholders(pool["job_configuration"]) == set(pool["variables"]["properties"])
    for variable, schema in pool["variables"]["properties"].items():
        assert schema["title"], variable
        assert schema["description"], variable


def test_templates_share_the_home_and_give_time_memory_and_gpus() -> None:
    docker, kubernetes = (template(name) for name in POOLS)
    defaults = {name: schema.get("default") for name, schema in kubernetes["variables"]["properties"].items()}
    job = kubernetes["job_configuration"]["job_manifest"]["spec"]
    pod = job["template"]["spec"]
    assert job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    assert defaults["termination_grace_period_seconds"] > SECONDS_TO_SAVE
    assert defaults["gpus"] == 1
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"/srv/sft", "/dev/shm"}
    assert {volume["name"] for volume in pod["volumes"]} == {"home", "shared-memory"}
    homes = {template(name)["variables"]["properties"]["env"]["default"]["SFT_HOME"] for name in POOLS}
    assert homes == {"/srv/sft"}
    assert docker["variables"]["properties"]["volumes"]["default"] == ["sft_home:/srv/sft"]
    assert docker["job_configuration"]["container_create_kwargs"]["shm_size"] == "{{ shm_size }}"


@pytest.mark.parametrize("name", POOLS)
def test_a_job_template_is_filled_in_with_values_of_their_types(name: str) -> None:
    from prefect.utilities.templating import apply_values

    pool = template(name)
    defaults = {
        key: schema["default"] for key, schema in pool["variables"]["properties"].items() if "default" in schema
    }
    filled = apply_values(pool["job_configuration"], defaults, remove_notset=True)
    assert "{{" not in json.dumps(filled)
    if name == "kubernetes-pool.json":
        spec = filled["job_manifest"]["spec"]["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] == 360
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    else:
        assert filled["container_create_kwargs"]["device_requests"][0]["count"] == -1
