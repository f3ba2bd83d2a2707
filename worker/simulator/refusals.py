"""How does the API say no: which status, which body?

Codes, status words and details are the documented ones; the sentences are close to what users
quote in their reports, and no program should read them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_TYPE: Final = "type.googleapis.com/google.rpc."
_DOMAIN: Final = "googleapis.com"

REQUESTS_METRIC: Final = "generativelanguage.googleapis.com/generate_requests_per_model"
TOKENS_METRIC: Final = (
    "generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count"
)
# No report of such a refusal was found: this metric, and the quota's id, are made up.
SPEND_METRIC: Final = "generativelanguage.googleapis.com/generate_content_spend"

_STATUS_WORDS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RPC_CODES: Final = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A quota as a refusal names it."""

    id: str
    metric: str = REQUESTS_METRIC


class Refusal(Exception):
    """The API's answer is an error; ``outcome`` is its name in the books.

    ``limit`` is the rule that refused, as its text; empty if none did.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        outcome: str,
        status_word: str | None = None,
        details: tuple[dict[str, Any], ...] = (),
        limit: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.outcome = outcome
        self.limit = limit
        self.status_word = status_word or _STATUS_WORDS[status]
        self.details = details

    def body(self) -> bytes:
        """The error as JSON, in the shape of google.rpc.Status."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": self.status_word,
        }
        if self.details:
            error["details"] = list(self.details)
        return json.dumps({"error": error}, indent=2).encode()

    def rpc_status(self) -> dict[str, Any]:
        """The error inside an answer, where its code is that of google.rpc.Code."""
        error: dict[str, Any] = {"code": _RPC_CODES[self.status_word], "message": self.message}
        if self.details:
            error["details"] = list(self.details)
        return error


def invalid_argument(message: str, field: str | None = None) -> Refusal:
    """400: the request is wrong; ``field`` names the place."""
    violations = [{"field": field, "description": message}]
    details = ({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations},) if field else ()
    return Refusal(400, message, outcome="400", details=details)


def key_invalid() -> Refusal:
    """400 with reason ``API_KEY_INVALID``: the documented answer to a wrong key."""
    return Refusal(
        400,
        "API key not valid. Please pass a valid API key.",
        outcome="key_invalid",
        details=(_error_info("API_KEY_INVALID"),),
    )


def key_missing() -> Refusal:
    """401: no key and no token."""
    return Refusal(
        401,
        "Request is missing required authentication credential. Expected an API key in "
        "x-goog-api-key, or an OAuth 2 access token.",
        outcome="401",
        details=(_error_info("CREDENTIALS_MISSING"),),
    )


def billing() -> Refusal:
    """400 FAILED_PRECONDITION: no billing account."""
    return Refusal(
        400,
        "This model requires billing to be enabled. Please enable billing on your project.",
        outcome="billing",
        status_word="FAILED_PRECONDITION",
    )


def prepay_empty() -> Refusal:
    """402: the prepaid credit is used up."""
    return Refusal(402, "Your prepaid credits are depleted.", outcome="402")


def permission_denied() -> Refusal:
    """403: the key may not do this, or was reported as leaked."""
    return Refusal(
        403,
        "Your API key was reported as leaked. Please use another API key.",
        outcome="403",
        details=(_error_info("API_KEY_SERVICE_BLOCKED"),),
    )


def model_not_found(model: str) -> Refusal:
    """404: unknown or retired model."""
    return Refusal(
        404,
        f"models/{model} is not found, or is not supported for generateContent. Call ListModels "
        "to see the list of available models and their supported methods.",
        outcome="404",
    )


def no_such_path(method: str, path: str) -> Refusal:
    """404: nothing is served there."""
    return Refusal(404, f"The simulator serves nothing at {method} {path}.", outcome="404")


def rate_limited(
    model: str, *, limit: int = 10, delay_s: float | None = None, per_day: bool = False
) -> Refusal:
    """429 with its quota; ``delay_s`` adds RetryInfo and the same delay in the message."""
    quota = Quoted(id=f"GenerateRequests{'PerDay' if per_day else 'PerMinute'}PerProjectPerModel")
    outcome = "429_per_day" if per_day else "429" if delay_s is None else "429_retryinfo"
    return quota_exceeded(model, quota, value=str(limit), delay_s=delay_s, outcome=outcome)


def tokens_used_up(model: str, delay_s: float) -> Refusal:
    """429: the quota of tokens per minute, with RetryInfo."""
    quota = Quoted(id="GenerateContentInputTokensPerModelPerMinute", metric=TOKENS_METRIC)
    return quota_exceeded(model, quota, value="1000000", delay_s=delay_s, outcome="429_tokens")


def money_used_up(model: str, delay_s: float) -> Refusal:
    """429: what may be spent in ten minutes, with RetryInfo."""
    quota = Quoted(id="GenerateContentSpendPer10MinutesPerProjectPerModel", metric=SPEND_METRIC)
    return quota_exceeded(model, quota, value="10.00", delay_s=delay_s, outcome="429_spend")


def quota_exceeded(
    model: str | None,
    quota: Quoted | None,
    *,
    value: str | None,
    delay_s: float | None,
    outcome: str,
    limit: str = "",
) -> Refusal:
    """429 that tells as much as it is given: which quota, its value, the time until it admits."""
    sentence = "You exceeded your current quota, please check your plan and billing details."
    details = [_help()] if quota is None else [_quota_failure(model, quota, value), _help()]
    if delay_s is not None:
        delay = f"{delay_s:.3f}".rstrip("0").rstrip(".")
        sentence += f" Please retry in {delay}s."
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{delay}s"})
    return Refusal(429, sentence, outcome=outcome, details=tuple(details), limit=limit)


def exhausted(limit: str = "") -> Refusal:
    """429 for want of capacity: it names no quota and no time."""
    return Refusal(
        429,
        "Resource exhausted. Please try again later.",
        outcome="429_capacity",
        limit=limit,
    )


def internal() -> Refusal:
    """500 INTERNAL."""
    return Refusal(500, "An internal error has occurred. Please retry.", outcome="500")


def overloaded(limit: str = "") -> Refusal:
    """503 UNAVAILABLE: no capacity."""
    return Refusal(
        503, "The model is overloaded. Please try again later.", outcome="503", limit=limit
    )


def deadline_exceeded() -> Refusal:
    """504 DEADLINE_EXCEEDED."""
    return Refusal(504, "Deadline expired before operation could complete.", outcome="504")


def _error_info(reason: str) -> dict[str, Any]:
    return {
        "@type": f"{_TYPE}ErrorInfo",
        "reason": reason,
        "domain": _DOMAIN,
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def _quota_failure(model: str | None, quota: Quoted, value: str | None) -> dict[str, Any]:
    of_model = {} if model is None else {"model": model}
    violation: dict[str, Any] = {
        "quotaMetric": quota.metric,
        "quotaId": quota.id,
        "quotaDimensions": {**of_model, "location": "global"},
    }
    if value is not None:
        violation["quotaValue"] = value
    return {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]}


def _help() -> dict[str, Any]:
    link = {
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    return {"@type": f"{_TYPE}Help", "links": [link]}
