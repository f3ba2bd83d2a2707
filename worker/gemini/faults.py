"""What follows from an error that Gemini answers with?

Little is known of bills for errors: Google's papers, as far as we read them, don't say whether a
call that ends in 500, 503 or 504 is charged, and we found no report of such a charge. An error
status is therefore read as *nothing was sold*; only a call without a whole answer is doubtful.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from worker.errors import LaneStopped, Limited, Overloaded, Refused, RenderError, TryLater

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORDS_SHOWN = 300
_TOO_MANY = 429
_MINUTE_LIMIT_S = 15.0
"""How long to wait where a minute's limit is reached and nobody says for how long."""

_CALLS_PER_MINUTE = re.compile(r"(Requests?|Images?)PerMinute")

_KEY_REASONS = frozenset({"API_KEY_INVALID", "ACCESS_TOKEN_EXPIRED"})
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """An HTTP error as Google writes it: ``status`` is a word such as ``RESOURCE_EXHAUSTED``.

    ``retry_after_s`` is what RetryInfo says, else the Retry-After header; ``None`` if neither does.
    """

    code: int
    status: str = ""
    message: str = ""
    reasons: frozenset[str] = frozenset()
    quotas: tuple[Mapping[str, object], ...] = ()
    retry_after_s: float | None = None

    def __str__(self) -> str:
        word = f" {self.status}" if self.status else ""
        said = " ".join(self.message.split())[:_WORDS_SHOWN]
        return f"{self.code}{word}: {said}" if said else f"{self.code}{word}"


def read_error(
    code: int,
    body: object,
    *,
    retry_after: str | None = None,
    hidden: Mapping[str, str] | None = None,
) -> ErrorReply:
    """Read an error's JSON, or whatever stands in its place.

    ``body`` may be Google's ``{"error": {...}}``, the same in a list, its inner part, or anything:
    gateways answer in HTML. ``hidden`` maps what must not be quoted to what is shown in its place:
    Google's message about a suspended key holds the key.
    """
    if isinstance(body, list) and body:
        body = body[0]
    outer = body if isinstance(body, dict) else {}
    inner = outer.get("error")
    error = inner if isinstance(inner, dict) else outer
    details = [entry for entry in _list(error.get("details")) if isinstance(entry, dict)]
    delay_s = next((s for s in map(_retry_delay_s, details) if s is not None), None)
    return ErrorReply(
        code=code,
        status=_text(error.get("status")),
        message=_conceal(_text(error.get("message")), hidden or {}),
        reasons=frozenset(_text(entry.get("reason")) for entry in details) - {""},
        quotas=tuple(_violations(details)),
        retry_after_s=delay_s if delay_s is not None else _header_s(retry_after),
    )


def translate(reply: ErrorReply, model_id: str) -> RenderError:
    """Say what an error means for the render and for its lane."""
    lane = _lane_fault(reply, model_id)
    if lane is not None:
        return lane
    if reply.code == _TOO_MANY:
        return _limited(reply)
    if _is_about_the_request(reply.code):
        return Refused("model.rejected", f"the model rejects the request ({reply})")
    if reply.code == 503:  # noqa: PLR2004
        return Overloaded(
            "model.unavailable", f"the model is overloaded ({reply})", reply.retry_after_s
        )
    # 500, 504; 201 and other things that are neither an answer nor a refusal.
    return TryLater(
        "model.unavailable", f"the model is not available ({reply})", reply.retry_after_s
    )


def _lane_fault(reply: ErrorReply, model_id: str) -> LaneStopped | None:
    """Find what no render of this lane can get past: key, bill, permission, model."""
    # In this order: Google answers 400 to a bad key, and 403 to an account without billing.
    if reply.code == 401 or reply.reasons & _KEY_REASONS:  # noqa: PLR2004
        return LaneStopped(
            "model.key_invalid",
            f"the platform does not accept our credentials ({reply}); set GEMINI_API_KEY, "
            "or the application default credentials for Vertex AI",
        )
    billing = reply.code == 400 and reply.status == "FAILED_PRECONDITION"  # noqa: PLR2004
    if billing or reply.code == 402 or "BILLING_DISABLED" in reply.reasons:  # noqa: PLR2004
        return LaneStopped(
            "model.billing",
            f"billing is off, the credit is used up, or the region is not served ({reply}); "
            "see the platform's console",
        )
    if reply.code == 403:  # noqa: PLR2004
        return LaneStopped(
            "model.permission",
            f"these credentials may not use {model_id} ({reply}); see the platform's console",
        )
    if reply.code == 404:  # noqa: PLR2004
        return LaneStopped(
            "model.gone",
            f"the platform does not know {model_id} ({reply}); `skuscene models` lists others",
        )
    return None


def _limited(reply: ErrorReply) -> RenderError:
    """Tell a limit that passes in a minute from one that stands for the day, or for good."""
    if any(_text(quota.get("quotaValue")) == "0" for quota in reply.quotas):
        # Free projects have no image models: their limit is none at all, and waiting is no cure.
        return LaneStopped(
            "model.billing", f"this project's limit for the model is 0 ({reply}); turn on billing"
        )
    if any(re.search("Per(Day|Month)", _text(quota.get("quotaId"))) for quota in reply.quotas):
        return LaneStopped("quota.daily", f"a daily or monthly limit is reached ({reply})")
    asked_s = reply.retry_after_s
    return Limited(
        "model.limited",
        f"a limit of the platform is reached ({reply})",
        _MINUTE_LIMIT_S if asked_s is None else asked_s,
        _kind(reply),
        asked_s,
        _told_per_minute(reply),
    )


def _kind(reply: ErrorReply) -> str:
    if "MODEL_CAPACITY_EXHAUSTED" in reply.reasons:
        return "capacity"
    return "rate" if reply.quotas or reply.retry_after_s is not None else "unclear"


def _told_per_minute(reply: ErrorReply) -> int | None:
    """The limit on calls or pictures that a refusal names, if it is one per minute."""
    told = [
        int(value)
        for quota in reply.quotas
        if _CALLS_PER_MINUTE.search(_text(quota.get("quotaId")))
        and (value := _text(quota.get("quotaValue"))).isdecimal()
    ]
    return min(told) if told else None


def _is_about_the_request(code: int) -> bool:
    """Say whether the same request will be refused again; 408, 409, 425 and 499 pass."""
    return 400 <= code < 500 and code not in {408, 409, 425, 499}  # noqa: PLR2004


def _conceal(message: str, hidden: Mapping[str, str]) -> str:
    for secret, shown in hidden.items():
        message = message.replace(secret, shown) if secret else message
    return message


def _violations(details: list[dict[str, object]]) -> Iterator[Mapping[str, object]]:
    for entry in details:
        for violation in _list(entry.get("violations")):
            if isinstance(violation, dict):
                yield violation


def _retry_delay_s(detail: Mapping[str, object]) -> float | None:
    found = _DURATION.fullmatch(_text(detail.get("retryDelay")))
    return float(found[1]) if found else None


def _header_s(retry_after: str | None) -> float | None:
    """Read Retry-After: seconds, or a day and time."""
    if not retry_after:
        return None
    if _SECONDS.fullmatch(retry_after.strip()):
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
