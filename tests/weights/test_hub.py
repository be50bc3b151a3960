import logging
import os
import pathlib
import socket
import subprocess
import sys

import huggingface_hub
import pytest
from huggingface_hub import errors
from safetensors.numpy import save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights import hub
from mobilenet_v2.weights.load import load_pretrained
from tests.weights import small
from tests.weights.small import quiet

NAME = "timm/mobilenetv2_100.ra_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is known, wherever the tests run."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])


def unknown(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    """A hub's cache as it is after a download."""
    repository = tmp_path / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    save_file(small.arrays("timm"), snapshot / "model.safetensors")
    return tmp_path


def test_offline_the_cache_is_enough_and_the_commit_is_shown(cache: pathlib.Path) -> None:
    lines: list[str] = []
    model, _ = load_pretrained(NAME, cache_dir=str(cache), offline=True, report=lines.append)
    assert model.num_classes == small.CLASSES
    assert lines[0] == f"{NAME} at commit {COMMIT}"


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_revision_may_be_a_branch_or_a_commit(revision: str, cache: pathlib.Path) -> None:
    fetched = hub.fetch(NAME, revision, str(cache), offline=True)
    assert fetched.commit == COMMIT


def test_a_revision_that_is_not_in_the_cache_is_not_replaced_by_another(cache: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match="at revision 'v2' are no file here and not in the hub's cache"):
        hub.fetch(NAME, "v2", str(cache), offline=True)


def test_hf_hub_offline_in_the_environment_suffices(cache: pathlib.Path) -> None:
    program = f"from mobilenet_v2.weights import hub; print(hub.fetch({NAME!r}, cache_dir={str(cache)!r}).commit)"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == COMMIT


def test_revision_and_file_are_what_the_hub_is_asked_for(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo_id: str, file: str, **options: object) -> str:
        asked.append((repo_id, file, options["revision"], options["local_files_only"]))
        snapshot = next(cache.glob("models--*/snapshots/*"))
        if not (snapshot / file).exists():
            raise errors.EntryNotFoundError(file)
        return str(snapshot / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    load_pretrained(NAME, revision="main", cache_dir=str(cache), report=quiet)
    assert asked == [
        (NAME, "model.safetensors", "main", False),
        *((NAME, beside, COMMIT, False) for beside in ("config.json", "preprocessor_config.json")),
    ]


@pytest.mark.parametrize(
    "error, message",
    [
        (errors.EntryNotFoundError("no"), "have no model.safetensors"),
        (errors.HFValidationError("bad"), "can't be fetched: bad"),
        (OSError("disk full"), "can't be fetched: disk full"),
        (errors.HTTPError("the proxy says no"), "can't be fetched: the proxy says no"),
    ],
)
def test_what_the_hub_says_becomes_one_line(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError, match=message):
        load_pretrained(NAME)


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/b/c", "timm", "timm/..", "./x/y"])
def test_paths_are_no_names_of_the_hub(name: str) -> None:
    assert not hub.is_name(name)


def test_a_file_here_comes_before_the_hub(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm").mkdir()
    save_file(small.arrays("timm"), tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    model, _ = load_pretrained(NAME, report=quiet)
    assert model.num_classes == small.CLASSES


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError("disk full"), r"config\.json of weights .* can't be fetched: disk full"),
        (errors.LocalEntryNotFoundError("no connection"), r"the hub can't be asked for their config\.json; offline"),
    ],
)
def test_a_config_that_can_t_be_fetched_is_no_config_that_is_not_there(
    error: Exception, message: str, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(repo_id: str, file: str, **_: object) -> str:
        if file != "model.safetensors":
            raise error
        return str(next(cache.glob(f"models--*/snapshots/*/{file}")))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError, match=message):
        hub.fetch(NAME, cache_dir=str(cache))


NOWHERE = (
    r"are no file here and not in the hub's cache, and {}\. Give the path of a weight file, or the folder of a run"
)


def test_without_a_connection_it_is_said_at_once_why_and_what_to_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reason = NOWHERE.format(r"huggingface\.co can't be reached \(Name or service not known\)")
    with pytest.raises(WeightsError, match=reason):
        hub.fetch(NAME, cache_dir=str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_without_a_connection_the_cache_still_has_the_file(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for beside in ("config.json", "preprocessor_config.json"):
        (next(cache.glob("models--*/snapshots/*")) / beside).write_text("{}")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert hub.fetch(NAME, cache_dir=str(cache)).commit == COMMIT


def test_offline_says_that_it_forbids_to_ask(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match=NOWHERE.format("offline forbids to ask it")):
        hub.fetch(NAME, cache_dir=str(tmp_path), offline=True)


def test_attempts_of_the_hubs_client_are_not_told_one_by_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("huggingface_hub.utils._http")

    def download(*_: object, **__: object) -> str:
        logger.warning("Retrying in 1s")
        raise errors.LocalEntryNotFoundError("no") from TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    level = logger.level
    with pytest.raises(
        WeightsError, match=NOWHERE.format(r"huggingface\.co can't be reached \(Connection timed out\)")
    ):
        hub.fetch(NAME)
    assert capfd.readouterr() == ("", "")
    assert logger.level == level
