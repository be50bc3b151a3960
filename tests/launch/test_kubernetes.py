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


# As Kubernetes words them, in `pkg/controller/job/pod_failure_policy.go`, by the first rule that applies.
OF_EXIT_CODE = "Container {} for pod {}/{} failed with exit code {} matching {} rule at index {}"
OF_CONDITION = "Pod {}/{} has condition {} matching {} rule at index {}"


def failure(job: dict[str, Any], status: int | None) -> tuple[str, str]:
    """Reason and message of the job that a pod fails, by its status or by a disruption (None)."""
    [container] = job["template"]["spec"]["containers"]
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions", [])
        if codes and codes["containerName"] == container["name"] and status in codes["values"]:
            of_code = OF_EXIT_CODE.format(container["name"], "default", "x-0", status, rule["action"], index)
            return "PodFailurePolicy", of_code
        if status is None and {"type": "DisruptionTarget", "status": "True"} in conditions:
            return "PodFailurePolicy", OF_CONDITION.format("default", "x-0", "DisruptionTarget", rule["action"], index)
    return "BackoffLimitExceeded", "Job has reached the specified backoff limit"


def outcome(job_set: dict[str, Any], job: dict[str, Any], status: int | None) -> tuple[str, bool]:
    """The job set's action; whether it counts."""
    reason, message = failure(job, status)
    for rule in job_set["spec"]["failurePolicy"]["rules"]:
        matches = any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"])
        if reason in rule["onJobFailureReasons"] and matches:
            return rule["action"], False
    return "RestartJobSet", True


def version_that_takes(job: dict[str, Any]) -> str:
    """The version of Kubernetes whose schema has every field; a `ValidationError` where it has not."""
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
    return kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_every_field_is_one_that_job_sets_have(job_set: dict[str, Any]) -> None:
    understood = models.JobsetV1alpha2JobSet.from_dict(job_set)
    assert understood is not None
    assert understood.to_dict() == job_set


def test_kubernetes_knows_every_field_of_the_job(job: dict[str, Any]) -> None:
    assert kubernetes_validate.latest_version().startswith(version_that_takes(job))


def test_a_misspelt_field_would_be_found(job_set: dict[str, Any], job: dict[str, Any]) -> None:
    job_set["spec"]["failurePolicy"]["rules"][0]["onJobFailureReason"] = ["PodFailurePolicy"]
    understood = models.JobsetV1alpha2JobSet.from_dict(job_set)
    assert understood is not None
    assert understood.to_dict() != job_set
    job["backofLimit"] = job.pop("backoffLimit")
    with pytest.raises(kubernetes_validate.ValidationError) as refused:
        version_that_takes(job)
    assert (list(refused.value.path), refused.value.validator) == (["spec"], "additionalProperties")
    assert {"backofLimit"} == refused.value.instance.keys() - refused.value.schema["properties"].keys()


@pytest.mark.parametrize(
    "status, action, counts",
    [
        (2, "FailJobSet", False),
        (75, "RestartJobSetAndIgnoreMaxRestarts", False),
        (138, "RestartJobSetAndIgnoreMaxRestarts", False),
        (143, "RestartJobSetAndIgnoreMaxRestarts", False),
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
