"""How does an import stand?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catalog import keys
from catalog.imports import Control, Import, Retry
from catalog.money import Usd
from catalog.results import (
    Costs,
    ImportStatus,
    Manifest,
    RenderCounts,
    ShardCounts,
)
from catalog.revisions import open_revision

if TYPE_CHECKING:
    from catalog.state import State
    from catalog.store.port import Store


class UnknownImport(LookupError):
    """The store has no such import."""


def import_ids(store: Store) -> tuple[str, ...]:
    """Every import in the store, by id; costs a listing of ``imports/``."""
    found = (entry.key.split("/") for entry in store.list("imports/"))
    return tuple(sorted({parts[1] for parts in found if parts[2:] == ["control.json"]}))


def import_status(store: Store, state: State | None, import_id: str) -> ImportStatus:
    """How an import stands: from its manifest if it is published, else from Redis.

    Raises:
        UnknownImport: the store has no such import.
    """
    control = _read(store, keys.control(import_id), Control)
    imported = _read(store, keys.import_(import_id), Import)
    if imported is None:
        return _planning(import_id, control)
    revision = open_revision(store, import_id)
    if revision is None:
        return _published(_read(store, keys.manifest(import_id), Manifest))
    begun_at, renders = imported.created_at, imported.counts.renders
    if revision > 1:
        retry: Retry = _read(store, keys.retry(import_id, revision), Retry)
        begun_at, renders = retry.at, retry.renders
    intent = control.changed(intent=control.intent_for(revision)) if control else None
    return _running(imported, intent, state, begun_at=begun_at, renders=renders)


def _read(store: Store, key: str, shape: Any) -> Any:
    found = store.read(key)
    return None if found is None else shape.from_json(found.content)


def _planning(import_id: str, control: Control | None) -> ImportStatus:
    if control is None:
        msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
        raise UnknownImport(msg)
    return ImportStatus.model_validate(
        {
            "import_id": import_id,
            "state": "planning",
            "reason": None,
            "products": 0,
            "rows": {"read": 0, "rejected": 0},
            "renders": {},
            "cost_usd": {},
            "shards": {"total": 0, "committed": 0},
            "started_at": control.at,
            "finished_at": None,
            "eta_s": None,
        }
    )


def _published(manifest: Manifest) -> ImportStatus:
    return ImportStatus(
        import_id=manifest.import_id,
        state=manifest.state,
        reason=None,
        products=manifest.products,
        rows=manifest.rows,
        renders=manifest.counts,
        cost_usd=manifest.cost_usd,
        shards=ShardCounts(total=len(manifest.parts), committed=len(manifest.parts)),
        started_at=manifest.started_at,
        finished_at=manifest.published_at,
        eta_s=None,
    )


def _running(
    imported: Import,
    control: Control | None,
    state: State | None,
    *,
    begun_at: datetime,
    renders: int,
) -> ImportStatus:
    progress = state.progress(imported.import_id) if state else None
    micro_usd = progress.micro_usd if progress else 0
    if state and progress:
        # Calls whose renders are not settled yet have cost money, too.
        called = state.spent(imported.import_id) - progress.doubtful_micro_usd
        micro_usd = max(micro_usd, called)
    expected = imported.counts.renders
    counts = progress.counts if progress else RenderCounts(expected=expected, open=expected)
    committed = progress.committed if progress else 0
    elapsed_s = (datetime.now(UTC) - begun_at).total_seconds()
    done = max(0, renders - counts.open)
    return ImportStatus(
        import_id=imported.import_id,
        state=_state(control, committed=committed, total=len(imported.parts)),
        reason=control.reason if control and control.intent == "pause" else None,
        products=imported.counts.products,
        rows=imported.rows,
        renders=counts,
        cost_usd=Costs(
            estimated=imported.expected_usd,
            spent=Usd(micro_usd),
            doubtful=Usd(progress.doubtful_micro_usd if progress else 0),
        ),
        shards=ShardCounts(total=len(imported.parts), committed=committed),
        started_at=imported.created_at,
        finished_at=None,
        eta_s=round(elapsed_s / done * counts.open, 1) if done else None,
    )


def _state(control: Control | None, *, committed: int, total: int) -> Any:
    if committed == total:
        return "publishing"
    if control and control.intent == "pause":
        return "paused"
    return "running"
