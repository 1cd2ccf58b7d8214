"""The files in deploy/, as the tools that would read them judge them."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from new_service.generation import Plan, build_context, write
from new_service.names import Names, model_of
from new_service.sample import read_sample
from new_service.tests.making import TIMEOUT_S
from suite.table import ROOT

_KUBERNETES = "1.31"
_SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
_MAX_EXPOSURE = 20  # tenths: of 100, which an unprotected unit nearly has
needs_systemd = pytest.mark.skipif(_SYSTEMD_ANALYZE is None, reason="systemd-analyze is not installed")


@pytest.fixture(scope="module", params=["crud/basic", "crud/tampering", "crud/hash_and_encrypt", "leader"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order-lines")
    names = Names("order_lines", model_of("OrderLine", None), ())
    write(folder, Plan(read_sample(request.param), names, 8470, str(ROOT)).files())
    return folder


def manifests(project: Path) -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((project / "deploy" / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_manifests_fit_the_schemas_of_kubernetes(project: Path) -> None:
    found = manifests(project)
    assert set(found) == {"Job", "Deployment", "Service", "PodDisruptionBudget"}
    for document in found.values():
        kubernetes_validate.validate(document, _KUBERNETES, strict=True)


def test_schema_check_notices_a_mistake(project: Path) -> None:
    deployment = manifests(project)["Deployment"]
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, _KUBERNETES, strict=True)


def test_grace_period_is_longer_than_delay_and_drain(project: Path) -> None:
    pod = manifests(project)["Deployment"]["spec"]["template"]["spec"]
    (delay,) = [
        int(argument.partition("=")[2])
        for argument in pod["containers"][0]["args"]
        if argument.startswith("--shutdown-delay=")
    ]
    readiness = pod["containers"][0]["readinessProbe"]
    assert delay > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > delay + 10


def test_each_mount_of_the_pod_has_a_volume_and_each_port_a_name(project: Path) -> None:
    found = manifests(project)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == {
        port["name"] for port in container["ports"]
    }
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        found["Service"]["spec"]["selector"],
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels


def test_compose_file_names_what_it_has(project: Path) -> None:
    compose = yaml.safe_load((project / "deploy" / "compose.yaml").read_text())
    services, volumes = compose["services"], compose["volumes"]
    assert set(services) == {"couchdb", "install", "order-lines", "prometheus"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0] if isinstance(volume, str) else ""
            assert source.startswith(".") or not source or source in volumes
    own = services["order-lines"]
    assert own["read_only"] is True
    assert own["build"] == services["install"]["build"]
    prometheus = yaml.safe_load((project / "deploy" / "prometheus.yml").read_text())
    (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"order-lines:{own['ports'][0].rpartition(':')[2]}"


def test_image_runs_as_nobody_in_particular_and_has_a_health_check(project: Path) -> None:
    stages = (project / "deploy" / "Containerfile").read_text().split("\nFROM ")
    assert len(stages) == 3  # what comes before the first, the build, and what is shipped
    for line in ("USER 10001:10001", "HEALTHCHECK ", 'ENTRYPOINT ["python", "-m", "order_lines.service"'):
        assert f"\n{line}" in stages[-1]
    copied = [
        line.split()[1]
        for line in stages[-1].splitlines()
        if line.startswith("COPY ") and "--from" not in line
    ]
    allowed = (project / ".dockerignore").read_text().splitlines()
    for path in copied:
        assert (project / path).exists()
        assert f"!{path}" in allowed


def analyzed(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    assert _SYSTEMD_ANALYZE is not None
    return subprocess.run(  # noqa: S603 - a command of systemd's
        [_SYSTEMD_ANALYZE, *arguments], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


@needs_systemd
def test_unit_is_accepted_by_systemd(project: Path, tmp_path: Path) -> None:
    text = (project / "deploy" / "order-lines.service").read_text()
    assert "/opt/order-lines/.venv/bin/python" in text
    unit = tmp_path / "order-lines.service"
    # What is in /opt there is not on this machine.
    unit.write_text(text.replace("/opt/order-lines/.venv/bin/python", sys.executable))
    completed = analyzed("verify", "--man=no", unit)
    assert (completed.returncode, completed.stderr) == (0, "")


@needs_systemd
def test_unit_is_hardened(project: Path) -> None:
    unit = project / "deploy" / "order-lines.service"
    completed = analyzed("security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", unit)
    assert completed.returncode == 0, completed.stdout


@pytest.mark.parametrize(
    ("suite", "context"),
    [
        ("/home/me/suite", "/home/me/suite"),
        ("git+https://git.example/me/suite.git", "https://git.example/me/suite.git"),
        ("git+https://git.example/me/suite.git@v1.0", "https://git.example/me/suite.git#v1.0"),
        ("git+ssh://git@git.example/me/suite.git@v1.0", "ssh://git@git.example/me/suite.git#v1.0"),
    ],
)
def test_image_is_built_with_the_suite_from_where_pip_has_it(suite: str, context: str) -> None:
    assert build_context(suite) == context


def test_signed_service_is_deployed_without_unsigned_documents(project: Path) -> None:
    is_signed = "--keyset" in (project / "run.sh").read_text()
    for name in ("compose.yaml", "kubernetes.yaml"):
        assert ("--seed-docs" in (project / "deploy" / name).read_text()) != is_signed
