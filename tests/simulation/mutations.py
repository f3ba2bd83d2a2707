"""Which guards does the core have, and what does it look like without each of them?

A mutation is a small change of a function's source. Applying one whose text is not there any more
fails: whoever changes a guard changes its mutation as well.
"""

from __future__ import annotations
import __future__

import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A guard switched off: in the function ``where`` (``module:name``) ``old`` becomes ``new``."""

    name: str
    where: str
    old: str
    new: str


@contextlib.contextmanager
def applied(mutation: Mutation) -> Iterator[None]:
    """Run the block without a guard; everybody who holds the function sees the change.

    Raises:
        LookupError: the core no longer has this text, or has it more than once.
    """
    function = _function(mutation.where)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(mutation.old) != 1:
        msg = f"{mutation.name}: {mutation.where} has not exactly once: {mutation.old!r}"
        raise LookupError(msg)
    before = function.__code__
    function.__code__ = _compiled(source.replace(mutation.old, mutation.new), function)
    try:
        yield
    finally:
        function.__code__ = before


def _function(where: str) -> Any:
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return inspect.unwrap(found)


def _compiled(source: str, function: Any) -> Any:
    flags = __future__.annotations.compiler_flag
    code = compile(source, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, dict(function.__globals__), made)  # noqa: S102  our own source, changed by us
    return inspect.unwrap(made[function.__name__]).__code__


MUTATIONS: Final = (
    Mutation(
        name="no lease",
        where="worker.leases:LeaseKeeper.held",
        old="if not self._leases.acquire_lease(render_id, token, ttl_s=self._ttl_s):",
        new="if False:",
    ),
    Mutation(
        name="a lease is not renewed",
        where="worker.leases:LeaseKeeper._renew",
        old="self._renew_one(render_id, token)",
        new="pass",
    ),
    Mutation(
        name="a lease is given back late or never",
        where="worker.leases:LeaseKeeper.held",
        old="del self._held[token]",
        new="pass",
    ),
    Mutation(
        name="no second look under the lease",
        where="worker.generate:generate",
        old="        if found(desk, claim):\n            return\n        kept =",
        new="        kept =",
    ),
    Mutation(
        name="the master is not looked for",
        where="worker.generate:found",
        old="if any(True for _ in desk.store.list(keys.takes(claim.render_id))):",
        new="if False:",
    ),
    Mutation(
        name="the picture is put after something else",
        where="worker.purchases:_keep",
        old="media_type, ext = sniff_media_type(answer.content)",
        new="desk.state.now(); media_type, ext = sniff_media_type(answer.content)",
    ),
    Mutation(
        name="the spool is never drained",
        where="worker.spool:Spool._put_waiting",
        old="put += self._put(held)",
        new="break",
    ),
    Mutation(
        name="a spooled answer keeps no buyer away",
        where="worker.spool:Spool._mark",
        old="self._leases.mark_spooled(render_id, self._host, ttl_s=ttl_s)",
        new="pass",
    ),
    Mutation(
        name="a refusal is not remembered",
        where="worker.concluding:conclude_call",
        old="if call.refusal is not None:",
        new="if False:",
    ),
    Mutation(
        name="a refusal is not looked for",
        where="worker.refusals:remembered",
        old="if found is None:",
        new="if True:",
    ),
    Mutation(
        name="a softer prompt is asked again though it was refused",
        where="worker.refusals:next_wording",
        old=" if prompt not in refusal.prompts)",
        new=")",
    ),
    Mutation(
        name="what is forbidden is asked in softer words",
        where="worker.refusals:next_wording",
        old="if refusal.finish_reason not in SOFTENED:",
        new="if False:",
    ),
    Mutation(
        name="a refusal forgets the prompts before it",
        where="worker.refusals:remember",
        old="told = _joined(desk, call, known, refusal)",
        new="pass",
    ),
    Mutation(
        name="a refusal is counted as often as it is written down",
        where="worker.refusals:remember",
        old="if _has(known, refusal):",
        new="if False:",
    ),
    Mutation(
        name="a failed call is not booked",
        where="worker.purchases:book_failure",
        old="conclude_call(desk, call.changed(",
        new="desk.calls.close(call.changed(",
    ),
    Mutation(
        name="a call that lost its process is not booked",
        where="worker.concluding:conclude_call",
        old="_bury(desk, call)\n        return",
        new="desk.calls.close(call)\n        return",
    ),
    Mutation(
        name="a dead buyer's picture is not looked for",
        where="worker.concluding:_bury",
        old="purchase = _take_of(desk, call)",
        new="purchase = None",
    ),
    Mutation(
        name="reservations do not count",
        where="tests.support.memory:MemoryState._reserved_within",
        old="spent + self._reserved[call.import_id] + call.micro_usd > budget_micro",
        new="False",
    ),
    Mutation(
        name="reservations do not come back",
        where="tests.support.memory:MemoryState._count",
        old="self._reserved[call.import_id] -= call.micro_usd",
        new="pass",
    ),
    Mutation(
        name="spent money is not rebuilt",
        where="worker.rebuilding:_tell",
        old="spent=sum(known.money.values()),",
        new="spent=0,",
    ),
    Mutation(
        name="attempts are not rebuilt",
        where="worker.rebuilding:_count",
        old="if count_of(line):",
        new="if False:",
    ),
    Mutation(
        name="a poisonous render is never isolated",
        where="worker.jobs:_worked",
        old="if begun.deaths >= DEATHS_BEFORE_ALONE and desk.alone is not None:",
        new="if False:",
    ),
    Mutation(
        name="a cancel ends what is being bought",
        where="worker.feeder:_cancel",
        old="unless_bought=True,",
        new="",
    ),
    Mutation(
        name="an outcome is written while Redis is rebuilt",
        where="tests.support.memory:MemoryState.settle",
        old="if self._epoch != self.run or self._recovery[0] is not Recovery.DONE:",
        new="if False:",
    ),
    Mutation(
        name="doubt has no end",
        where="worker.attempts:why_used_up",
        old="if tries.doubtful > limits.max_doubtful:",
        new="if False:",
    ),
    Mutation(
        name="attempts have no end",
        where="worker.attempts:why_used_up",
        old="if tries.attempts >= limits.max_attempts:",
        new="if False:",
    ),
    Mutation(
        name="cancel is ignored by the feeder",
        where="worker.feeder:feed",
        old='if wanted == "cancel":',
        new="if False:",
    ),
    Mutation(
        name="pause is ignored by generate",
        where="worker.generate:_unwanted",
        old='if wanted == "run":',
        new='if wanted != "cancel":',
    ),
    Mutation(
        name="the budget is not asked",
        where="worker.gate:may_leave",
        old="budget_micro=None if budget is None else budget.micro",
        new="budget_micro=None",
    ),
    Mutation(
        name="a rendition is named and not put",
        where="worker.finish:_renditions",
        old="created = desk.store.create(key, made.content, media_type=made.media_type)",
        new='created = desk.store.create(key + "x", made.content, media_type=made.media_type)',
    ),
    Mutation(
        name="an existing rendition is not adopted",
        where="worker.finish:_renditions",
        old="made.content if created.won else _adopted(desk, key)",
        new="made.content",
    ),
    Mutation(
        name="everybody says that he bought it",
        where="worker.settling:delivered",
        old="ours = purchase.claim == claim.name",
        new="ours = True",
    ),
    Mutation(
        name="an incomplete part is written",
        where="worker.commit:_check_complete",
        old="if len(lines) != planned:",
        new="if False:",
    ),
    Mutation(
        name="a part carries its time",
        where="worker.commit:_write",
        old="mtime=0",
        new="mtime=__import__('secrets').randbelow(2**31)",
    ),
    Mutation(
        name="a part is marked without being read back",
        where="worker.commit:commit",
        old="_write(desk.store, claim, lines, revision)",
        new="pass",
    ),
    Mutation(
        name="publishing does not wait for every part",
        where="worker.publish:publish",
        old="parts = [committed[part.part] for part in imported.parts]",
        new="parts = list(committed.values())",
    ),
    Mutation(
        name="a manifest revision is replaced",
        where="worker.publish:publish",
        old="if not desk.store.has(key):",
        new="desk.store.delete(key)\n    if True:",
    ),
    Mutation(
        name="an older import takes the catalog",
        where="worker.publish:point_catalog",
        old="if stands is not None and _is_newer(store, stands, manifest):",
        new="if False:",
    ),
    Mutation(
        name="a cancelled import takes the catalog",
        where="worker.publish:publish",
        old='if manifest.state == "complete":',
        new="if True:",
    ),
    Mutation(
        name="a cancelled import is called complete",
        where="worker.publish:_manifest",
        old='"cancelled" if cancelled else "complete"',
        new='"complete"',
    ),
    Mutation(
        name="what nobody holds is not fed again",
        where="worker.reconciler:_feed_overdue",
        old="if not overdue and not died:",
        new="if True:",
    ),
    Mutation(
        name="a lost commit is not asked for again",
        where="worker.reconciler:_nudge",
        old="for part in progress.to_commit:",
        new="for part in ():",
    ),
    Mutation(
        name="a lost publication is not asked for again",
        where="worker.reconciler:_nudge",
        old="if progress.committed == len(imported.parts):",
        new="if False:",
    ),
    Mutation(
        name="a lost Redis is not rebuilt",
        where="worker.reconciler:recover_all",
        old="unpublished(desk.store)",
        new="()",
    ),
    Mutation(
        name="a published import comes back to life",
        where="worker.feeder:_register",
        old="number = open_revision(desk.store, imported.import_id)",
        new="number = 1",
    ),
)

COVERED: Final = (
    Mutation(
        name="a copy of a message ends what is being bought",
        where="worker.settling:settle_uncalled",
        old="unless_bought=True",
        new="unless_bought=False",
    ),
    Mutation(
        name="what an older file forgot is not read back",
        where="worker.reconciler:recover_all",
        old="adopt_parts(desk, plans.read_import(desk.store, import_id))",
        new="pass",
    ),
    Mutation(
        name="an open call is not left to its living buyer",
        where="worker.concluding:_concluded",
        old="return holder is None and",
        new="return",
    ),
    Mutation(
        name="a lost epoch does not close the gate",
        where="tests.support.memory:MemoryState.reserve",
        old="if self._epoch != self.run or self._recovery[0] is not Recovery.DONE:",
        new="if False:",
    ),
    Mutation(
        name="a restarted Redis is believed at once",
        where="worker.jobs:_may_work",
        old="if begun.recovery in {Recovery.NEEDED, Recovery.BEGUN}:",
        new="if False:",
    ),
    Mutation(
        name="a part is written before its shard is settled",
        where="worker.commit:commit",
        old="if left > 0:\n        return\n    if left == 0:",
        new="if left >= 0:",
    ),
    Mutation(
        name="a second outcome replaces the first",
        where="tests.support.memory:MemoryState.settle",
        old="slot < len(shard.status) and shard.status[slot] is None",
        new="slot < len(shard.status)",
    ),
    Mutation(
        name="the epoch is ignored",
        where="worker.jobs:_may_work",
        old="if begun.is_open and task == GENERATE and begun.recovery is not Recovery.DONE:",
        new="if False:",
    ),
    Mutation(
        name="an epoch begins at once",
        where="catalog.epoch:ensure_epoch",
        old="wait_s = model_deadline_s",
        new="wait_s = 0.0",
    ),
    Mutation(
        name="a lost lease is not taken again",
        where="worker.leases:LeaseKeeper._renew_one",
        old="self._take_again(render_id, token)",
        new="pass",
    ),
    Mutation(
        name="anybody may release a lease",
        where="tests.support.memory:MemoryState.release_lease",
        old="if self._holds(render_id, token):",
        new="if render_id in self._leases:",
    ),
    Mutation(
        name="a late second answer is dropped",
        where="worker.spool:_put_take",
        old="if created.won:",
        new="if True:",
    ),
    Mutation(
        name="cancel is ignored by generate",
        where="worker.generate:_unwanted",
        old='if wanted == "run":',
        new='if wanted != "pause":',
    ),
)
"""Each of these survives alone: a second guard covers it, or it matters after a known gap only.

- a copy of a message hears with its first word that somebody is at its slot, or that it ended;
- a settled slot is hardly ever worked on again;
- what an older file forgot is found again render by render, only more slowly;
- a living buyer's lease keeps whoever would bury his call away as well;
- generate and the gate both ask for the epoch, its wait and the retaking of leases stand in for
  each other, and a claim that is worked while Redis is rebuilt finds nothing open, as a rule;
- only who has lost a lease can release somebody else's;
- a second answer comes from a gap alone;
- the feeder ends a cancelled import's renders before generate asks what is wanted.
"""
