"""The manifests in deploy/ are what Kubernetes takes, and say what the documentation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSIONS = ("1.28", "1.33")


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{file.name}: {document['kind']}", document)
        for file in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "document"), documents(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_manifest_is_valid(name: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_checker_would_notice() -> None:
    _, document = documents()[0]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "spec": {"ports": "4730"}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize(("kind", "longest"), [("StatefulSet", 30), ("Deployment", 60)])
def test_the_grace_period_is_longer_than_jobs_may_take(kind: str, longest: int) -> None:
    (document,) = [document for _, document in documents() if document["kind"] == kind]
    assert document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > longest
