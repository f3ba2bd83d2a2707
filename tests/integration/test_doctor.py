"""Does the doctor tell the truth about real services, and buy exactly one picture?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
from PIL import Image

from producers.embedded import private_redis
from tests.support.running import AWS, BUCKET, free_port, s3_server, stop
from tests.support.waiting import wait_for
from worker.live import markers, product_photo
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "AIza-fake-key-that-nobody-may-see"
MODEL = "gemini-nano-banana-2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a run of the doctor said."""

    code: int
    shape: dict[str, Any]
    text: str

    def outcomes(self) -> dict[str, str]:
        return {check["check"]: check["outcome"] for check in self.shape["checks"]}

    def message(self, name: str) -> str:
        found = next(check for check in self.shape["checks"] if check["check"] == name)
        return f"{found['message']}; {found['advice']}"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with private_redis() as server:
        yield server.url


def variables(folder: Path, **more: str) -> dict[str, str]:
    ours = ("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **inherited,
        "SKUSCENE_STORE": (folder / "store").as_uri(),
        "GEMINI_API_KEY": KEY,
        **more,
    }


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "producers", "doctor", *arguments],
        env=variables(folder, **settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert KEY not in done.stdout + done.stderr
    return done


def diagnose(folder: Path, *arguments: str, **settings: str) -> Diagnosis:
    done = run(folder, "--json", *arguments, **settings)
    shape = json.loads(done.stdout)
    assert shape["exit"] == done.returncode
    return Diagnosis(code=done.returncode, shape=shape, text=done.stdout + done.stderr)


def live(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "worker.live", "--out", str(folder), *arguments],
        env=variables(folder, **settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert KEY not in done.stdout + done.stderr
    return done


def transcript(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    (made,) = folder.glob("doctor-live-*")
    for path in made.iterdir():
        assert KEY.encode() not in path.read_bytes()
    request = json.loads((made / "request.json").read_text())
    return made, request, json.loads((made / "answer.json").read_text())


def test_a_house_in_order_is_exit_0_with_a_warning_per_queue_without_worker(
    tmp_path: Path, redis_url: str
) -> None:
    found = diagnose(tmp_path, SKUSCENE_REDIS_URL=redis_url)

    assert found.code == 0, found.text
    outcomes = found.outcomes()
    queues = {f"queue {name}" for name in ("prepare", "generate", "finish", "control")}
    assert {name for name, outcome in outcomes.items() if outcome != "ok"} == queues
    assert {outcomes[name] for name in queues} == {"warning"}
    assert {"redis", "redis memory", "redis disk", "redis clock", "store writes"} <= set(outcomes)
    assert "skuscene worker --queues generate" in found.message("queue generate")


def test_a_line_per_check_is_printed_for_people(tmp_path: Path, redis_url: str) -> None:
    done = run(tmp_path, SKUSCENE_REDIS_URL=redis_url)

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) >= 14
    assert all(line.split()[0] in {"ok", "warning"} for line in lines)


def test_a_worker_that_listens_is_found_and_what_waits_is_counted(
    tmp_path: Path, redis_url: str
) -> None:
    log = tmp_path / "worker.log"
    with redis.Redis.from_url(redis_url) as client, log.open("wb") as output:
        client.rpush("generate", "{}", "{}", "{}")
        worker = subprocess.Popen(
            [sys.executable, "-m", "producers", "worker", "--queues", "prepare"],
            env=variables(tmp_path, SKUSCENE_REDIS_URL=redis_url),
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
        try:
            wait_for(
                lambda: "worker_ready" in log.read_text(), timeout_s=30.0, what="a worker ready"
            )
            found = diagnose(tmp_path, SKUSCENE_REDIS_URL=redis_url)
        finally:
            stop(worker)
            client.delete("generate")

    assert found.outcomes()["queue prepare"] == "ok", found.text
    assert "prepare-" in found.message("queue prepare")
    assert found.outcomes()["queue generate"] == "warning"
    assert "3 messages waiting" in found.message("queue generate")


def test_a_redis_that_is_away_is_exit_4_and_the_rest_is_checked_all_the_same(
    tmp_path: Path,
) -> None:
    found = diagnose(tmp_path, SKUSCENE_REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}/0")

    assert found.code == 4
    assert "SKUSCENE_REDIS_URL" in found.message("redis")
    assert "hunter2" not in found.text
    outcomes = found.outcomes()
    assert (outcomes["redis"], outcomes["workers"]) == ("fault", "skipped")
    assert (outcomes["store writes"], outcomes["model"]) == ("ok", "ok")


def test_a_redis_that_evicts_is_exit_1(tmp_path: Path) -> None:
    with (
        private_redis(append_only=False) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")

        found = diagnose(tmp_path, SKUSCENE_REDIS_URL=server.url)

    assert found.code == 1
    assert found.outcomes()["redis memory"] == "fault"
    assert found.outcomes()["redis disk"] == "warning"


def test_a_redis_that_refuses_the_password_is_exit_4(tmp_path: Path) -> None:
    with (
        private_redis() as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.config_set("requirepass", "another")

        found = diagnose(tmp_path, SKUSCENE_REDIS_URL=server.url)

    assert found.code == 4
    assert "uthentication" in found.message("redis")


def test_a_missing_setting_is_exit_2_and_a_service_that_is_away_outweighs_it(
    tmp_path: Path,
) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"

    assert diagnose(tmp_path, SKUSCENE_REDIS_URL="").code == 2
    assert diagnose(tmp_path, SKUSCENE_REDIS_URL=away, SKUSCENE_WINDOW="many").code == 4


def test_invalid_settings_do_not_hide_the_other_checks(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "skuscene.toml").write_text('windw = 3\ngemini_api_key = "x"')

    found = diagnose(tmp_path, SKUSCENE_REDIS_URL=redis_url, SKUSCENE_MODEL="nano-bananna")

    assert found.code == 2
    settings = [one["message"] for one in found.shape["checks"] if one["check"] == "settings"]
    assert len(settings) == 2
    assert found.outcomes()["model"] == "fault"
    assert found.outcomes()["redis"] == "ok"


def test_a_directory_that_can_not_be_written_is_exit_4(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "file").touch()

    found = diagnose(
        tmp_path,
        SKUSCENE_REDIS_URL=redis_url,
        SKUSCENE_STORE=(tmp_path / "file" / "store").as_uri(),
    )

    assert found.code == 4
    assert "SKUSCENE_STORE" in found.message("store")


def test_a_bucket_is_probed_and_one_that_is_missing_is_exit_4(
    tmp_path: Path, redis_url: str
) -> None:
    with s3_server(tmp_path) as url:
        bucket = {**AWS, "AWS_ENDPOINT_URL_S3": url, "SKUSCENE_REDIS_URL": redis_url}

        there = diagnose(tmp_path, **bucket, SKUSCENE_STORE=f"s3://{BUCKET}/shop")
        missing = diagnose(tmp_path, **bucket, SKUSCENE_STORE="s3://no-such-bucket")

    outcomes = there.outcomes()
    assert there.code == 0, there.text
    assert (outcomes["store writes"], outcomes["store clock"]) == ("ok", "ok")
    assert missing.code == 4
    assert "no bucket" in missing.message("store")


def test_live_buys_one_picture_and_writes_down_what_came(tmp_path: Path, redis_url: str) -> None:
    with Simulator() as simulator:
        found = diagnose(
            tmp_path,
            "--live",
            SKUSCENE_REDIS_URL=redis_url,
            GOOGLE_GEMINI_BASE_URL=simulator.url,
        )
        books = simulator.books()

    assert found.code == 0, found.text
    assert (books["calls"], books["sold"]) == (1, 1)
    made, request, answer = transcript(tmp_path)
    assert sorted(found.shape["live_files"]) == sorted(map(str, made.iterdir()))
    assert request["model"] == answer["model_asked"] == answer["model_answered"] == MODEL
    assert request["size"] == "1K"
    assert request["estimate_micro_usd"] <= 100_000
    assert answer["pixels_asked"] == answer["pixels_measured"] == [1024, 1024]
    assert answer["media_type"] == "image/jpeg"
    assert answer["cost_micro_usd"] > 0
    assert all(answer["compared"].values())
    with Image.open(made / "picture.jpg") as picture:
        assert picture.size == (1024, 1024)


def test_live_works_on_vertex_too(tmp_path: Path) -> None:
    with Simulator() as simulator:
        found = diagnose(
            tmp_path,
            "--live",
            GEMINI_API_KEY="",
            GOOGLE_GENAI_USE_VERTEXAI="true",
            GOOGLE_CLOUD_PROJECT="shop-1",
            GOOGLE_VERTEX_BASE_URL=simulator.url,
        )
        assert simulator.books()["sold"] == 1

    assert found.outcomes()["live"] == "ok", found.text
    assert transcript(tmp_path)[1]["platform"] == "vertex"


@pytest.mark.parametrize(
    ("outcome", "code", "kind"),
    [
        ("key_invalid", 4, "LaneStopped"),
        ("503", 4, "Overloaded"),
        ("no_image", 1, "NoPicture"),
        ("cut", 1, "OutcomeUnknown"),
    ],
)
def test_a_live_call_that_brings_no_picture_leaves_its_transcript(
    outcome: str, code: int, kind: str, tmp_path: Path
) -> None:
    with Simulator(script=[{"outcome": outcome}]) as simulator:
        done = live(tmp_path, "--model", "nano-banana", GOOGLE_GEMINI_BASE_URL=simulator.url)
        assert simulator.books()["calls"] == 1

    assert done.returncode == code, done.stderr
    answer = transcript(tmp_path)[2]
    assert answer["kind"] == kind
    assert answer["message"] in done.stderr


def test_a_live_call_that_reaches_nobody_is_exit_4(tmp_path: Path, redis_url: str) -> None:
    found = diagnose(
        tmp_path,
        "--live",
        SKUSCENE_REDIS_URL=redis_url,
        GOOGLE_GEMINI_BASE_URL=f"http://127.0.0.1:{free_port()}",
    )

    assert (found.code, found.outcomes()["live"]) == (4, "fault")
    answer = transcript(tmp_path)[2]
    assert (answer["kind"], answer["perhaps_billed"]) == ("TryLater", False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SKUSCENE_MODEL": "nano-banana-pro"}, "costs about 0.1492 USD, more than 0.1000"),
        ({"SKUSCENE_MODEL": "preview"}, "draws on this machine"),
        ({"GEMINI_API_KEY": ""}, "the model can't be asked"),
    ],
)
def test_live_buys_nothing_that_is_too_dear_or_can_not_work(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    with Simulator() as simulator:
        found = diagnose(tmp_path, "--live", GOOGLE_GEMINI_BASE_URL=simulator.url, **settings)
        assert simulator.books()["calls"] == 0

    check = next(one for one in found.shape["checks"] if one["check"] == "live")
    assert (found.code, check["outcome"]) == (2, "fault")
    assert words in check["message"]
    assert list(tmp_path.glob("doctor-live-*")) == []


def test_the_live_process_keeps_the_price_limit_itself(tmp_path: Path) -> None:
    with Simulator() as simulator:
        done = live(
            tmp_path,
            *("--model", "nano-banana", "--size", "4K", "--most-micro-usd", "50000"),
            GOOGLE_GEMINI_BASE_URL=simulator.url,
        )
        assert simulator.books()["calls"] == 0

    assert done.returncode == 2
    assert "nothing was bought" in done.stderr


def test_markers_of_origin_are_found_in_the_bytes() -> None:
    plain = product_photo()
    term = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

    assert markers(plain) == {"c2pa": False, "xmp": False, "digital_source_type": None}
    assert markers(plain + b"jumbjumdc2pa\x00" + term) == {
        "c2pa": True,
        "xmp": False,
        "digital_source_type": "trainedAlgorithmicMedia",
    }
    assert markers(plain + b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta")["xmp"] is True
