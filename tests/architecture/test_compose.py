"""Does docker-compose.yml hold what can be held without an engine?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.settings import Settings, variable

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
STAGES = ("prepare", "generate", "finish", "control")
ONE_SHOT = ("bucket",)
LASTING = tuple(name for name in SERVICES if name not in ONE_SHOT)
MODEL_KEYS = {"GEMINI_API_KEY", "GOOGLE_API_KEY"}
# Read by boto3 and Flower themselves.
FOREIGN = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
    "FLOWER_BASIC_AUTH",
}


def environment(service: str) -> dict[str, str | None]:
    given: dict[str, str | None] = SERVICES[service].get("environment", {})
    return given


def seconds(duration: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}
    return sum(float(n) * unit[u] for n, u in re.findall(r"([\d.]+)([smh])", duration))


def known_variables() -> set[str]:
    names = set(FOREIGN)
    for field, info in Settings.model_fields.items():
        names.update(getattr(info.validation_alias, "choices", [variable(field)]))
    return names


def test_the_file_satisfies_the_compose_specification() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(COMPOSE)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_a_fixed_tag(service: str) -> None:
    name, _, tag = SERVICES[service]["image"].rpartition(":")

    assert name, "an image without a tag is whatever was newest"
    assert re.match(r"\d+\.\d+", tag), tag
    assert not name.startswith("minio/"), "its images are gone from the registry"


def test_our_image_carries_the_version_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    ours = {service["image"] for service in SERVICES.values() if "build" in service}

    assert version
    assert ours == {f"skuscene:{version[1]}"}


@pytest.mark.parametrize("service", [name for name in SERVICES if SERVICES[name].get("ports")])
def test_a_port_is_open_to_this_machine_only(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])


@pytest.mark.parametrize("service", LASTING)
def test_a_lasting_service_is_restarted_and_watched(service: str) -> None:
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[service]["healthcheck"])
    assert SERVICES[service]["init"] is True


def test_every_stage_has_a_worker_of_its_own() -> None:
    assert {name: SERVICES[name]["command"] for name in STAGES} == {
        name: ["worker", "--queues", name] for name in STAGES
    }


@pytest.mark.parametrize("service", STAGES)
def test_a_worker_waits_for_the_queue_and_the_bucket(service: str) -> None:
    assert SERVICES[service]["depends_on"] == {
        "redis": {"condition": "service_healthy"},
        "bucket": {"condition": "service_completed_successfully"},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_variable_is_one_that_somebody_reads(service: str) -> None:
    assert set(environment(service)) <= known_variables()


@pytest.mark.parametrize("service", SERVICES)
def test_only_generate_holds_the_key_of_the_model(service: str) -> None:
    held = MODEL_KEYS & set(environment(service))

    assert held == (MODEL_KEYS if service == "generate" else set())


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES:
        for name, value in environment(service).items():
            if re.search(r"KEY|SECRET|AUTH|PASSWORD|TOKEN", name):
                assert value is None or "fake-dev" in value, f"{service}: {name}"


def test_all_workers_share_one_queue_and_one_store() -> None:
    shared = ("SKUSCENE_REDIS_URL", "SKUSCENE_STORE", "AWS_ENDPOINT_URL_S3", "SKUSCENE_MODEL")
    told = {tuple(environment(stage)[name] for name in shared) for stage in STAGES}

    assert len(told) == 1


def test_redis_keeps_what_it_took() -> None:
    command = SERVICES["redis"]["command"]
    given = dict(zip(command[1::2], command[2::2], strict=True))

    assert given["--appendonly"] == "yes"
    assert given["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in SERVICES["redis"]["volumes"])


def test_a_paid_call_in_flight_may_end_before_the_container_is_killed() -> None:
    grace_s = seconds(SERVICES["generate"]["stop_grace_period"])

    assert grace_s > Settings.model_construct().stop_grace_s


def test_paid_answers_outlive_the_container_that_holds_them() -> None:
    assert "spool:/var/lib/skuscene/spool" in SERVICES["generate"]["volumes"]


def test_only_stages_that_fetch_or_buy_can_reach_the_outside() -> None:
    inside_only = {name for name in STAGES if SERVICES[name]["networks"] == ["inside"]}

    assert FILE["networks"]["inside"] == {"internal": True}
    assert inside_only == {"finish", "control"}


def test_every_volume_that_is_mounted_is_named() -> None:
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }

    assert mounted == set(FILE["volumes"])


def test_the_image_runs_as_a_numbered_user_and_bakes_no_secret_in() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]

    assert len(set(bases)) == 1
    assert all(re.search(r":\d+\.\d+", base) for base in bases)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert not [line for line in lines if re.search(r"(?i)(_key|secret|token|password)\s*=", line)]
