"""What can an admin script do with Skuscene?

The verbs of the command line as functions, over one connection::

    from producers.api import Order, Skuscene

    shop = Skuscene()                               # settings from the environment
    plan = shop.dry_run(Order(feed=Path("products.csv")))
    started = shop.start(Order(feed=Path("products.csv"), scenes=Path("scenes.yaml")))
    status = shop.wait(started.import_id)
    assert shop.verify(started.import_id).holds
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from catalog import keys
from catalog.results import Manifest
from catalog.settings import Settings, read_settings
from producers import control, importing, reporting, retrying, verifying
from producers.importing import Order
from producers.retrying import Selection
from producers.services import Services, reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.imports import Control, DryRun, Import, Retry
    from catalog.money import Usd
    from catalog.results import ImportStatus
    from producers.planning import Plan
    from producers.verifying import Verification

__all__ = ["Order", "Selection", "Skuscene"]

OVER = frozenset({"complete", "cancelled", "paused"})
"""States in which nothing happens any more until somebody does something."""


class Skuscene:
    """A store and its queue, as an admin script sees them.

    Raises:
        SettingsError, StoreUrlError: a setting is missing or can't be right.
        ServiceAway: Redis or the store can't be reached.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or read_settings()
        self._services: Services = reach(self._settings)

    @property
    def services(self) -> Services:
        """The store, the state and the queue themselves."""
        return self._services

    def dry_run(self, order: Order) -> DryRun:
        """Count and price what an import would buy; keeps nothing.

        Raises:
            FeedError, SceneBookError, ImagesError, ImportRefused: it can't be right.
        """
        prepared = importing.prepare_order(order, self._settings)
        return importing.dry_run(prepared, self._settings, self._services.store)

    def start(self, order: Order, *, consent: Callable[[Plan], bool] | None = None) -> Import:
        """Plan an import and set the workers on it; ``consent`` sees the price and may say no.

        Raises:
            FeedError, SceneBookError, ImagesError, ImportRefused: it can't be right.
            NoConsent: ``consent`` said no.
        """
        prepared = importing.prepare_order(order, self._settings)
        return importing.start_import(
            prepared, self._settings, self._services, consent=consent or (lambda _plan: True)
        )

    def status(self, import_id: str) -> ImportStatus:
        """How an import stands.

        Raises:
            UnknownImport: the store has no such import.
        """
        return reporting.import_status(self._services.store, self._services.state, import_id)

    def imports(self) -> tuple[str, ...]:
        """Every import in the store, by id."""
        return reporting.import_ids(self._services.store)

    def wait(
        self,
        import_id: str,
        *,
        every_s: float = 0.5,
        timeout_s: float | None = None,
        seen: Callable[[ImportStatus], None] = lambda _status: None,
    ) -> ImportStatus:
        """Wait until an import is complete, cancelled or paused; ``seen`` gets every look.

        Raises:
            UnknownImport: the store has no such import.
            TimeoutError: ``timeout_s`` passed before.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            status = self.status(import_id)
            seen(status)
            if status.state in OVER:
                return status
            if until is not None and time.monotonic() > until:
                msg = f"import {import_id} is still {status.state} after {timeout_s:.0f} s"
                raise TimeoutError(msg)
            time.sleep(every_s)

    def pause(self, import_id: str) -> Control:
        """Stop sending calls."""
        return control.pause(self._services, import_id)

    def resume(self, import_id: str, *, budget: Usd | None = None) -> Control:
        """Go on after a pause, if asked with another budget."""
        return control.resume(self._services, import_id, budget=budget)

    def cancel(self, import_id: str) -> Control:
        """Send no further call and publish what there is."""
        return control.cancel(self._services, import_id)

    def retry(self, import_id: str, selection: Selection | None = None) -> Retry:
        """Run rows of a published import again, as its next revision; by default what failed.

        Raises:
            UnknownImport: the store has no such import.
            RetryRefused: it still runs, or no row fits.
        """
        return retrying.retry(self._services, import_id, selection or Selection())

    def manifest(self, import_id: str) -> Manifest:
        """The newest manifest of an import.

        Raises:
            UnknownImport: it has none (yet).
        """
        found = self._services.store.read(keys.manifest(import_id))
        if found is None:
            msg = f"import {import_id!r} has no manifest (yet)"
            raise reporting.UnknownImport(msg)
        return Manifest.from_json(found.content)

    def verify(self, import_id: str) -> Verification:
        """Read every object that the manifest names and compare it.

        Raises:
            UnknownImport: there is no manifest (yet).
        """
        return verifying.verify(self._services.store, import_id)
