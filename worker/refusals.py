"""Which words for a render did a model refuse, and which may be asked next?

``refused.json`` is the memory, and the store keeps it: whoever comes by, after a redelivery, a
death or the loss of Redis, reads there which prompts were refused, and asks the first softer one of
his slot that is not among them. Only some refusals are worth softer words; all others stand.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from catalog import keys
from catalog.renders import Refusal
from catalog.store.port import Conflict
from worker import plans, revisions
from worker.errors import PromptBlocked, TryLater

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.imports import PlannedSlot
    from catalog.open_calls import OpenCall
    from worker.ports import Desk

SOFTENED: Final = frozenset({"SAFETY", "IMAGE_SAFETY", "RECITATION", "IMAGE_RECITATION"})
"""A model's words after which softer ones are worth a call; false alarms of these are reported.

What is prohibited, or on a blocklist, is never asked for in other words.
"""

JSON = "application/json"
_MOST_ROUNDS = 5


def remembered(desk: Desk, claim: RenderClaim) -> Refusal | None:
    """A render's refusal, if it stands: neither too old, nor has a person asked again since."""
    found = desk.store.read(keys.refused(claim.render_id))
    if found is None:
        return None
    refusal = Refusal.from_json(found.content)
    if _is_too_old(desk, refusal) or revisions.asked_again(desk, claim, refusal):
        return None
    return refusal


def next_wording(slot: PlannedSlot, refusal: Refusal | None) -> int | None:
    """Which of a slot's wordings may be asked, given what stands; ``None`` if none may."""
    if refusal is None:
        return 0
    if refusal.finish_reason not in SOFTENED:
        return None
    untried = (at for at, prompt in enumerate(slot.softer, 1) if prompt not in refusal.prompts)
    return next(untried, None)


def wording_to_ask(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> int:
    """Which of its wordings a slot's next call asks; for whoever holds the render's lease.

    Raises:
        PromptBlocked: every one was refused.
    """
    if not slot.softer:
        return 0
    refusal = remembered(desk, claim)
    wording = next_wording(slot, refusal)
    if wording is None and refusal is not None:
        raise PromptBlocked(refusal.reason, refusal.message, refusal.finish_reason)
    return wording or 0


def has_softer(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> bool:
    """Whether there is something left to ask, now that a call was refused."""
    return bool(slot.softer) and next_wording(slot, remembered(desk, claim)) is not None


def remember(desk: Desk, call: OpenCall, refusal: Refusal) -> None:
    """Add a call's refusal to what stands of its render, or begin anew; may be repeated.

    Raises:
        TryLater: others are writing it.
    """
    key = keys.refused(refusal.render_id)
    for _ in range(_MOST_ROUNDS):
        found = desk.store.read(key)
        known = Refusal.from_json(found.content) if found else None
        told = refusal
        if known is not None and _stands(desk, call, known):
            if _has(known, refusal):
                return
            told = _joined(desk, call, known, refusal)
        with contextlib.suppress(Conflict):  # somebody else was refused just now
            etag = found.etag if found else None
            desk.store.replace(key, told.to_json(indent=2), media_type=JSON, etag=etag)
            return
    msg = f"{key} is being written by others"
    raise TryLater("internal", msg)


def _is_too_old(desk: Desk, refusal: Refusal) -> bool:
    return desk.clock() - refusal.refused_at > timedelta(seconds=desk.limits.refusal_max_age_s)


def _stands(desk: Desk, call: OpenCall, known: Refusal) -> bool:
    """Whether what is known was so for the revision that made the call."""
    if _is_too_old(desk, known):
        return False
    revision = revisions.read_revision(desk.store, call.import_id, call.line.revision)
    return not revisions.was_asked_again(revision, call.import_id, known)


def _has(known: Refusal, refusal: Refusal) -> bool:
    return known.refused_at >= refusal.refused_at and set(refusal.prompts) <= set(known.prompts)


def _joined(desk: Desk, call: OpenCall, known: Refusal, refusal: Refusal) -> Refusal:
    """Both, as one: no prompt that was refused is forgotten, and the harder word counts."""
    harder = refusal if known.finish_reason in SOFTENED else known
    # Of a call that was given up meanwhile: the other one is the answer to who asked last. One that
    # left at the very moment of the other's answer left after it: a render has one buyer at a time.
    asker = known if known.refused_at > call.line.at else refusal
    joined = refusal.changed(
        reason=harder.reason,
        message=harder.message,
        finish_reason=harder.finish_reason,
        prompts=tuple(dict.fromkeys((*known.prompts, *refusal.prompts))),
        cost_usd=known.cost_usd + refusal.cost_usd,
        refused_at=max(known.refused_at, refusal.refused_at),
        import_id=asker.import_id,
        revision=asker.revision,
    )
    if joined.final:
        return joined
    slot = plans.slot_at(desk.store, call.import_id, call.part, call.slot)
    return joined.changed(final=next_wording(slot, joined) is None)
