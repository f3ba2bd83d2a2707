from __future__ import annotations

import os
import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from catalog.settings import read_settings
from producers.diagnosis import (
    Finding,
    append_only_finding,
    check_embedded,
    check_model,
    check_photos,
    check_redis,
    check_settings,
    check_store,
    concealed,
    eviction_finding,
    exit_of,
    is_place,
    queue_finding,
    skew_finding,
    version_finding,
)
from producers.exits import Exit
from worker.fetch.addresses import AllowList

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def model_findings(**settings: Any) -> dict[str, Finding]:
    found = check_model(read_settings(**settings), TODAY)
    return {f"{one.check} {one.outcome}": one for one in found}


@pytest.mark.parametrize(
    ("exits", "code"),
    [
        ([], Exit.DONE),
        ([Exit.FAILED], Exit.FAILED),
        ([Exit.FAILED, Exit.USAGE], Exit.USAGE),
        ([Exit.USAGE, Exit.FAILED, Exit.SERVICE], Exit.SERVICE),
    ],
)
def test_the_gravest_fault_decides_the_exit_code(exits: list[Exit], code: Exit) -> None:
    faults = [Finding(check="c", outcome="fault", message="m", exit=one) for one in exits]
    warning = Finding(check="c", outcome="warning", message="m", exit=Exit.SERVICE)

    assert exit_of([*faults, warning]) == code


@pytest.mark.parametrize(
    ("version", "outcome"),
    [("6.0.16", "fault"), ("6.2.0", "ok"), ("7.2.4", "ok"), ("10.0", "ok"), ("?", "fault")],
)
def test_a_redis_before_6_2_is_a_fault(version: str, outcome: str) -> None:
    assert version_finding({"redis_version": version}, "here").outcome == outcome


@pytest.mark.parametrize(
    ("policy", "limit_bytes", "outcome"),
    [
        ("noeviction", 0, "ok"),
        ("noeviction", 1_000_000, "ok"),
        ("allkeys-lru", 0, "warning"),
        ("allkeys-lru", 1_000_000, "fault"),
        ("volatile-ttl", 1_000_000, "fault"),
    ],
)
def test_eviction_is_a_fault_once_memory_is_bounded(
    policy: str, limit_bytes: int, outcome: str
) -> None:
    info = {"maxmemory_policy": policy, "maxmemory": limit_bytes}

    assert eviction_finding(info).outcome == outcome


def test_a_redis_that_forgets_at_restart_is_a_warning() -> None:
    assert append_only_finding({"aof_enabled": 0}).outcome == "warning"
    assert append_only_finding({"aof_enabled": 1}).outcome == "ok"


@pytest.mark.parametrize(
    ("skew_s", "outcome", "word"),
    [(1.9, "ok", "within"), (2.1, "warning", "ahead of"), (-30.0, "warning", "behind")],
)
def test_clocks_that_differ_by_more_than_two_seconds_are_a_warning(
    skew_s: float, outcome: str, word: str
) -> None:
    finding = skew_finding("redis clock", skew_s)

    assert finding.outcome == outcome
    assert word in finding.message


def test_a_queue_without_a_worker_names_the_command_that_starts_one() -> None:
    finding = queue_finding("finish", [], 1)

    assert finding.outcome == "warning"
    assert "1 message waiting" in finding.message
    assert "skuscene worker --queues finish" in finding.advice


def test_a_queue_with_workers_counts_them_and_what_waits() -> None:
    finding = queue_finding("finish", ["a@h", "b@h"], 12)

    assert finding.outcome == "ok"
    assert finding.message == "2 workers; 12 messages waiting"


def test_a_developer_key_that_is_missing_is_exit_2() -> None:
    finding = model_findings(model="nano-banana")["model key fault"]

    assert finding.exit is Exit.USAGE
    assert "GEMINI_API_KEY" in finding.advice


def test_a_key_with_a_line_break_inside_is_exit_2_and_not_shown() -> None:
    finding = model_findings(gemini_api_key="AIza-first\nsecond-half")["model key fault"]

    assert finding.exit is Exit.USAGE
    assert "second-half" not in finding.message + finding.advice


