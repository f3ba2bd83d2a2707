"""How do people say what they want of a running import?

Intent is an object in the store, replaced on its ETag; Redis only caches it, so that losing Redis
forgets nobody's word.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from catalog import keys
from catalog.imports import Control, Import
from catalog.revisions import open_revision
from catalog.store.port import Conflict
from producers.importing import hand_over, whoami
from producers.reporting import UnknownImport

if TYPE_CHECKING:
    from catalog.money import Usd
    from producers.services import Services

JSON = "application/json"
_TRIES = 10


class ControlRefused(Exception):
    """The import can't be told that any more; the message says why."""


def pause(services: Services, import_id: str) -> Control:
    """Stop sending calls; those in flight end and are kept.

    Raises:
        UnknownImport, ControlRefused: there is no such import, or it is over.
    """
    return _tell(services, import_id, "pause", reason="asked")


def resume(services: Services, import_id: str, *, budget: Usd | None = None) -> Control:
    """Go on after a pause, whatever its reason; open renders are fed again.

    ``budget`` replaces the import's budget; ``None`` leaves it as it is.

    Raises:
        UnknownImport, ControlRefused: there is no such import, or it is over.
    """
    control = _tell(services, import_id, "run", reason=None, budget=budget)
    _feed_again(services, import_id)
    return control


def cancel(services: Services, import_id: str) -> Control:
    """Send no further call; the manifest of what was bought is published as ``cancelled``.

    Raises:
        UnknownImport, ControlRefused: there is no such import, or it is over.
    """
    control = _tell(services, import_id, "cancel", reason="asked")
    _feed_again(services, import_id)
    return control


def recover(services: Services, import_id: str) -> str:
    """Make an import known to Redis again and feed what is open; automatic, and this is by hand.

    Raises:
        UnknownImport: there is no such import.
    """
    found = services.store.read(keys.import_(import_id))
    if found is None:
        msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
        raise UnknownImport(msg)
    if open_revision(services.store, import_id) is None:
        return "published: nothing to recover"
    hand_over(Import.from_json(found.content), services, refeed=True)
    return "fed again from the store"


def _tell(
    services: Services,
    import_id: str,
    intent: Literal["run", "pause", "cancel"],
    *,
    reason: str | None,
    budget: Usd | None = None,
) -> Control:
    for _ in range(_TRIES):
        found = services.store.read(keys.control(import_id))
        if found is None:
            msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
            raise UnknownImport(msg)
        control = Control.from_json(found.content)
        revision = _check_possible(services, import_id, control, intent)
        told = control.changed(
            intent=intent,
            revision=revision,
            reason=reason,
            message=None,
            budget_usd=budget or control.budget_usd,
            by=whoami(),
            at=datetime.now(UTC),
        )
        try:
            services.store.replace(
                keys.control(import_id),
                told.to_json(indent=2),
                media_type=JSON,
                etag=found.etag,
            )
        except Conflict:
            continue
        services.state.cache_intent(import_id, intent)
        return told
    msg = f"import {import_id} is being told something else by somebody: try again"
    raise ControlRefused(msg)


def _check_possible(services: Services, import_id: str, control: Control, intent: str) -> int:
    """The revision that the word is spoken to."""
    revision = open_revision(services.store, import_id)
    if revision is None:
        msg = f"import {import_id} is published: there is nothing left to {intent}"
        raise ControlRefused(msg)
    if control.intent_for(revision) == "cancel" and intent != "cancel":
        msg = (
            f"import {import_id} is cancelled: once it is published, "
            f"`skuscene retry {import_id} --status cancelled` goes on; what was bought is reused"
        )
        raise ControlRefused(msg)
    return revision


def _feed_again(services: Services, import_id: str) -> None:
    found = services.store.read(keys.import_(import_id))
    if found is not None:
        hand_over(Import.from_json(found.content), services, refeed=True)
