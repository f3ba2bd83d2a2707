"""What is lost or bought twice when Redis goes, workers roll, messages vanish? Nothing.

Real workers on a real Redis that is killed, emptied, set back or filled up under an import. Each
scenario ends with what the model sold, held against what the manifests say.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from catalog.claims import QUEUES
from catalog.money import Usd
from catalog.queue import connect
from catalog.transport import lists_of
from producers import control
from tests.support.outages import LONG_S, Shop, shop
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

FAST = {
    "SKUSCENE_LEASE_S": "3",
    "SKUSCENE_LEASE_RENEW_S": "1",
    "SKUSCENE_RECONCILE_EVERY_S": "1",
    "SKUSCENE_RETRY_BACKOFF_S": "0.2",
    # So long nothing is bought after Redis was emptied; longer than the slowest answer takes.
    "SKUSCENE_MODEL_DEADLINE_S": "10",
    "SKUSCENE_GENERATE_CONCURRENCY": "8",
    "SKUSCENE_FINISH_CONCURRENCY": "1",
}
KILLED_BY_A_PICTURE = """\
import os
import signal
import sys

from PIL import Image

_open = Image.open


def _opened(*args, **options):
    picture = _open(*args, **options)
    if picture.width > 1.7 * picture.height:
        with open(os.environ["DEATHS"], "a") as deaths:
            deaths.write("alone\\n" if "alone" in sys.argv[0] else "finish\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return picture


Image.open = _opened
"""
"""Runs at the start of every Python: no process survives opening a banner."""


@pytest.fixture(scope="module")
def working_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with workers, for all tests of this module: each has imports of its own."""
    folder = tmp_path_factory.mktemp("outages")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(KILLED_BY_A_PICTURE)
    (folder / "deaths").touch()
    poison = {"PYTHONPATH": str(folder / "site"), "DEATHS": str(folder / "deaths")}
    with shop(folder, **FAST, **poison) as made, made.workers():
        yield made


@pytest.fixture
def place(working_shop: Shop) -> Iterator[Shop]:
    """The shop with a Redis that runs and has memory, whatever the test before has left."""
    yield working_shop
    if not working_shop.broker.is_running():
        working_shop.broker.start()
    working_shop.broker.limit_memory(0)


def until_mid_import(place: Shop, **bought: int) -> None:
    """Wait until so many pictures of each import are bought; others are in flight or put off."""
    wait_for(
        lambda: all(place.sold(case).total() >= quick for case, quick in bought.items()),
        timeout_s=LONG_S,
        what=f"pictures sold: {bought}",
    )


@contextlib.contextmanager
def away(place: Shop, **bought: int) -> Iterator[None]:
    """Redis is killed, and comes back after the block, when everybody has noticed.

    The answers to slow calls come while it is away, those to slower ones when it is back.
    """
    began = len(place.log)
    place.broker.kill()
    until_mid_import(place, **bought)
    wait_for(
        lambda: place.log[began:].count("consumer: Cannot connect") >= len(QUEUES),
        timeout_s=LONG_S,
        what="every stage without Redis",
    )
    yield
    place.broker.start()


def test_redis_killed_and_restarted_with_its_file_loses_nothing(place: Shop) -> None:
    pids = place.pids()
    place.begin("killed", quick=3, slow=2, slower=1, later=3)
    until_mid_import(place, killed=3)

    with away(place, killed=5):
        pass  # its file stays as it is
    place.until_over("killed")

    assert place.faults("killed") == []
    assert place.status("killed").renders.succeeded == place.sold("killed").total() == 9
    assert place.status("killed").cost_usd.spent.micro == place.paid_micro("killed")
    assert place.pids() == pids


def test_redis_emptied_is_rebuilt_and_everybodys_word_is_kept(place: Shop) -> None:
    # Five pictures at their estimate, and not six at their price.
    budget = Usd.parse("0.20")
    place.begin("emptied", quick=2, slow=1, slower=1, later=2)
    for case in ("cancelled", "paused"):
        place.begin(case, quick=2, slower=1, later=2)
    place.begin("thrifty", quick=3, slower=1, later=3, budget=budget)
    until_mid_import(place, emptied=2, cancelled=2, paused=2, thrifty=3)
    control.cancel(place.services, "cancelled")
    control.pause(place.services, "paused")

    with away(place, emptied=3):
        place.broker.forget()
    place.until_over("emptied", "cancelled")
    until_paused(place, "thrifty", "budget")

    assert place.faults("emptied") == []
    assert {line["status"] for line in place.lines("emptied")} == {"succeeded"}
    assert all(line["cost_usd"] > 0 for line in place.lines("emptied"))
    assert place.sold("emptied").total() == 6
    assert place.status("emptied").cost_usd.spent.micro == place.paid_micro("emptied")

    assert place.faults("cancelled", state="cancelled") == []
    assert place.status("cancelled").renders.cancelled == 2
    assert place.status("cancelled").renders.succeeded == place.sold("cancelled").total() == 3
    assert place.status("cancelled").cost_usd.spent.micro == place.paid_micro("cancelled")

    assert (place.status("paused").state, place.status("paused").reason) == ("paused", "asked")
    assert place.sold("paused").total() == 3
    assert place.paid_micro("thrifty") <= budget.micro
    bought_for_the_budget = place.sold("thrifty").total()
    assert bought_for_the_budget == 5

    control.resume(place.services, "thrifty")
    until_paused(place, "thrifty", "budget")
    assert place.sold("thrifty").total() == bought_for_the_budget

    control.resume(place.services, "paused")
    control.resume(place.services, "thrifty", budget=Usd.parse("1"))
    place.until_over("paused", "thrifty")
    assert place.faults("paused") == place.faults("thrifty") == []
    assert place.status("paused").renders.succeeded == 5
    assert place.status("thrifty").renders.succeeded == 7
    assert place.status("thrifty").cost_usd.spent.micro == place.paid_micro("thrifty")


def until_paused(place: Shop, import_id: str, reason: str) -> None:
    """Wait until nobody sends a call for an import any more, for this reason."""
    wait_for(
        lambda: place.control(import_id).reason == reason and place.in_flight() == 0,
        timeout_s=LONG_S,
        what=f"{import_id} paused: {reason}",
    )


def test_redis_restarted_with_an_older_file_forgets_nothing(place: Shop) -> None:
    place.begin("older", quick=3, slow=2, slower=1, later=3)
    place.begin("published", quick=2)
    wait_for(lambda: place.in_flight() > 2, timeout_s=LONG_S, what="the first calls")
    place.broker.keep_a_copy()
    place.until_over("published")
    published = place.manifest("published")
    until_mid_import(place, older=3)

    with away(place, older=5):
        place.broker.go_back_to_the_copy()
    place.until_over("older", "published")

    assert place.faults("older") == place.faults("published") == []
    assert {line["status"] for line in place.lines("older")} == {"succeeded"}
    assert place.sold("older").total() == 9
    assert place.status("older").cost_usd.spent.micro == place.paid_micro("older")
    assert place.manifest("published") == published


def test_workers_wait_for_a_full_redis_and_go_on_by_themselves(place: Shop) -> None:
    began = len(place.log)
    place.begin("full", quick=3, slow=2, slower=2, later=2)
    until_mid_import(place, full=3)

    place.broker.limit_memory(1)
    wait_for(lambda: place.in_flight() == 0, timeout_s=LONG_S, what="every answer")
    wait_for(
        lambda: "when used memory > 'maxmemory'" in place.log[began:],
        timeout_s=LONG_S,
        what="a word of it",
    )
    place.broker.limit_memory(0)
    place.until_over("full")

    assert place.faults("full") == []
    assert place.status("full").renders.succeeded == place.sold("full").total() == 9
    assert place.status("full").cost_usd.spent.micro == place.paid_micro("full")


class Thief:
    """Takes messages out of the queues as a worker would, and forgets them."""

    def __init__(self, place: Shop, *, each: int) -> None:
        self.stolen = dict.fromkeys(QUEUES, 0)
        self._place = place
        self._each = each
        self._stopping = threading.Event()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Steal from every queue while the block runs."""
        threads = [threading.Thread(target=self._steal, args=(name,)) for name in QUEUES]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _steal(self, queue: str) -> None:
        with self._place.broker.client() as client:
            while self.stolen[queue] < self._each and not self._stopping.is_set():
                if client.brpop(lists_of(queue), timeout=1):
                    self.stolen[queue] += 1


def test_messages_that_vanish_are_fed_again(place: Shop) -> None:
    thief = Thief(place, each=3)

    with thief.at_work():
        place.begin("stolen", quick=9)
        forget_what_the_finishers_hold(place)
        place.until_over("stolen")

    assert min(thief.stolen.values()) > 0, thief.stolen
    assert place.faults("stolen") == []
    assert place.status("stolen").renders.succeeded == place.sold("stolen").total() == 9
    assert place.status("stolen").cost_usd.spent.micro == place.paid_micro("stolen")


def forget_what_the_finishers_hold(place: Shop) -> None:
    """Kill the processes that finish, and forget in Redis which messages they had."""
    group = place.pids()["finish"]
    with place.broker.client() as client:

        def held() -> list[str]:
            """Their messages, by tag."""
            notes = client.hgetall("unacked").items()
            return [tag for tag, note in notes if '"skuscene.finish"' in note]

        def caught_at_work() -> list[str]:
            if not held():
                return []
            os.killpg(group, signal.SIGSTOP)
            tags = held()
            if not tags:
                os.killpg(group, signal.SIGCONT)
            return tags

        tags = wait_for(caught_at_work, timeout_s=LONG_S, what="a picture being finished")
        client.hdel("unacked", *tags)
        client.zrem("unacked_index", *tags)
    os.killpg(group, signal.SIGKILL)


def test_a_picture_that_kills_whoever_opens_it_fails_alone(place: Shop) -> None:
    place.begin("poison", quick=4, wide=1)
    place.until_over("poison")

    deaths = (place.house.folder / "deaths").read_text().split()
    assert deaths == ["finish", "finish", "finish", "alone"]
    assert place.faults("poison") == []
    (failed,) = [line for line in place.lines("poison") if line["status"] == "failed"]
    assert (failed["title"], failed["reason"]) == ("poison wide 0", "worker_lost")
    assert place.status("poison").renders.succeeded == 4
    assert place.sold("poison").total() == 5
    assert place.status("poison").cost_usd.spent.micro == place.paid_micro("poison")


def test_two_imports_that_want_the_same_renders_buy_them_once(place: Shop) -> None:
    place.begin("one", named="twin", quick=2, slow=4)
    place.begin("other", named="twin", quick=2, slow=4)
    place.until_over("one", "other")

    assert place.faults("one", word="twin") == place.faults("other", word="twin") == []
    assert place.sold("twin").total() == 6
    first, second = ({line["sku"]: line for line in place.lines(name)} for name in ("one", "other"))
    for sku, line in first.items():
        both = [line, second[sku]]
        assert sorted(one["status"] for one in both) == ["reused", "succeeded"]
        assert [one["cost_usd"] for one in both if one["status"] == "reused"] == [0]
    spent = [place.status(name).cost_usd.spent.micro for name in ("one", "other")]
    assert sum(spent) == place.paid_micro("twin")


def test_a_stage_that_takes_nothing_any_more_is_started_again(place: Shop) -> None:
    before = place.pids()
    # Celery's own word for it; a consumer that did not survive its broker looks the same.
    control = connect(place.settings, place.broker.url).control
    assert control.broadcast("cancel_consumer", arguments={"queue": "generate"}, reply=True)
    place.begin("deaf", quick=2)
    place.until_over("deaf")

    assert "consumer_stands_still" in place.log
    changed = {stage for stage, pid in place.pids().items() if pid != before[stage]}
    assert changed == {"generate"}
    assert place.faults("deaf") == []
    assert place.sold("deaf").total() == 2


def test_a_rolling_restart_with_default_settings_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with (
        # How many calls at once is no matter of time: so few that each restart finds some open.
        shop(tmp_path, SKUSCENE_GENERATE_CONCURRENCY="4") as place,
        contextlib.ExitStack() as working,
    ):
        place.house.latency(1.5)
        first = working.enter_context(place.workers())
        place.begin("rolled", quick=16)
        tell_to_stop(first, place, sold=2)
        second = working.enter_context(place.workers())  # beside the first, which still waits
        first_code = first.wait(LONG_S)
        tell_to_stop(second, place, sold=8)
        second_code = second.wait(LONG_S)
        working.enter_context(place.workers())  # when the second is gone
        place.until_over("rolled")

        assert (first_code, second_code) == (0, 0)
        assert place.faults("rolled") == []
        assert place.status("rolled").renders.succeeded == place.sold("rolled").total() == 16
        assert place.status("rolled").cost_usd.spent.micro == place.paid_micro("rolled")
        assert "fed_again" not in place.log  # nobody had to be taken for dead


def tell_to_stop(supervisor: subprocess.Popen[bytes], place: Shop, *, sold: int) -> None:
    """Send SIGTERM while calls are in flight, once so many pictures are sold."""
    wait_for(
        lambda: place.sold("rolled").total() >= sold and place.in_flight() == 4,
        timeout_s=LONG_S,
        what="calls in flight",
    )
    supervisor.send_signal(signal.SIGTERM)