def test_vertex_wants_a_project_and_credentials_that_exist(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "GOOGLE_CLOUD_PROJECT" in model_findings(use_vertex=True)["model key fault"].advice

    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    found = model_findings(use_vertex=True, google_cloud_project="shop-1")
    assert "no such file" in found["model key fault"].message

    (tmp_path / "none.json").touch()
    found = model_findings(use_vertex=True, google_cloud_project="shop-1")
    assert "shop-1 in global" in found["model key ok"].message


def test_the_offline_renderer_needs_no_key() -> None:
    assert set(model_findings(model="preview")) == {"model ok", "model key ok"}


def test_a_model_that_nobody_knows_is_exit_2() -> None:
    finding = model_findings(model="nano-bananna")["model fault"]

    assert finding.exit is Exit.USAGE
    assert "did you mean nano-banana" in finding.message


def test_a_deprecated_model_is_a_warning() -> None:
    found = model_findings(model="nano-banana-2", gemini_api_key="a-key")

    assert found["model ok"].message.startswith("nano-banana-2 is gemini-3.1-flash-image")
    assert found["model warning"].outcome == "warning"


def test_two_keys_that_differ_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "one-key")
    monkeypatch.setenv("GEMINI_API_KEY", "another-key")

    assert "GOOGLE_API_KEY" in model_findings()["model key warning"].message


@pytest.mark.parametrize(
    "entry",
    [
        "photos.example",
        "photos.example:8080",
        "10.0.0.0/8",
        "10.1.2.3/8",
        "127.0.0.1:8080",
        "::1",
        "[::1]:8080",
        "fd00::/8",
        "localhost",
        "bücher.example",
        "my_host",
        "photos.example.",
        "",
        "http://photos.example",
        "photos.example:",
        "photos.example:0",
        "photos.example:99999",
        "10.0.0.0/33",
        "two words",
        "-",
        "a..b",
        "*.example",
        "x" * 64,
        "[::1",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_a_place_for_photos_is_judged_as_the_worker_judges_it(entry: str) -> None:
    try:
        AllowList([entry])
        accepted = True
    except ValueError:
        accepted = False

    assert is_place(entry) is accepted


def test_a_place_that_can_not_be_read_is_exit_2() -> None:
    finding = check_photos(read_settings(fetch_allow=("10.0.0.0/8", "http://x")))

    assert finding.exit is Exit.USAGE
    assert "'http://x'" in finding.message
    assert "10.0.0.0/8'" not in finding.message


@pytest.mark.parametrize(
    ("server", "outcome"), [("/no/such/server", "fault"), (None, "ok")], ids=["named", "found"]
)
def test_the_demos_server_must_be_there_if_it_is_named(server: str | None, outcome: str) -> None:
    assert check_embedded(read_settings(redis_server=server)).outcome == outcome


def test_what_is_not_set_is_exit_2_with_the_ways_out() -> None:
    for check, variable in ((check_redis, "SKUSCENE_REDIS_URL"), (check_store, "SKUSCENE_STORE")):
        (finding,) = check(read_settings())
        assert finding.exit is Exit.USAGE
        assert finding.message == f"{variable} is not set"
        assert "skuscene demo" in finding.advice


@pytest.mark.parametrize("url", ["http://h/0", "redis://:hunter2/hunter2@h", "redis://h:port"])
def test_an_address_that_is_no_redis_is_exit_2_and_keeps_its_password(url: str) -> None:
    (finding,) = check_redis(read_settings(redis_url=url))

    assert finding.exit is Exit.USAGE
    assert "hunter2" not in finding.message + finding.advice


def test_a_store_that_is_no_store_is_exit_2() -> None:
    (finding,) = check_store(read_settings(store="ftp://pictures"))

    assert finding.exit is Exit.USAGE


def test_a_region_that_boto3_does_not_read_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("SKUSCENE_WINODW", "7")

    found = [(one.outcome, one.message) for one in check_settings(["SKUSCENE_LEASE_S: no"])]

    assert [outcome for outcome, _ in found] == ["fault", "warning", "warning"]
    assert re.search("SKUSCENE_WINDOW", found[1][1])
    assert re.search("AWS_REGION", found[2][1])


def test_no_secret_that_is_set_survives_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret-value")
    settings = read_settings(
        gemini_api_key="AIza-fake-key-that-nobody-may-see", redis_url="redis://:hunter2-long@h"
    )

    said = concealed(
        "AIza-fake-key-that-nobody-may-see, hunter2-long and aws-secret-value", settings
    )

    assert said == "***, *** and ***"
