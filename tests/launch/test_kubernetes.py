"""`launch/kubernetes.yaml` against the schemas of JobSet and Kubernetes, and what train.py's statuses mean."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api import models

from mobilenet_v2.training.cluster import Place, find_place
from tests.run_processes import REPOSITORY


@pytest.fixture
def job_set() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "launch" / "kubernetes.yaml").read_text())


@pytest.fixture
def job(job_set: dict[str, Any]) -> dict[str, Any]:
    """The spec of the job that the job set makes."""
    return job_set["spec"]["replicatedJobs"][0]["template"]["spec"]


def outcome(job_set: dict[str, Any], job: dict[str, Any], status: int | None) -> tuple[str, bool]:
    """The job set's action after a pod's status, or after a disruption (None); whether it counts.

    Kubernetes words the message, by the first rule that applies.
    """
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        disrupted = status is None and rule.get("onPodConditions") == [{"type": "DisruptionTarget", "status": "True"}]
        if disrupted or status in rule.get("onExitCodes", {}).get("values", []):
            reason = "PodFailurePolicy"
            message = (
                f"Container train for pod default/x failed with exit code … matching FailJob rule at index {index}"
            )
            break
    for rule in job_set["spec"]["failurePolicy"]["rules"]:
        matches = any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"])
        if reason in rule["onJobFailureReasons"] and matches:
            return rule["action"], False
    return "RestartJobSet", True


def test_every_field_is_one_that_job_sets_have(job_set: dict[str, Any]) -> None:
    understood = models.JobsetV1alpha2JobSet.from_dict(job_set)
    assert understood is not None
    assert understood.to_dict() == job_set


def test_kubernetes_knows_every_field_of_the_job(job: dict[str, Any]) -> None:
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_a_misspelt_field_would_be_found(job_set: dict[str, Any], job: dict[str, Any]) -> None:
    job_set["spec"]["failurePolicy"]["rules"][0]["onJobFailureReason"] = ["PodFailurePolicy"]
    understood = models.JobsetV1alpha2JobSet.from_dict(job_set)
    assert understood is not None
    assert understood.to_dict() != job_set
    job["backofLimit"] = job.pop("backoffLimit")
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    "status, action, counts",
    [
        (2, "FailJobSet", False),
        (75, "RestartJobSetAndIgnoreMaxRestarts", False),
        (None, "RestartJobSetAndIgnoreMaxRestarts", False),
        (1, "RestartJobSet", True),
        (76, "RestartJobSet", True),
        (134, "RestartJobSet", True),
        (137, "RestartJobSet", True),
    ],
)
def test_what_a_status_leads_to(
    status: int | None, action: str, counts: bool, job_set: dict[str, Any], job: dict[str, Any]
) -> None:
    assert outcome(job_set, job, status) == (action, counts)
    assert job["backoffLimit"] == 0, "one pod's death would not end the others"


def test_pods_find_each_other_by_the_names_that_job_sets_give(job_set: dict[str, Any], job: dict[str, Any]) -> None:
    command = job["template"]["spec"]["containers"][0]["command"]
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in command[2:])
    process_id = flags["process_id"].replace("$(JOB_COMPLETION_INDEX)", "1")
    place = find_place(flags["coordinator"], flags["num_processes"], process_id, False, {})
    workers = job_set["spec"]["replicatedJobs"][0]["name"]
    host = f"{job_set['metadata']['name']}-{workers}-0-0.{job_set['spec']['network']['subdomain']}"
    assert place == Place(f"{host}:8476", job["parallelism"], 1)
    assert job["completions"] == job["parallelism"]
