"""Which promises does a run break?

Looks at every write as it becomes visible and at every call as it leaves, with knowledge that no
worker has: what the model really sold, and who died when. Each broken promise has a name.
"""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import keys
from catalog.claims import claim_name
from catalog.imports import Control, Import, PlannedProduct, PlannedSlot, Retry
from catalog.renders import LedgerLine, Purchase, Refusal, RenderRecord
from catalog.results import CatalogPointer, Image, Manifest, ResultLine, Status
from catalog.store.port import sha256_hex
from tests.support.desk import PRICE, REFUSED

if TYPE_CHECKING:
    from catalog.store.port import Stored
    from tests.simulation.faults import FaultPlan
    from tests.support.memory import MemoryStore
    from worker.ports import Limits

CREATED_ONCE = re.compile(r"^(references/|renders/|ledger/|.*/plan/|.*/results/|.*/manifest\.r)")
_MANIFEST = re.compile(r"^imports/[^/]+/manifest[^/]*\.json$")
GROWING = ("record.json", "refused.json")
_EPOCH_SEEN_S = 5.0
STALE_S = 20.0
"""How old may a worker's knowledge of what people want be when its call leaves?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A promise that did not hold."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


@dataclass(slots=True, eq=False)
class Call:
    """A call to the model. ``wish`` names the take that is asked for, as ``catalog.renders.seed``.

    ``softened`` says in which of its slot's wordings; ``is_hard`` that no other may be asked now.
    ``end``: open, answered, not_sold, no_picture, refused, cut, hung, died (with its process while
    it was open) or gone (answered, and the process died before its next statement).
    """

    wish: int
    prompt: str
    softened: int
    claim: str
    process: str
    at: float
    end: str = "open"
    content: bytes = b""
    answered_at: float = 0.0
    put_tried: bool = False
    kept: bool = False
    dropped: bool = False
    is_attempt: bool = True
    is_hard: bool = False

    @property
    def is_unanswered(self) -> bool:
        return self.end in {"cut", "hung", "died"}

    @property
    def is_sold(self) -> bool:
        return self.end in {"answered", "gone"} or self.is_unanswered

    @property
    def excuses_another(self) -> bool:
        """Whether the same take may be bought again after this call."""
        return self.end not in {"open", "answered"} or self.dropped


class Auditor:
    """Collects what was broken; ``now`` is told by whoever reports."""

    def __init__(self, store: MemoryStore, plan: FaultPlan, limits: Limits, start_s: float) -> None:
        self.broken: list[Broken] = []
        self.calls: list[Call] = []
        self.redis_lost = 0
        self.epoch_since = -math.inf
        """Since when Redis carries its epoch; infinite while it has none."""
        self.wanted: dict[str, tuple[str, float]] = {}
        """What Redis says is wanted of an import, and since when."""
        self.spent: Callable[[str], int] = int
        """What Redis says that an import has cost, doubt included."""
        self.spools = Path()
        self._start = start_s
        self._store = store
        self._plan = plan
        self._max_doubtful = limits.max_doubtful
        self._max_attempts = limits.max_attempts
        self._put_deadline_s = limits.put_deadline_s
        self._by_wish: dict[int, list[Call]] = {}
        self._refused: set[tuple[int, str]] = set()
        """Prompts that may not be asked again."""
        self._remembered: set[tuple[int, str]] = set()
        self._standing: dict[int, Refusal] = {}
        """What is remembered now."""
        self.graceful: Mapping[str, bool] = {}
        self._manifests: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        self._retried_at: dict[str, datetime] = {}
        self._retries: Counter[str] = Counter()
        self._catalogs: dict[str, Manifest] = {}
        self._judged: set[int] = set()
        """Takes whose second sale was noticed as it left."""
        self._cancelled: set[str] = set()
        self.reserved: Counter[str] = Counter()
        """Calls that were about to leave, by process."""
        self.unwritten: Counter[str] = Counter()
        """Lines that a process could not write before it had to end, by process."""
        self._overdrawn: set[str] = set()
        self._slots: dict[str, PlannedSlot] = {}
        self._dead: set[str] = set()
        self._late_micro: Counter[tuple[str, str]] = Counter()
        """What was spent on an import, or is in doubt, and was booked after its manifest."""

    def breaks(self, name: str, what: str) -> None:
        """Note a broken promise."""
        self.broken.append(Broken(name=name, what=what))

    # -- calls -------------------------------------------------------------------------------

    def job_begins(self, payload: Mapping[str, Any]) -> None:
        """Judge a message by what it carries."""
        # Where Redis was emptied, what was counted of an attempt may have gone before it was read.
        # What waits while a person asks for a retry goes on with that, and its slot begins anew.
        rounds = 1 + self._retries[payload["import_id"]]
        most = (self._max_attempts + self._max_doubtful) * rounds + self.redis_lost
        if payload.get("attempt", 1) > most:
            self.breaks("message_has_no_end", f"{payload['import_id']}: {payload['attempt']}")
        if payload.get("doubtful", 0) >= self._max_doubtful:
            self.breaks("message_has_no_end", f"{payload['import_id']}: {payload['doubtful']}")

    def call_leaves(self, wish: int, prompt: str, claim: str, process: str, now: float) -> Call:
        """Judge a call that leaves now."""
        before = self._by_wish.setdefault(wish, [])
        softened = self._wording(wish, prompt, claim)
        call = Call(
            wish=wish, prompt=prompt, softened=softened, claim=claim, process=process, at=now
        )
        for other in before:
            if other.end == "open":
                self._judged.add(wish)
                kind = self._why_two(other, now)
                self.breaks(
                    f"two_buyers.{kind}", f"{process} asks for {wish}, and so does {other.process}"
                )
            elif not other.excuses_another:
                self.breaks("bought_twice", f"{process} asks for {wish}, which is answered")
        if (wish, prompt) in self._refused:
            self.breaks("asked_after_refusal", f"{process} asks for {wish}, which was refused")
        import_id = claim.split("/", 1)[0]
        intent, since = self.wanted.get(import_id, ("run", now))
        if intent != "run" and now - since > STALE_S:
            self.breaks("bought_against_intent", f"{import_id}: {intent} for {now - since:.0f} s")
        # A process that died before it could say that nobody answered counts as a death.
        known = sum(
            line.claim == claim
            and line.outcome == "doubtful"
            and line.reason == "outcome_unknown"
            and (import_id not in self._retried_at or line.at >= self._retried_at[import_id])
            for line in (self.ledger() if len(before) > self._max_doubtful else ())
        )
        if known > self._max_doubtful:
            self.breaks("too_many_doubtful", f"{claim} was asked for {known} times in vain")
        retried_at = self._retried_at.get(import_id)
        since = retried_at.timestamp() if retried_at else 0.0
        vain = sum(
            one.claim == claim
            and one.end in {"not_sold", "no_picture"}
            and one.is_attempt
            and one.at >= since
            for one in before
        )
        # A process that died before it could say what came of a call: again a death.
        if vain >= self._max_attempts <= self._vain_in_ledger(claim, since):
            self.breaks("too_many_attempts", f"{claim} is asked for after {vain} vain attempts")
        before.append(call)
        self.calls.append(call)
        self._check_budget(import_id)
        return call

    def _wording(self, wish: int, prompt: str, claim: str) -> int:
        """Which of its slot's wordings a call asks; a softer one only when its turn has come.

        No remembered prompt is asked again, so that at most one more is asked than are softer.
        """
        wordings = self._slot(claim).wordings
        if prompt not in wordings:
            self.breaks("asked_what_nobody_planned", f"{claim}: {prompt}")
            return 0
        softened = wordings.index(prompt)
        if softened == 0:
            return 0
        told = self._standing.get(wish)
        tried = () if told is None else told.prompts
        if not set(wordings[:softened]) <= set(tried):
            self.breaks("softened_too_soon", f"{claim}: {prompt}, when {tried} were refused")
        if told is not None and told.finish_reason != "IMAGE_SAFETY":
            self.breaks("softened_what_is_forbidden", f"{claim}: {prompt}")
        return softened

    def _slot(self, claim: str) -> PlannedSlot:
        if claim not in self._slots:
            import_id, part, _ = claim.rsplit("/", 2)
            content = self._store.content(keys.plan_part(import_id, int(part)))
            for line in gzip.decompress(content).splitlines():
                for slot in PlannedProduct.from_json(line).slots:
                    self._slots[claim_name(import_id, int(part), slot.index)] = slot
        return self._slots[claim]

    def _vain_in_ledger(self, claim: str, since: float) -> int:
        return sum(
            line.claim == claim
            and line.outcome in {"not_sold", "no_picture"}
            and line.attempt
            and line.at.timestamp() >= since
            for line in self.ledger()
        )

    def _why_two(self, other: Call, now: float) -> str:
        if now - self.epoch_since < _EPOCH_SEEN_S:
            return "no_epoch"
        away = ((self._start + begin, self._start + end) for begin, end in self._plan.redis_away)
        if any(begin < now and end > other.at for begin, end in away):
            return "redis_away"
        return "anyhow"

    def _check_budget(self, import_id: str) -> None:
        """The budget holds what is open and what is in doubt, too."""
        found = self._content(keys.control(import_id))
        budget = Control.from_json(found).budget_usd if found else None
        calls = [
            one
            for one in self.calls
            if one.claim.startswith(f"{import_id}/")
            # Its process and Redis both gone: only the provider knows of it.
            and not (self.redis_lost and (one.end in {"died", "gone"} or self._is_unwritten(one)))
        ]
        if budget is None or sum(map(_may_cost, calls)) * PRICE.micro <= budget.micro:
            return
        booked = [one for one in calls if one.end == "answered"]
        if self.redis_lost:
            kind = "redis_lost"
        elif import_id in self._overdrawn or (len(booked) + 1) * PRICE.micro <= budget.micro:
            kind = "in_flight"
            self._overdrawn.add(import_id)
        elif self.spent(import_id) < len(booked) * PRICE.micro:
            kind = "unbooked"
        else:
            kind = "anyhow"
        self.breaks(f"budget_exceeded.{kind}", f"{import_id}: {budget}, {len(calls)} calls")

    def _is_unwritten(self, call: Call) -> bool:
        """Whether a picture's line was lost with its process: its slot's end will count it."""
        return (
            call.end == "answered"
            and call.process in self._dead
            and not any(
                line.claim == call.claim and line.outcome == "picture" for line in self.ledger()
            )
        )

    def process_dies(self, process: str) -> None:
        """Excuse what a process could not end."""
        self._dead.add(process)
        for call in self.calls:
            if call.process == process:
                if call.end == "open":
                    call.end = "died"
                elif call.end == "answered" and not (
                    call.kept or call.dropped or self._is_spooled(call)
                ):
                    call.end = "gone"

    def does(self, calls: Iterable[Call], name: str) -> None:
        """Judge an effect of a job: after an answer the very next one must keep it."""
        for call in calls:
            if call.end == "answered" and not call.put_tried:
                call.put_tried = True
                if not (name.startswith("store.create renders/") and "/take-" in name):
                    self.breaks("paid_picture_waits", f"{call.claim} by {call.process}: {name}")

    def job_ends(
        self, calls: Iterable[Call], now: float, *, store_failed: bool, acked: bool
    ) -> None:
        """Judge what a job leaves behind that was not killed."""
        for call in calls:
            if call.end == "answered" and not (call.kept or self._is_spooled(call)):
                call.dropped = True
                # The last delay before the deadline is not begun any more.
                tried = store_failed and now - call.answered_at >= 0.4 * self._put_deadline_s
                where = "in_outage" if tried else "anyhow"
                self.breaks(f"paid_picture_lost.{where}", f"{call.claim} by {call.process}")
            if acked and call.end in {"cut", "hung", "no_picture", "refused"}:
                self._check_booked(call, store_failed=store_failed)

    def _is_spooled(self, call: Call) -> bool:
        """Whether the answer is safe on a disk."""
        files = self.spools.glob("*/*") if self.spools.exists() else ()
        return any(one.is_file() and call.content in one.read_bytes() for one in files)

    def _check_booked(self, call: Call, *, store_failed: bool) -> None:
        outcome = {"no_picture": "no_picture", "refused": "blocked"}.get(call.end, "doubtful")
        lines = self.ledger(call.process)
        booked = sum(
            line.outcome == outcome and (line.claim, line.softened) == (call.claim, call.softened)
            for line in lines
        )
        ends = {"cut", "hung"} if outcome == "doubtful" else {call.end}
        made = sum(
            one.process == call.process
            and (one.claim, one.softened) == (call.claim, call.softened)
            and one.end in ends
            for one in self.calls
        )
        if booked < made:
            where = "in_outage" if store_failed else "anyhow"
            self.breaks(f"call_not_booked.{where}", f"{call.claim} by {call.process}: {outcome}")
        refused = (call.wish, call.prompt) in self._remembered
        if call.end == "refused" and not refused:
            where = "in_outage" if store_failed else "anyhow"
            self.breaks(f"refusal_forgotten.{where}", f"{call.claim} by {call.process}")

    # -- writes ------------------------------------------------------------------------------

    def written(self, key: str, content: bytes, metadata: Mapping[str, str]) -> None:
        """Judge an object that has just become visible."""
        name = key.rsplit("/", 1)[-1]
        if name.startswith("take-"):
            self._take(content, metadata)
        elif name == "record.json":
            self._names_what_is_there(key, RenderRecord.from_json(content).images)
        elif name == "refused.json":
            self._remember(content)
        elif key.startswith("ledger/"):
            self._booked_late(content)
        elif "/results/" in key:
            for line in _lines(content):
                self._names_what_is_there(key, line.images)
        elif _MANIFEST.match(key):
            self._manifest(key, content)
        elif key.startswith("catalogs/"):
            self._pointer(key, content)
        elif key.startswith("parked/"):
            self.breaks("message_parked", content.decode())
        else:
            self._told(key, content)

    def _remember(self, content: bytes) -> None:
        refusal = Refusal.from_json(content)
        wishes = {call.wish for call in self.calls if _asks_for(call, content)}
        refused = {(wish, prompt) for wish in wishes for prompt in refusal.prompts}
        self._remembered |= refused
        self._standing |= dict.fromkeys(wishes, refusal)
        self._refusal(refusal, wishes)
        at = refusal.refused_at
        # One that could be written only after a person had asked again forbids nothing.
        if all(at >= asked_at for asked_at in self._retried_at.values()):
            self._refused |= refused

    def _refusal(self, refusal: Refusal, wishes: set[int]) -> None:
        """What it names was refused, each prompt; a hard word is never followed by a softer one."""
        calls = [call for call in self.calls if call.wish in wishes and call.end == "refused"]
        unheard = set(refusal.prompts) - {call.prompt for call in calls}
        if unheard:
            self.breaks("refusal_of_what_nobody_asked", f"{refusal.render_id}: {unheard}")
        if len(set(refusal.prompts)) != len(refusal.prompts):
            self.breaks("refusal_names_it_twice", f"{refusal.render_id}: {refusal.prompts}")
        least, most = len(refusal.prompts), len(calls)
        if not least * REFUSED.micro <= refusal.cost_usd.micro <= most * REFUSED.micro:
            told = f"{refusal.cost_usd} for {least} prompts in {most} calls"
            self.breaks("refusal_cost_is_off", f"{refusal.render_id}: {told}")

    def _booked_late(self, content: bytes) -> None:
        """Redis came back without a call that was open, and its import was published meanwhile."""
        for line in map(LedgerLine.from_json, content.splitlines()):
            published = keys.manifest_revision(line.import_id, line.revision)
            if self.redis_lost and self._content(published) is not None:
                kind = "doubtful" if line.outcome == "doubtful" else "spent"
                late = line.cost_usd.micro if line.outcome != "picture" else 0
                self._late_micro[line.import_id, kind] += late

    def _told(self, key: str, content: bytes) -> None:
        if "/retry.r" in key:
            asked = Retry.from_json(content)
            self._retried_at[asked.import_id] = asked.at
            self._retries[asked.import_id] += 1
            self._refused.clear()  # it may be asked for again, by a person's word
        elif key.endswith("/control.json") and Control.from_json(content).intent == "cancel":
            self._cancelled.add(key.split("/")[1])

    def disagrees(self, key: str) -> None:
        """Judge a second creation with other bytes than the first: a part has one content.

        After Redis was emptied a shard is worked again, and its lines may tell other attempts.
        """
        if "/results/" in key and not self.redis_lost:
            self.breaks("committers_disagree", key)

    def rewritten(self, key: str) -> None:
        """Judge an object that was there and is another one now."""
        if CREATED_ONCE.match(key) and not key.endswith(GROWING):
            self.breaks("immutable_changed", key)

    def _take(self, content: bytes, metadata: Mapping[str, str]) -> None:
        Purchase.from_metadata(dict(metadata))
        for call in self.calls:
            if call.content == content and call.end in {"answered", "gone"}:
                call.kept = True

    def _names_what_is_there(self, key: str, images: Iterable[Image]) -> None:
        for image in images:
            there = self._content(image.key)
            if there is None:
                self.breaks("names_what_is_missing", f"{key} names {image.key}")
            elif sha256_hex(there) != image.sha256 or len(there) != image.bytes:
                self.breaks("names_other_bytes", f"{key} names {image.key}")

    def _manifest(self, key: str, content: bytes) -> None:
        manifest = Manifest.from_json(content)
        stands = self._manifests.setdefault(f"{key} {manifest.revision}", content)
        if stands != content:
            self.breaks("manifest_changed", key)
            return
        if key == keys.manifest(manifest.import_id):
            before = self._revisions.get(key, 0)
            self._revisions[key] = manifest.revision
            if manifest.revision < before:
                self.breaks("manifest_went_back", f"{key}: r{before} to r{manifest.revision}")
            revision = keys.manifest_revision(manifest.import_id, manifest.revision)
            if self._content(revision) != content:
                self.breaks("manifest_is_no_revision", key)
            return
        imported = Import.from_json(self._store.content(keys.import_(manifest.import_id)))
        lines: list[ResultLine] = []
        for part in manifest.parts:
            found = self._content(part.key)
            if found is None or sha256_hex(found) != part.sha256:
                self.breaks("names_what_is_missing", f"{key} names {part.key}")
                continue
            lines += _lines(found)
        for line in lines:
            self._names_what_is_there(key, line.images)
        if self._content(manifest.gallery) is None:
            self.breaks("names_what_is_missing", f"{key} names its gallery")
        self._adds_up(manifest, imported, lines)

    def _adds_up(self, manifest: Manifest, imported: Import, lines: list[ResultLine]) -> None:
        tally = Counter(line.status for line in lines)
        counts = manifest.counts
        planned = sum(part.renders for part in imported.parts)
        added = sum(getattr(counts, status.value) for status in Status) + counts.open
        if not (
            counts.expected == added == len(lines) == planned == len({one.slot for one in lines})
            and counts.open == 0
            and all(getattr(counts, status.value) == tally[status] for status in Status)
            and [part.part for part in manifest.parts] == [part.part for part in imported.parts]
        ):
            self.breaks("sums_are_off", f"{manifest.import_id}: {counts}, {dict(tally)}")
        if manifest.cost_usd.spent.micro != sum(line.cost_usd.micro for line in lines):
            self.breaks("sums_are_off", f"{manifest.import_id}: money")
        if tally[Status.CANCELLED] and manifest.state != "cancelled":
            self.breaks("cancelled_called_complete", manifest.import_id)
        if manifest.state == "cancelled" and manifest.import_id not in self._cancelled:
            self.breaks("complete_called_cancelled", manifest.import_id)
        for line in lines:
            self._line(line)
        self._bought_by(manifest.import_id, lines)

    def _bought_by(self, import_id: str, lines: list[ResultLine]) -> None:
        """Whoever says that he bought a picture has bought one."""
        said = Counter(line.render_id for line in lines if line.status is Status.SUCCEEDED)
        for render_id, times in said.items():
            takes = (one for one in self._takes() if str(render_id) in one.key)
            bought = (Purchase.from_metadata(dict(one.metadata)) for one in takes)
            if times > sum(purchase.import_id == import_id for purchase in bought):
                self.breaks("says_that_he_bought", f"{import_id}: {render_id}, {times} times")

    def _line(self, line: ResultLine) -> None:
        where = f"{line.import_id} {line.slot}: {line.status} {line.reason} {line.message}"
        if line.reason == "internal":
            self.breaks("ended_for_no_reason", where)
        if line.reason == "worker_lost" and not self._plan.poison:
            self.breaks("ended_by_kills", where)
        if line.status in {Status.SUCCEEDED, Status.REUSED} and not line.images:
            self.breaks("success_without_picture", where)
        if line.reason == "outcome_unknown" and line.render_id is not None:
            self._outcome_unknown(line, where)
        failed = line.status is Status.FAILED and line.reason != "worker_lost"
        if failed and line.render_id and self._bought_good(line):
            self.breaks("failed_though_bought", where)

    def _outcome_unknown(self, line: ResultLine, where: str) -> None:
        unanswered = [call for call in self.calls if call.is_unanswered or call.dropped]
        if not any(call.claim.startswith(f"{line.import_id}/") for call in unanswered):
            self.breaks("doubt_without_call", where)

    def _bought_good(self, line: ResultLine) -> bool:
        """Whether this import has a picture of its own, and one that can be looked at."""
        return any(
            stored.key.startswith(keys.takes(str(line.render_id)))
            and b"garbage" not in stored.content
            and Purchase.from_metadata(dict(stored.metadata)).import_id == line.import_id
            for stored in self._takes()
        )

    def _pointer(self, key: str, content: bytes) -> None:
        pointer = CatalogPointer.from_json(content)
        found = self._content(pointer.manifest)
        if found is None or sha256_hex(found) != pointer.sha256:
            self.breaks("names_what_is_missing", f"{key} names {pointer.manifest}")
            return
        manifest = Manifest.from_json(found)
        before = self._catalogs.get(key)
        if before is not None and before.started_at > manifest.started_at:
            self.breaks("pointer_went_back", f"{before.import_id} to {manifest.import_id}")
        if manifest.state != "complete":
            self.breaks("pointer_to_cancelled", manifest.import_id)
        self._catalogs[key] = manifest

    # -- at the end --------------------------------------------------------------------------

    def closes(self, *, graceful: Mapping[str, bool]) -> None:
        """Judge the whole run; ``graceful`` says which processes ended in order."""
        self.graceful = graceful
        for import_id in self._imports():
            found = self._content(keys.manifest(import_id))
            if found is not None:
                self._money(Manifest.from_json(found))
        for process, ended_well in graceful.items():
            self._ledger_of(process, ended_well=ended_well)
        for call in self.calls:
            # Its process and Redis both gone: only the provider knows of it.
            known = not self.redis_lost
            if call.end == "died" and known and not self._is_booked_by_next(call):
                self.breaks("death_not_booked", f"{call.claim} by {call.process}")
            if call.end == "answered" and not (call.kept or call.dropped):
                self.breaks("paid_picture_lost.at_the_end", f"{call.claim} by {call.process}")
        self._doubt_of_what_is_there()
        for wish, calls in self._by_wish.items():
            sold = sum(call.is_sold for call in calls)
            excused = sum(call.is_sold and call.excuses_another for call in calls)
            if sold > excused + 1 and wish not in self._judged:
                self.breaks("sold_too_often", f"{wish}: {sold} sales, {excused} of them excused")

    def _doubt_of_what_is_there(self) -> None:
        """A call whose picture is in the store is in no doubt, if all could reach Redis."""
        if self._plan.redis_away or self._plan.redis_goes_back or self._plan.redis_fails:
            return
        takes = [Purchase.from_metadata(dict(stored.metadata)) for stored in self._takes()]
        kept = {purchase.call for purchase in takes}
        for line in self.ledger():
            if line.outcome == "doubtful" and line.call in kept:
                self.breaks("doubt_of_what_is_there", f"{line.claim} by {line.worker}")

    def _money(self, manifest: Manifest) -> None:
        import_id = manifest.import_id
        takes = [Purchase.from_metadata(dict(stored.metadata)) for stored in self._takes()]
        booked = {line.call for line in self.ledger()}
        bought = [purchase for purchase in takes if _is_of(purchase, manifest)]
        # Its process died before its line was flushed, and Redis was lost as well: nobody who ends
        # the slot without looking for its picture can know of it.
        unknown = sum(
            purchase.micro_usd
            for purchase in bought
            if self.redis_lost and purchase.call not in booked and self._died(purchase)
        )
        unknown += self._late_micro[import_id, "spent"]
        paid = sum(purchase.micro_usd for purchase in bought) + sum(
            line.cost_usd.micro
            for line in self.ledger()
            if line.outcome in {"no_picture", "blocked"} and _is_of(line, manifest)
        )
        if any(purchase.micro_usd != PRICE.micro for purchase in bought):
            self.breaks("price_is_off", import_id)
        if not paid - unknown <= manifest.cost_usd.spent.micro <= paid:
            kind: str = manifest.state if manifest.cost_usd.spent.micro < paid else "too_much"
            if any(purchase.take > 1 for purchase in takes):
                kind = "second_take"
            self.breaks(
                f"cost_is_not_what_was_sold.{kind}",
                f"{import_id}: takes cost {paid}, the manifest says {manifest.cost_usd.spent}",
            )
        doubtful = sum(
            line.cost_usd.micro
            for line in self.ledger()
            if line.outcome == "doubtful" and _is_of(line, manifest)
        )
        late = self._late_micro[import_id, "doubtful"]
        if not doubtful - late <= manifest.cost_usd.doubtful.micro <= doubtful:
            why = "redis_lost" if self.redis_lost else "anyhow"
            self.breaks(
                f"doubtful_is_off.{why}",
                f"{import_id}: {doubtful} booked, {manifest.cost_usd.doubtful} in the manifest",
            )

    def _died(self, purchase: Purchase) -> bool:
        return any(
            not self.graceful.get(call.process, False)
            for call in self.calls
            if call.claim == purchase.claim and call.end == "answered"
        )

    def _ledger_of(self, process: str, *, ended_well: bool) -> None:
        self._refusals_of(process, ended_well=ended_well)
        lines: Counter[str] = Counter(line.outcome for line in self.ledger(process))
        made: Counter[str] = Counter(
            _OUTCOME[call.end] for call in self.calls if call.process == process
        )
        made["doubtful"] += sum(call.dropped for call in self.calls if call.process == process)
        made["picture"] -= sum(call.dropped for call in self.calls if call.process == process)
        # Whoever came by booked what its process could not.
        ours = [call for call in self.calls if call.process == process]
        lost = sum(call.end in {"died", "gone"} for call in ours)
        lost += self.reserved[process] - len(ours)
        if not ended_well:  # and it may have died before it could say what it knew
            lost += sum((made - lines).values())
        for outcome in sorted({*lines, *made} - {""}):
            unwritten = self.unwritten[process] if outcome == "picture" else 0
            few = lines[outcome] + unwritten < made[outcome] and ended_well
            most = made[outcome] + (lost if outcome == "doubtful" else 0)
            if lines[outcome] > most or few:
                self.breaks(
                    f"ledger_is_off.{'too_few' if few else 'too_many'}",
                    f"{process}: {lines[outcome]} lines of {outcome}, {made[outcome]} calls",
                )

    def _refusals_of(self, process: str, *, ended_well: bool) -> None:
        """Every refused call is in the ledger once, with the wording that was refused."""
        lines = Counter(
            (line.claim, line.softened)
            for line in self.ledger(process)
            if line.outcome == "blocked"
        )
        made = Counter(
            (call.claim, call.softened)
            for call in self.calls
            if call.process == process and call.end == "refused"
        )
        for claim, softened in (lines - made) | (made - lines if ended_well else Counter()):
            told = f"{lines[claim, softened]} lines of {made[claim, softened]} refusals"
            self.breaks("ledger_is_off.refused", f"{process}: {claim} ({softened}): {told}")

    def _is_booked_by_next(self, call: Call) -> bool:
        booked = sum(
            line.claim == call.claim and line.outcome == "doubtful" for line in self.ledger()
        )
        return booked >= sum(one.claim == call.claim and one.is_unanswered for one in self.calls)

    def ledger(self, process: str | None = None) -> list[LedgerLine]:
        """Every line that is in the store, or those of one process."""
        lines = (
            LedgerLine.from_json(line)
            for key in self._store.keys
            if key.startswith("ledger/")
            for line in self._store.content(key).splitlines()
        )
        # Whoever puts a spooled answer books it, in the name of its buyer. Two lines of one call
        # are one: its process and whoever took it for dead have both written it.
        once = {line.call: line for line in lines}
        return [line for line in once.values() if process is None or line.worker == process]

    def _imports(self) -> list[str]:
        return [key.split("/")[1] for key in self._store.keys if key.endswith("/import.json")]

    def _takes(self) -> list[Stored]:
        return [stored for key, stored in self._store._objects.items() if "/take-" in key]

    def _content(self, key: str) -> bytes | None:
        stored = self._store._objects.get(key)
        return None if stored is None else stored.content


_OUTCOME = {
    "open": "",
    "answered": "picture",
    "gone": "",
    "died": "",
    "not_sold": "not_sold",
    "no_picture": "no_picture",
    "refused": "blocked",
    "cut": "doubtful",
    "hung": "doubtful",
}


def _is_of(booked: LedgerLine | Purchase, manifest: Manifest) -> bool:
    """Whether a manifest should know of it; a later revision may have been left paused."""
    return booked.import_id == manifest.import_id and booked.revision <= manifest.revision


def _may_cost(call: Call) -> bool:
    return call.end == "open" or call.is_sold


def _lines(content: bytes) -> list[ResultLine]:
    return [ResultLine.from_json(line) for line in gzip.decompress(content).splitlines()]


def _asks_for(call: Call, refusal: bytes) -> bool:
    return call.wish == int(Refusal.from_json(refusal).render_id[:8], 16) % 2**31
