"""Could an import run here now, and if not, what is to be done?

Every check is a plain function that says what it found instead of raising, so that one fault never
hides the next. A check may write: the store's identity if it has none, and throw-away probe keys.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import redis
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError

from catalog.claims import QUEUES
from catalog.connection import QueueUnavailable, open_redis
from catalog.models import UnknownModel, load_models
from catalog.models_file import ModelsFileError
from catalog.pools import Pool, read_pools
from catalog.queue import Queue, connect
from catalog.settings import (
    REDIS_WAYS,
    Settings,
    SettingsError,
    need,
    unknown_variables,
)
from catalog.settings_table import without_password
from catalog.store.opening import StoreUrlError, identify, probe
from catalog.store.port import StoreError, StoreRefuses
from producers.embedded import NoRedisServer, find_server
from producers.exits import Exit
from producers.services import ServiceAway, reach_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from catalog.store.port import Store

Outcome = Literal["ok", "warning", "fault", "skipped"]

OLDEST_REDIS = (6, 2)
LARGEST_SKEW_S = 2.0

_INSPECT_S = 2.0
_PRECEDENCE = (Exit.SERVICE, Exit.USAGE, Exit.FAILED)
_HIGHEST_PORT = 65_535
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# A shorter one is a test's, and words of messages would vanish with it.
_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; ``advice`` says what to do, ``exit`` what a fault ends with."""

    check: str
    outcome: Outcome
    message: str
    advice: str = ""
    exit: Exit = Exit.DONE

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        shape = asdict(self)
        shape.pop("exit")
        return shape


def diagnose(settings: Settings, faults: Iterable[str] = ()) -> Iterator[Finding]:
    """Check everything, each finding as soon as it is there; takes two seconds and more.

    ``faults`` are those of the settings themselves (:func:`catalog.settings.examine_settings`).
    """
    for finding in _checks(settings, faults):
        yield replace(
            finding,
            message=concealed(finding.message, settings),
            advice=concealed(finding.advice, settings),
        )


def exit_of(findings: Iterable[Finding]) -> Exit:
    """The exit code of all findings together: the first of 4, 2, 1, 0 that one asks for."""
    wanted = {finding.exit for finding in findings if finding.outcome == "fault"}
    return next((code for code in _PRECEDENCE if code in wanted), Exit.DONE)


def concealed(text: str, settings: Settings) -> str:
    """Put stars in place of every secret that we hold, whoever quoted it."""
    for secret in _secrets(settings):
        text = text.replace(secret, "***")
    return text


def _checks(settings: Settings, faults: Iterable[str]) -> Iterator[Finding]:
    yield from check_settings(faults)
    redis_found = tuple(check_redis(settings))
    yield from redis_found
    yield from check_store(settings)
    if any(finding.exit in {Exit.SERVICE, Exit.USAGE} for finding in redis_found):
        yield Finding(check="workers", outcome="skipped", message="can't be asked without Redis")
    else:
        yield from check_workers(settings)
    yield from check_model(settings, datetime.now(UTC).date())
    yield check_photos(settings)
    yield check_embedded(settings)


# Settings -----------------------------------------------------------------------------------------


def check_settings(faults: Iterable[str]) -> Iterator[Finding]:
    """Say what the settings' own rules found, and which variables set nothing."""
    found = tuple(faults)
    for fault in found:
        yield _invalid("settings", fault, "mend it; the checks below take the default instead")
    strangers = unknown_variables()
    for stranger in strangers:
        yield _warning("settings", stranger, "nothing reads it")
    if os.environ.get("AWS_REGION") and not os.environ.get("AWS_DEFAULT_REGION"):
        yield _warning(
            "settings", "AWS_REGION is set, which boto3 does not read", "set AWS_DEFAULT_REGION"
        )
    if not found:
        yield _ok("settings", "all can be right, and none contradicts another")


