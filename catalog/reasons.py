"""Why did a row, a render or an import end where it ended?

Closed lists: a result line's, a rejected row's and a pause's ``reason`` is one of these words, and
``docs/reasons.md`` is generated from the sentences behind them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A machine word with the sentence and the cure that stand behind it."""

    meaning: str
    cure: str

    def __new__(cls, word: str, meaning: str = "", cure: str = "") -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        member.cure = cure
        return member


class Rejection(Reason):
    """Why a feed row can't be used; stands in ``rejected.jsonl``."""

    REFERENCE_MISSING = (
        "reference.missing",
        "The product has no photo, or none of its photos is in the folder given by --images.",
        "Add a photo to the row, or put the file under the name that the row links to.",
    )
    ROW_UNREADABLE = (
        "row.unreadable",
        "The row can't be read as a record of this format.",
        "Mend the row; rejected.jsonl names its number and what was expected.",
    )
    ROW_NO_IDENTITY = (
        "row.no_identity",
        "The row has neither a product id nor a SKU nor a title.",
        "Fill in one of them, or name the column with --map.",
    )
    ROW_NO_TITLE = (
        "row.no_title",
        "The product has no title, which every scene's prompt needs.",
        "Fill in the title, or name the column with --map title=COLUMN.",
    )
    ROW_ORPHAN = (
        "row.orphan",
        "The row continues a product that does not stand in the feed.",
        "Restore the product's first row, or remove the row.",
    )
    REFERENCE_BAD_URL = (
        "reference.bad_url",
        "None of the product's photo links is an http or https address.",
        "Mend the link, or import with --images DIR.",
    )


class Failure(Reason):
    """Why a render ended ``failed``, ``blocked``, ``review`` or ``cancelled``."""

    REFERENCE_UNREACHABLE = (
        "reference.unreachable",
        "The photo's host could not be reached, or answered with an error, on every attempt.",
        "Check the link, then import again; what was bought is reused.",
    )
    REFERENCE_NOT_FOUND = (
        "reference.not_found",
        "The photo's host says that the photo does not exist.",
        "Mend the link in the shop and import again.",
    )
    REFERENCE_FORBIDDEN_ADDRESS = (
        "reference.forbidden_address",
        "The link leads to a private, reserved or otherwise forbidden address.",
        "If the host is yours, name it in SKUSCENE_FETCH_ALLOW.",
    )
    REFERENCE_TOO_LARGE = (
        "reference.too_large",
        "The photo has more bytes or pixels than the limits allow.",
        "Offer a smaller photo, or raise the limit in the settings.",
    )
    REFERENCE_TOO_SMALL = (
        "reference.too_small",
        "The photo is too small to show the product.",
        "Offer a larger photo.",
    )
    REFERENCE_NOT_AN_IMAGE = (
        "reference.not_an_image",
        "The file is no picture that can be decoded, or of a format that is not accepted.",
        "Offer a JPEG, PNG or WebP file.",
    )
    REFERENCE_LOST = (
        "reference.lost",
        "A stored reference is no longer in the store.",
        "Import again; the photo is fetched anew.",
    )
    PROMPT_BLOCKED = (
        "prompt.blocked",
        "The model's safety system refused the prompt or the picture.",
        "The message says why: name softer prompts or change the scene's words, then import again.",
    )
    MODEL_NO_PICTURE = (
        "model.no_picture",
        "The model answered without a picture on every attempt.",
        "Import again later, or change the scene's words.",
    )
    MODEL_UNAVAILABLE = (
        "model.unavailable",
        "The model was overloaded, limited or unreachable on every attempt.",
        "Import again later; what was bought is reused.",
    )
    MODEL_REJECTED = (
        "model.rejected",
        "The model rejects the request itself (size, ratio or a reference it can't read).",
        "Check the scene's size and ratio with `skuscene models`.",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "Calls left us and no answer came back, as often as `max_doubtful` allows.",
        "Check the provider's bill, then import again.",
    )
    PICTURE_UNREADABLE = (
        "picture.unreadable",
        "What the model sold can't be decoded as a picture; the bytes are kept as the master.",
        "Look at the master; change the scene's words to have another one bought.",
    )
    CHECK_FAILED = (
        "check.failed",
        "A check of the picture did not hold; `checks` in the record says which.",
        "Look at the picture.",
    )
    WORKER_LOST = (
        "worker_lost",
        "The worker's process died under this render too often.",
        "Report it; importing again tries it again.",
    )
    INTERNAL = (
        "internal",
        "A fault of Skuscene itself; the worker's log holds the traceback.",
        "Report it; importing again tries it again.",
    )
    CANCELLED = (
        "import.cancelled",
        "The import was cancelled before this render was sent.",
        "Import again; what was bought is reused.",
    )


class PauseReason(Reason):
    """Why an import stands still."""

    ASKED = ("asked", "Somebody paused it.", "`skuscene resume ID`.")
    BUDGET = (
        "budget",
        "The import's or the day's budget is reached; nothing is failed.",
        "`skuscene resume ID --budget USD` with a higher one.",
    )
    QUOTA_DAILY = (
        "quota.daily",
        "A daily or monthly limit of the model's platform is reached.",
        "Wait for the limit's next period, then `skuscene resume ID`.",
    )
    KEY_INVALID = (
        "model.key_invalid",
        "The model's platform does not accept the key.",
        "Set GEMINI_API_KEY (or the Vertex credentials) for the workers, then resume.",
    )
    BILLING = (
        "model.billing",
        "Billing is not enabled, or the credit is used up.",
        "Mend it in the platform's console, then resume.",
    )
    PERMISSION = (
        "model.permission",
        "The key may not use this model, or the account is restricted.",
        "Mend it in the platform's console, then resume.",
    )
    MODEL_GONE = (
        "model.gone",
        "The platform no longer knows the model.",
        "Import again with another --model; `skuscene models` lists them.",
    )
