"""May one more call of this model come in?

Each rule keeps its own account per model. A call comes in if no rule refuses it; one that is
refused counts nowhere. Calls in flight are counted whatever the rules are, so that a rule that
comes while they run knows of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from worker.simulator.accounts import open_account
from worker.simulator.limit_refusals import Telling, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.simulator.accounts import Account, Spent
    from worker.simulator.rules import Kind, Rule


class Quota:
    """The rules of all models; ``clock`` tells the seconds since the simulator's start."""

    def __init__(
        self,
        rules: Sequence[Rule],
        clock: Callable[[], float],
        *,
        seed: int = 0,
        telling: Telling = Telling(),  # noqa: B008 - frozen
    ) -> None:
        self._at_start = tuple(rules)
        self._rules = self._at_start
        self._clock = clock
        self._seed = seed
        self._telling = telling
        self._accounts: dict[str, list[Account]] = {}
        self._in_flight: Counter[str] = Counter()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that hold now, in the order in which they are asked."""
        return self._rules

    def take(self, model: str) -> float:
        """Let one call in; the time at which it came in, seconds since the start.

        Whoever takes must :meth:`end` the call, whatever becomes of it.

        Raises:
            Refusal: the first rule's that does not let it in.
        """
        now_s = self._clock()
        accounts = self._accounts_of(model, now_s)
        for account in accounts:
            wait_s = account.wait_s(now_s, self._in_flight[model])
            if wait_s > 0:
                raise refuse(model, account.rule, wait_s, self._telling)
        for account in accounts:
            account.admit(now_s)
        self._in_flight[model] += 1
        return now_s

    def end(self, model: str, spent: Spent) -> None:
        """A call that was let in is over."""
        now_s = self._clock()
        self._in_flight[model] -= 1
        for account in self._accounts_of(model, now_s):
            account.end(now_s, spent)

    def change(self, rules: Sequence[Rule]) -> None:
        """Go by other rules from now on; accounts of a kind that stays keep their history."""
        self._rules = tuple(rules)
        now_s = self._clock()
        for model, accounts in self._accounts.items():
            self._accounts[model] = self._succeed(accounts, now_s)

    def reset(self) -> None:
        """Go by the rules of the start, with empty accounts; calls in flight stay in flight."""
        self._rules = self._at_start
        self._accounts.clear()

    def _accounts_of(self, model: str, now_s: float) -> list[Account]:
        if model not in self._accounts:
            self._accounts[model] = self._succeed([], now_s)
        return self._accounts[model]

    def _succeed(self, accounts: list[Account], now_s: float) -> list[Account]:
        """The first of a kind goes on where the first of that kind stopped, and so on."""
        before: defaultdict[Kind, list[Account]] = defaultdict(list)
        for account in accounts:
            before[account.rule.kind].append(account)
        return [
            open_account(
                rule,
                now_s=now_s,
                seed=self._seed,
                before=before[rule.kind].pop(0) if before[rule.kind] else None,
            )
            for rule in self._rules
        ]
