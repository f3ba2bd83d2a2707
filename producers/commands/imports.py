"""``skuscene import`` and the verbs that speak of one import."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import claims, keys
from catalog.money import Usd
from catalog.reasons import Failure
from catalog.settings import read_settings
from catalog.store.directory import DirectoryStore
from producers import control, display, importing, repairing, reporting, verifying
from producers.api import Skuscene
from producers.exits import Exit, of_status
from producers.failures import UsageError
from producers.importing import Order
from producers.repairing import NobodyRepairs
from producers.retrying import AGAIN, Selection
from producers.services import reach, reach_store

if TYPE_CHECKING:
    import argparse

    from catalog.settings import Settings
    from catalog.store.port import Store
    from producers.planning import Plan
    from producers.services import Services
    from producers.verifying import Verification


def run_import(options: argparse.Namespace) -> int:
    """Turn a catalog export into an import."""
    settings = read_settings()
    order = _order(options)
    if options.dry_run:
        return _dry_run(order, settings, options)
    _refuse_unbuilt(options)
    prepared = importing.prepare_order(order, settings)
    shop = Skuscene(settings)
    if options.json:
        display.say(f"import {prepared.import_id}")
    else:
        sys.stdout.write(f"{prepared.import_id}\n")
        sys.stdout.flush()
    facts = prepared.feed.facts
    display.say(f"{facts.name}: {facts.format} ({facts.why}), {facts.encoding}")
    with display.planning() as progress:
        imported = importing.start_import(
            prepared,
            settings,
            shop.services,
            consent=lambda plan: _consents(plan, settings, options),
            progress=progress,
        )
    _tell(imported.warnings, imported.rows.rejected, imported.import_id)
    if not options.wait:
        return _started(shop, imported.import_id, imported.rows.rejected, options)
    return _wait(shop, imported.import_id, options)


def _order(options: argparse.Namespace) -> Order:
    scenes: str | None = options.scenes
    is_file = scenes is not None and (Path(scenes).suffix in {".yaml", ".yml"} or "/" in scenes)
    is_file = is_file or (scenes is not None and Path(scenes).is_file())
    return Order(
        feed=Path(options.feed),
        scenes=Path(scenes) if scenes and is_file else None,
        scene_names=tuple(scenes.split(",")) if scenes and not is_file else (),
        format=options.format,
        mapping=_mapping(options.map),
        images=Path(options.images) if options.images else None,
        import_id=options.id,
        catalog=options.catalog,
        model=options.model,
        lane=options.lane,
        budget=_amount(options.budget),
        rebuy=tuple(name for name in (options.rebuy or "").split(",") if name),
        limit=options.limit,
    )


def _mapping(text: str | None) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in (text or "").split(","):
        if not pair.strip():
            continue
        field, equals, column = pair.partition("=")
        if not equals or not field.strip() or not column.strip():
            msg = f"--map {pair!r}: write FIELD=COLUMN, as in --map sku=ArtNr,title=Name"
            raise UsageError(msg)
        mapping[field.strip()] = column.strip()
    return mapping


def _amount(text: str | None) -> Usd | None:
    if text is None:
        return None
    try:
        amount = Usd.parse(text)
    except ValueError as exc:
        msg = f"--budget: {exc}"
        raise UsageError(msg) from exc
    if amount.micro <= 0:
        msg = "--budget must be above 0"
        raise UsageError(msg)
    return amount


def _refuse_unbuilt(options: argparse.Namespace) -> None:
    if options.pilot is not None:
        msg = "--pilot is not built yet; --limit N imports the first N products"
        raise UsageError(msg)


def _dry_run(order: Order, settings: Settings, options: argparse.Namespace) -> int:
    prepared = importing.prepare_order(order, settings)
    store = reach_store(settings) if settings.store else None
    with display.planning() as progress:
        plan = importing.dry_run(prepared, settings, store, progress=progress)
    if options.json:
        _print_json(plan.model_dump(mode="json"))
    else:
        sys.stdout.write(display.dry_run_text(plan, prepared.feed.facts.name) + "\n")
    for warning in plan.warnings:
        display.say(f"warning: {warning}")
    return Exit.REJECTED_ROWS if plan.rejected else Exit.DONE


def _consents(plan: Plan, settings: Settings, options: argparse.Namespace) -> bool:
    limit = Usd.parse(settings.confirm_above_usd)
    both, bounds = plan.forecast.estimate, plan.forecast.range
    expected, of_lane, other = both.standard, bounds.standard, f"in batches: {both.batch} USD"
    if options.lane == "batch":
        expected, of_lane, other = both.batch, bounds.batch, f"now: {both.standard} USD"
    if options.yes or options.budget is not None or expected <= limit:
        return True
    price = (
        f"{plan.renders} renders, about {expected} USD, {of_lane.low} to {of_lane.high} ({other})"
    )
    if not sys.stdin.isatty():
        display.say(
            f"{price}: more than SKUSCENE_CONFIRM_ABOVE_USD={limit}; say --yes, or set a --budget"
        )
        return False
    display.say(price)
    sys.stderr.write("buy them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _tell(warnings: tuple[str, ...], rejected: int, import_id: str) -> None:
    for warning in warnings:
        display.say(f"warning: {warning}")
    if rejected:
        display.say(f"{rejected} rejected rows: {keys.rejected(import_id)} says why")


def _started(shop: Skuscene, import_id: str, rejected: int, options: argparse.Namespace) -> int:
    status = shop.status(import_id)
    if options.json:
        _print_json(status.model_dump(mode="json"))
    else:
        display.say(
            f"{status.renders.expected} renders enqueued, about {status.cost_usd.estimated} USD; "
            f"`skuscene status {import_id} --watch` shows how they fare"
        )
    return Exit.REJECTED_ROWS if rejected else Exit.DONE


def _wait(shop: Skuscene, import_id: str, options: argparse.Namespace) -> int:
    with display.watching() as seen:
        status = shop.wait(import_id, seen=seen)
    if status.state == "paused":
        display.say(f"paused: {status.reason}: {_pause_message(shop, import_id)}")
    if options.json:
        _print_json(status.model_dump(mode="json"))
    else:
        sys.stdout.write(display.status_text(status) + "\n")
    return of_status(status)


def _pause_message(shop: Skuscene, import_id: str) -> str:
    found = shop.services.store.read(keys.control(import_id))
    return str(json.loads(found.content).get("message") or "") if found else ""


def run_status(options: argparse.Namespace) -> int:
    """Show one import, or all."""
    shop = Skuscene(read_settings())
    if options.id is None:
        statuses = [shop.status(import_id) for import_id in shop.imports()]
        if options.json:
            _print_json([status.model_dump(mode="json") for status in statuses])
        else:
            display.out().print(display.status_table(statuses))
        return Exit.DONE
    if options.watch:
        return _wait(shop, options.id, options)
    status = shop.status(options.id)
    if options.json:
        _print_json(status.model_dump(mode="json"))
    else:
        sys.stdout.write(display.status_text(status) + "\n")
    return Exit.DONE


def run_control(options: argparse.Namespace) -> int:
    """Pause, resume or cancel an import."""
    shop = Skuscene(read_settings())
    if options.verb == "resume":
        told = control.resume(shop.services, options.id, budget=_amount(options.budget))
    elif options.verb == "pause":
        told = control.pause(shop.services, options.id)
    else:
        told = control.cancel(shop.services, options.id)
    sys.stdout.write(f"{told.import_id}: {told.intent}\n")
    return Exit.DONE


def run_retry(options: argparse.Namespace) -> int:
    """Run rows of a published import again."""
    selection = _selection(options)
    shop = Skuscene(read_settings())
    asked = shop.retry(options.id, selection)
    told = f"revision {asked.revision}: {asked.renders} renders run again"
    if options.wait:
        display.say(f"{options.id}: {told}")
        return _wait(shop, options.id, options)
    if options.json:
        _print_json(asked.model_dump(mode="json", by_alias=True))
    else:
        sys.stdout.write(f"{options.id}: {told}\n")
    return Exit.DONE


def _selection(options: argparse.Namespace) -> Selection:
    known = {str(reason) for reason in Failure}
    if options.reason is not None and options.reason not in known:
        msg = f"--reason {options.reason!r}: there are {', '.join(sorted(known))}"
        raise UsageError(msg)
    default = ",".join(AGAIN) if options.reason else "failed"
    names = [name.strip() for name in (options.status or default).split(",")]
    statuses = tuple(status for status in AGAIN if status in names)
    if not set(names) <= set(AGAIN):
        msg = f"--status {options.status!r}: rows without a picture are {', '.join(AGAIN)}"
        raise UsageError(msg)
    return Selection(
        statuses=statuses, reason=options.reason, skus=tuple(dict.fromkeys(options.sku or ()))
    )


def run_recover(options: argparse.Namespace) -> int:
    """Rebuild from the store what Redis knew of an import."""
    shop = Skuscene(read_settings())
    status = control.recover(shop.services, options.id)
    sys.stdout.write(f"{options.id}: {status}\n")
    return Exit.DONE


def run_verify(options: argparse.Namespace) -> int:
    """Read every object that a manifest names, and if asked have what is damaged made again."""
    settings = read_settings()
    services = reach(settings) if options.repair else None
    store = services.store if services else reach_store(settings)
    report = _verified(store, options)
    if services is not None and not report.holds:
        report = _repaired(services, settings, report, options)
    if options.json:
        _print_json(report.to_dict())
    else:
        sys.stdout.write(display.verification_text(report) + "\n")
    return Exit.DONE if report.holds else Exit.FAILED


def _verified(store: Store, options: argparse.Namespace) -> Verification:
    with display.verifying() as progress:
        return verifying.verify(store, options.id, revision=options.revision, progress=progress)


def _repaired(
    services: Services, settings: Settings, report: Verification, options: argparse.Namespace
) -> Verification:
    asked = repairing.ask_for_repairs(services, report)
    if not asked:
        display.say(f"none of {len(report.problems)} problems can be repaired from what is there")
        return report
    display.say(f"{len(asked)} repairs enqueued; nothing is bought for them")
    wait = sys.stderr.isatty() if options.wait is None else options.wait
    if not wait:
        display.say(f"verify {options.id} again when they are done (or use --wait)")
        return report
    try:
        patience_s = _PATIENCE_S if _is_listened(settings) else _PATIENCE_WITHOUT_WORKER_S
        repairing.wait_for_repairs(services, asked, patience_s=patience_s)
    except NobodyRepairs as exc:
        display.say(str(exc))
        return report
    return _verified(services.store, options)


_PATIENCE_S = 60.0
_PATIENCE_WITHOUT_WORKER_S = 30.0


def _is_listened(settings: Settings) -> bool:
    """Whether a worker answers; one that is at a picture, or at a repair, can't."""
    # What looks at Redis takes half a second to load, which most verbs need not wait for.
    from producers.diagnosis import check_workers

    queue = claims.QUEUE_OF[claims.REPAIR]
    return not any(
        found.check == f"queue {queue}" and found.outcome == "warning"
        for found in check_workers(settings)
    )


def run_gallery(options: argparse.Namespace) -> int:
    """Say where an import's contact sheet is."""
    settings = read_settings()
    store = reach_store(settings)
    key = keys.gallery(options.id)
    if not store.has(key):
        msg = f"import {options.id!r} has no contact sheet (yet): it is made when it is published"
        raise reporting.UnknownImport(msg)
    if settings.public_base_url:
        where = f"{settings.public_base_url.rstrip('/')}/{key}"
    elif isinstance(store, DirectoryStore):
        where = str(store.root / key)
    else:
        where = f"{store.url}/{key}"
    sys.stdout.write(f"{where}\n")
    return Exit.DONE


def _print_json(shape: Any) -> None:
    sys.stdout.write(json.dumps(shape, ensure_ascii=False, indent=2) + "\n")
