"""Which JSON shapes do we promise, and what are their schemas?

Generated from the models; ``docs/*.schema.json`` holds them and a test compares, so that every
change of the contract shows in a diff.
"""

from __future__ import annotations

import json

from catalog.costs import CostReport
from catalog.imports import Control, DryRun, Import, PlannedProduct, Retry
from catalog.parked import ParkedMessage
from catalog.product import RejectedRow
from catalog.renders import LedgerLine, Refusal, RenderRecord, SourceEntry
from catalog.repairs import Repair
from catalog.results import CatalogPointer, ImportStatus, Manifest, ResultLine
from catalog.store.opening import StoreIdentity
from catalog.wire import Wire

SHAPES: dict[str, type[Wire]] = {
    "record": RenderRecord,
    "result": ResultLine,
    "manifest": Manifest,
    "import": Import,
    "plan": PlannedProduct,
    "control": Control,
    "retry": Retry,
    "rejected": RejectedRow,
    "refused": Refusal,
    "parked": ParkedMessage,
    "repair": Repair,
    "ledger": LedgerLine,
    "source": SourceEntry,
    "catalog": CatalogPointer,
    "store": StoreIdentity,
    "status": ImportStatus,
    "dry-run": DryRun,
    "costs": CostReport,
}
STORE_SCHEMAS = ("record", "result", "manifest")
"""Written to the store's root, for those who read the store alone."""


def schema_of(name: str) -> bytes:
    """A shape's JSON Schema, as it is written and read by us."""
    schema = SHAPES[name].model_json_schema(by_alias=True, mode="serialization")
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"skuscene:{name}.schema.json",
        **schema,
    }
    return (json.dumps(described, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()