# Redis --------------------------------------------------------------------------------------------


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Reach Redis, and see whether it keeps what it is given."""
    try:
        url = need(settings.redis_url, "SKUSCENE_REDIS_URL", REDIS_WAYS)
    except SettingsError as exc:
        yield _invalid("redis", *_message_and_ways(exc))
        return
    shown = without_password(url)
    try:
        client = open_redis(url)
    except ValueError:
        # The exception quotes what it could not read, which may be a piece of the password.
        yield _invalid(
            "redis",
            f"SKUSCENE_REDIS_URL={shown} is no address of a Redis",
            "write redis://host:6379/0, rediss://host:6379/0 or unix:///path/to.sock?db=0",
        )
        return
    with client:
        yield from _redis_findings(client, shown)


def _redis_findings(client: redis.Redis, shown: str) -> Iterator[Finding]:
    try:
        info: dict[str, Any] = client.info()
        skew_s = redis_skew_s(client)
    except redis.RedisError as exc:
        yield _away("redis", f"{shown}: {exc}", "start it, or mend SKUSCENE_REDIS_URL")
        return
    yield version_finding(info, shown)
    yield eviction_finding(info)
    yield append_only_finding(info)
    yield skew_finding("redis clock", skew_s)


def version_finding(info: dict[str, Any], shown: str) -> Finding:
    """Judge the server's version, from what ``INFO`` says."""
    version = str(info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    valkey = info.get("valkey_version")
    named = f"Valkey {valkey} (speaks as Redis {version})" if valkey else f"Redis {version}"
    if numbers < OLDEST_REDIS:
        oldest = ".".join(str(number) for number in OLDEST_REDIS)
        return _fault("redis", f"{named} at {shown} is too old", f"use {oldest} or newer")
    return _ok("redis", f"{named} at {shown}")


def eviction_finding(info: dict[str, Any]) -> Finding:
    """Judge what the server does when its memory is full."""
    policy = str(info.get("maxmemory_policy", "unknown"))
    limit_bytes = int(info.get("maxmemory", 0))
    if policy == "noeviction":
        return _ok("redis memory", "nothing is evicted (noeviction)")
    advice = "set maxmemory-policy noeviction"
    if limit_bytes:
        return _fault(
            "redis memory",
            f"maxmemory-policy {policy} throws messages and leases away once "
            f"{limit_bytes} bytes are full",
            advice,
        )
    return _warning(
        "redis memory", f"maxmemory-policy {policy}, harmless only while maxmemory is 0", advice
    )


def append_only_finding(info: dict[str, Any]) -> Finding:
    """Judge what the server knows after a restart."""
    if int(info.get("aof_enabled", 0)):
        return _ok("redis disk", "the append-only file is on")
    return _warning(
        "redis disk",
        "the append-only file is off: a restart forgets running imports, which are then "
        "rebuilt from the store",
        "set appendonly yes",
    )


def redis_skew_s(client: redis.Redis) -> float:
    """How far Redis's clock is ahead of ours, in seconds.

    Raises:
        redis.RedisError: it can't be asked.
    """
    before_s = time.time()
    seconds, micros = client.time()
    after_s = time.time()
    return float(seconds) + float(micros) / 1e6 - (before_s + after_s) / 2


def skew_finding(check: str, skew_s: float, *, resolution_s: float = 0.0) -> Finding:
    """Judge how far another clock is ahead of ours, which it tells in steps of a resolution."""
    if abs(skew_s) <= LARGEST_SKEW_S + resolution_s:
        return _ok(check, f"agrees with ours within {LARGEST_SKEW_S + resolution_s:g} s")
    way = "ahead of" if skew_s > 0 else "behind"
    return _warning(
        check,
        f"is {abs(skew_s):.1f} s {way} ours: leases and signatures depend on it",
        "let both machines keep time by NTP",
    )


# Store --------------------------------------------------------------------------------------------


def check_store(settings: Settings) -> Iterator[Finding]:
    """Reach the store, and try whether it keeps two writers apart."""
    try:
        store = reach_store(settings)
        store_id = identify(store)
    except (SettingsError, StoreUrlError) as exc:
        yield _invalid("store", *_message_and_ways(exc))
        return
    except (ServiceAway, StoreError) as exc:
        yield _away("store", str(exc), _store_advice())
        return
    yield _ok("store", f"{store.url} answers (id {store_id})")
    try:
        probe(store)
    except StoreError as exc:
        # A refusal brings its own advice.
        advice = "" if isinstance(exc, StoreRefuses) else "look at the store"
        yield _away("store writes", str(exc), advice)
    else:
        yield _ok("store writes", "both conditional writes are enforced")
    yield from check_store_clock(store)


def check_store_clock(store: Store) -> Iterator[Finding]:
    """Compare an S3 server's clock with ours; a directory has none of its own."""
    from catalog.store.s3 import S3Store

    if not isinstance(store, S3Store):
        return
    # Without a Date header there is nothing to compare.
    with suppress(StoreError, KeyError, ValueError):
        before_s = time.time()
        date = _s3_date(store)
        # The header tells whole seconds, cut off.
        skew_s = date.timestamp() + 0.5 - (before_s + time.time()) / 2
        yield skew_finding("store clock", skew_s, resolution_s=0.5)


def _s3_date(store: Any) -> datetime:
    with store._translated("its clock"):  # noqa: SLF001  the one place that needs a raw answer
        reply = store._client.head_bucket(Bucket=store.bucket)  # noqa: SLF001
    return parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"])


def _store_advice() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    at = (
        f"AWS_ENDPOINT_URL_S3 ({without_password(endpoint)})" if endpoint else "AWS_ENDPOINT_URL_S3"
    )
    return f"look at SKUSCENE_STORE and, for s3://, at {at} and the AWS_* credentials"


# Workers ------------------------------------------------------------------------------------------


def check_workers(settings: Settings) -> Iterator[Finding]:
    """Ask which workers listen, and count what waits for them; Redis must be there."""
    app = connect(settings, str(settings.redis_url))
    try:
        waiting = Queue(app).depths()
        answers = app.control.inspect(timeout=_INSPECT_S).active_queues() or {}
    except (QueueUnavailable, CeleryError, KombuError, OSError, redis.RedisError) as exc:
        yield _away("workers", f"the queues can't be asked: {exc}", "look at Redis")
        return
    finally:
        app.close()
    for queue in QUEUES:
        listening = sorted(
            worker for worker, queues in answers.items() if queue in {one["name"] for one in queues}
        )
        yield queue_finding(queue, listening, waiting[queue])


def queue_finding(queue: str, listening: list[str], waiting: int) -> Finding:
    """Judge one queue."""
    messages = f"{waiting} message{'' if waiting == 1 else 's'} waiting"
    check = f"queue {queue}"
    if not listening:
        return _warning(
            check,
            f"no worker answers within {_INSPECT_S:g} s; {messages}",
            f"start one: skuscene worker --queues {queue}",
        )
    many = f"{len(listening)} workers" if len(listening) > 1 else listening[0]
    return _ok(check, f"{many}; {messages}")


# Model --------------------------------------------------------------------------------------------


def check_model(settings: Settings, today: date) -> Iterator[Finding]:
    """Look the model up: is it there, for how long, and have we what its platform wants?"""
    try:
        table = load_models(settings.models_file)
    except ModelsFileError as exc:
        yield _invalid("model", f"SKUSCENE_MODELS_FILE: {exc}", "mend it, or unset the setting")
        return
    try:
        pools = read_pools(settings)
    except SettingsError as exc:
        yield _invalid("model key", str(exc), "mend the file of pools, or set the key")
        return
    platform = pools[0].platform
    try:
        model = table.resolve(settings.model, platform=platform)
    except UnknownModel as exc:
        yield _invalid("model", f"SKUSCENE_MODEL: {exc.args[0]}", "")
        return
    life = table.lifecycle(model, platform, today)
    if life.refusal:
        yield _invalid("model", life.refusal, "set SKUSCENE_MODEL to another one")
    else:
        named = model.id if settings.model == model.id else f"{settings.model} is {model.id}"
        yield _ok("model", f"{named}, on {platform}")
    for warning in life.warnings:
        yield _warning("model", warning, "`skuscene models` lists others")
    if model.is_preview:
        yield _ok("model key", "the offline renderer needs none")
    elif settings.pools_file is not None:
        yield _pools_finding(pools, model.id)
    elif settings.platform == "vertex":
        yield _vertex_finding(settings)
    else:
        yield from _key_findings(settings)


def _pools_finding(pools: Sequence[Pool], model_id: str) -> Finding:
    serving = [pool.name for pool in pools if pool.serves(model_id)]
    if not serving:
        return _invalid(
            "model key",
            f"no pool of SKUSCENE_POOLS_FILE serves {model_id}",
            "add it to a pool's models, or leave those out",
        )
    return _ok("model key", f"asked through {', then '.join(serving)}")


def _key_findings(settings: Settings) -> Iterator[Finding]:
    key = settings.gemini_api_key.get_secret_value().strip() if settings.gemini_api_key else ""
    where = (
        f", for {without_password(settings.gemini_base_url)}" if settings.gemini_base_url else ""
    )
    if not key:
        yield _invalid(
            "model key",
            "the Gemini Developer API needs a key",
            "set GEMINI_API_KEY, or SKUSCENE_MODEL=preview to draw offline",
        )
    elif not key.isascii() or not key.isprintable() or " " in key:
        yield _invalid(
            "model key",
            "the key holds characters that no key has",
            "copy it into the variable anew",
        )
    else:
        yield _ok("model key", f"set (not tried; --live does){where}")
    both = {os.environ.get(name) for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY")} - {None, ""}
    if len(both) > 1:
        yield _warning(
            "model key", "GOOGLE_API_KEY and GEMINI_API_KEY differ; the former is used", "unset one"
        )


def _vertex_finding(settings: Settings) -> Finding:
    if not settings.google_cloud_project:
        return _invalid("model key", "Vertex AI needs a project", "set GOOGLE_CLOUD_PROJECT")
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if file and not Path(file).is_file():
        return _invalid(
            "model key",
            f"GOOGLE_APPLICATION_CREDENTIALS={file}: no such file",
            "mend it, or unset it and run `gcloud auth application-default login`",
        )
    return _ok(
        "model key",
        f"project {settings.google_cloud_project} in {settings.google_cloud_location}; "
        "credentials not tried (--live does)",
    )


# The rest -----------------------------------------------------------------------------------------


def check_photos(settings: Settings) -> Finding:
    """See whether every private place that photos may come from can be read as one."""
    wrong = [entry for entry in settings.fetch_allow if not is_place(entry)]
    if wrong:
        return _invalid(
            "photos",
            f"SKUSCENE_FETCH_ALLOW: {', '.join(map(repr, wrong))} is no host name, address or "
            "network with an optional port",
            "write for instance photos.example, 10.0.0.0/8 or 127.0.0.1:8080",
        )
    allowed = ", ".join(settings.fetch_allow)
    return _ok("photos", f"from public hosts{f', and from {allowed}' if allowed else ' only'}")


def is_place(entry: str) -> bool:
    """Whether ``SKUSCENE_FETCH_ALLOW`` may hold this: the same rule as the worker's own."""
    inside, port = _split_port(entry.strip())
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and _is_port(int(port))):
        return False
    try:
        ip_network(inside, strict=False)
    except ValueError:
        return _HOST.fullmatch(_as_looked_up(inside)) is not None
    return True


def _as_looked_up(host: str) -> str:
    folded = unicodedata.normalize("NFKC", host).lower().removesuffix(".")
    try:
        return folded if folded.isascii() else folded.encode("idna").decode()
    except UnicodeError:
        return ""


def _split_port(entry: str) -> tuple[str, str | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", entry)
    if bracketed:
        return bracketed[1], bracketed[2]
    host, colon, port = entry.partition(":")
    return (host, port) if colon and ":" not in port else (entry, None)


def _is_port(number: int) -> bool:
    return 0 < number <= _HIGHEST_PORT


def check_embedded(settings: Settings) -> Finding:
    """See whether the demo would find a Redis server of its own."""
    try:
        server = find_server(settings.redis_server)
    except NoRedisServer as exc:
        if settings.redis_server:
            return _invalid("demo", str(exc), "mend it or unset it")
        return _warning("demo", str(exc), "only demo, tests and benchmarks need it")
    return _ok("demo", f"would start {server}")


# Findings -----------------------------------------------------------------------------------------


def _ok(check: str, message: str) -> Finding:
    return Finding(check=check, outcome="ok", message=message)


def _warning(check: str, message: str, advice: str) -> Finding:
    return Finding(check=check, outcome="warning", message=message, advice=advice)


def _fault(check: str, message: str, advice: str, code: Exit = Exit.FAILED) -> Finding:
    return Finding(check=check, outcome="fault", message=message, advice=advice, exit=code)


def _invalid(check: str, message: str, advice: str) -> Finding:
    return _fault(check, message, advice, Exit.USAGE)


def _away(check: str, message: str, advice: str) -> Finding:
    return _fault(check, message, advice, Exit.SERVICE)


def _message_and_ways(exc: Exception) -> tuple[str, str]:
    message, _, ways = str(exc).partition(": ")
    return message, ways


def _secrets(settings: Settings) -> tuple[str, ...]:
    key = settings.gemini_api_key
    signed_in = str(settings.redis_url).partition("://")[2].rpartition("@")[0]
    held = [
        key.get_secret_value() if key else "",
        *(os.environ.get(name, "") for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
        signed_in.rpartition(":")[2],
        *(os.environ.get(name, "") for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
    ]
    return tuple(secret for secret in held if len(secret) >= _SHORTEST_SECRET)
