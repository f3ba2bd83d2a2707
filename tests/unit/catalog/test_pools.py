"""What does a file of pools say, and what if it can't be right?"""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.pools import limits_together, read_pools
from catalog.quota_limits import QuotaLimits
from catalog.settings import Settings, SettingsError

TWO = """
[[pools]]
name = "studio"
platform = "developer"
api_key_variable = "KEY_OF_STUDIO"
requests_per_minute = 600
calls_in_flight = 64

[[pools]]
name = "bought"
platform = "vertex"
cloud_project = "shop-prod"
traffic = "dedicated"
models = ["gemini-nano-banana-2.1"]
requests_per_minute = 300
spend_per_10_minutes_usd = 12.5
"""
POOL = "[[pools]]\nname = 'a'\n"
KEYS = {"KEY_OF_STUDIO": "visibly-fake"}


def written(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "pools.toml"
    file.write_text(text, encoding="utf-8")
    return Settings(pools_file=file)


def test_without_a_file_the_settings_are_the_one_pool() -> None:
    (pool,) = read_pools(Settings(quota_project="eu", quota_requests_per_minute=60))

    assert (pool.name, pool.platform, pool.quota_project) == ("developer", "developer", "eu")
    assert pool.limits == QuotaLimits(requests_per_minute=60)
    assert pool.serves("anything")


def test_pools_are_asked_in_the_files_order_each_with_its_own_key_and_limits(
    tmp_path: Path,
) -> None:
    studio, bought = read_pools(written(tmp_path, TWO), KEYS)

    assert studio.api_key is not None
    assert studio.api_key.get_secret_value() == "visibly-fake"
    assert studio.limits == QuotaLimits(requests_per_minute=600, calls_in_flight=64)
    assert (bought.platform, bought.cloud_project, bought.traffic) == (
        "vertex",
        "shop-prod",
        "dedicated",
    )
    assert bought.limits.spend_micro_per_10_minutes == 12_500_000
    assert bought.serves("gemini-nano-banana-2.1")
    assert not bought.serves("gemini-3-pro-image")


def test_a_key_is_shown_nowhere(tmp_path: Path) -> None:
    assert "visibly-fake" not in repr(read_pools(written(tmp_path, TWO), KEYS))


def test_who_asks_no_model_needs_no_key(tmp_path: Path) -> None:
    settings = written(tmp_path, TWO)

    assert len(read_pools(settings, {}, with_keys=False)) == 2
    with pytest.raises(SettingsError, match=r"pool studio takes its key from KEY_OF_STUDIO"):
        read_pools(settings, {})


def test_together_pools_let_through_what_all_of_them_do(tmp_path: Path) -> None:
    pools = read_pools(written(tmp_path, TWO), KEYS)

    both = limits_together(pools, "gemini-nano-banana-2.1")
    assert both == QuotaLimits(requests_per_minute=900)
    alone = limits_together(pools, "gemini-3-pro-image")
    assert alone == QuotaLimits(requests_per_minute=600, calls_in_flight=64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools = []", "at least 1"),
        ("[[pool]]", "pools"),
        ("[[pools]]\nname = 'a b'\nplatform = 'vertex'", "name"),
        ("[[pools]]\nname = 'a'\nplatform = 'azure'", "developer"),
        ("[[pools]]\nname = 'a'\nplatform = 'developer'", "api_key_variable"),
        ("[[pools]]\nname = 'a'\nplatform = 'vertex'", "cloud_project"),
        (
            f"{POOL}platform = 'developer'\napi_key_variable = 'K'\ntraffic = 'shared'",
            "Vertex AI's alone",
        ),
        (
            "[[pools]]\nname = 'a'\nplatform = 'vertex'\ncloud_project = 'p'\nrpm = 5",
            "rpm",
        ),
        (
            f"{POOL}platform = 'vertex'\ncloud_project = 'p'\n" * 2,
            "stands twice",
        ),
        ("[[pools", "no TOML"),
    ],
)
def test_a_file_that_cant_be_right_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=r"pools\.toml.*SKUSCENE_POOLS_FILE") as told:
        read_pools(written(tmp_path, text), KEYS)

    assert said in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_pools(Settings(pools_file=tmp_path / "none.toml"))
