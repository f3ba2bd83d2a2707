"""Is a paid answer safe while the store is away, put once it is back, and bought by nobody?"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from catalog import keys
from catalog.connection import StateUnavailable
from catalog.money import Usd
from catalog.renders import LedgerLine, Purchase, Tokens
from catalog.store.port import Stored, StoreRefuses, StoreUnavailable
from tests.support.memory import MemoryStore
from tests.support.waiting import wait_for
from worker.spool import Kept, PaidAnswer, Spool, SpooledAnswer, SpoolUnusable, check_folder

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
FINGERPRINT = "ab" * 32
RENDER = FINGERPRINT[:32]
OTHER = "cd" * 16
PICTURE = b"\x89PNG\r\n\x1a\n first line \n and a second" * 40
PRICE = 67_000


class Book:
    """A ledger whose lines can be counted."""

    def __init__(self) -> None:
        self.lines: list[LedgerLine] = []

    def book(self, line: LedgerLine) -> None:
        self.lines.append(line)

    def put(self, line: LedgerLine) -> LedgerLine:
        self.lines.append(line)
        return line

    @property
    def outcomes(self) -> list[str]:
        return [line.outcome for line in self.lines]


class Marks:
    """What Redis knows of leases and money."""

    def __init__(self) -> None:
        self.leases: dict[str, tuple[str, float]] = {}
        self.spent: dict[str, int] = {"monday": PRICE}
        self.doubtful: dict[str, int] = {}
        self.away = False

    def mark_spooled(self, render_id: str, host: str, *, ttl_s: float) -> None:
        self._check()
        self.leases[render_id] = (f"spooled on {host}", ttl_s)

    def drop_spooled(self, render_id: str) -> None:
        self._check()
        self.leases.pop(render_id, None)

    def is_registered(self, import_id: str) -> bool:
        self._check()
        return import_id in self.spent

    def add_spent(self, import_id: str, micro_usd: int) -> None:
        self.spent[import_id] += micro_usd

    def add_doubtful(self, import_id: str, micro_usd: int) -> None:
        self.doubtful[import_id] = self.doubtful.get(import_id, 0) + micro_usd

    def _check(self) -> None:
        if self.away:
            raise StateUnavailable("told to be away")


class Place:
    """A spool on a real disk, with a store and a Redis that fail to order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.marks = Marks()
        self.book = Book()
        self.now = MONDAY
        self.spools: list[Spool] = []
        self.spool = self.process()

    def process(self, host: str = "host-1", *, put_deadline_s: float = 5.0) -> Spool:
        """A spool as another process would have it: locks are per open file."""
        spool = Spool(
            self.folder,
            self.store,
            self.marks,
            self.marks,
            self.book,
            host=host,
            put_deadline_s=put_deadline_s,
            max_age_s=86_400.0,
            mark_every_s=0.02,
            clock=lambda: self.now,
            sleep=self.sleep,
            monotonic=self.seconds,
            background=False,
        )
        self.spools.append(spool)
        return spool

    def seconds(self) -> float:
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def refuse(self, exc: Exception | None = None, *, only: str = "/take-") -> None:
        """Let the store take no picture."""

        def refuse(method: str, key: str) -> None:
            if method == "create" and only in key:
                raise exc or StoreUnavailable("told to be away")

        self.store.before = refuse

    def take_again(self) -> None:
        self.store.before = lambda _method, _key: None

    def spooled(self, render_id: str = RENDER, content: bytes = PICTURE) -> Path:
        """Spool an answer; returns its file."""
        before = set(self.files())
        self.refuse()
        assert self.spool.keep(answer(render_id), content) is Kept.SPOOL
        (name,) = set(self.files()) - before
        return self.folder / name

    def die(self) -> None:
        """End the process that spooled: the kernel drops its locks."""
        self.spool.close()
        self.spool = self.process("host-2")

    def files(self) -> list[str]:
        if not self.folder.exists():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())

    def aside(self) -> dict[str, str]:
        """Files set aside, with their reasons."""
        found = sorted((self.folder / "aside").glob("*"))
        return {
            path.name: path.with_name(f"{path.name}.reason").read_text()
            for path in found
            if path.suffix != ".reason"
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "spool")
    yield made
    for spool in made.spools:
        spool.close()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


def answer(render_id: str = RENDER) -> PaidAnswer:
    purchase = Purchase(
        take=1,
        import_id="monday",
        claim="monday/0/0",
        fingerprint=FINGERPRINT,
        model_asked="model-1",
        model_answered="model-1-001",
        response_id="answer-1",
        tokens=Tokens(input=10, output_image=1_120),
        micro_usd=PRICE,
        sent_at=MONDAY,
        answered_at=MONDAY,
    )
    line = LedgerLine(
        at=MONDAY,
        import_id="monday",
        claim="monday/0/0",
        render_id=render_id,
        scene="kitchen",
        sku="mug",
        take=1,
        outcome="picture",
        model_asked="model-1",
        platform="developer",
        cost_usd=Usd(PRICE),
        run_s=1.0,
        worker="worker-1",
    )
    return PaidAnswer(
        render_id=render_id, media_type="image/png", ext="png", purchase=purchase, line=line
    )


def take(take_no: int = 1, render_id: str = RENDER) -> str:
    return keys.take(render_id, take_no, "png")


def purchase_of(stored: Stored | None) -> Purchase:
    assert stored is not None
    return Purchase.from_metadata(dict(stored.metadata))


# -- keeping ---------------------------------------------------------------------------------


def test_a_store_that_takes_the_picture_at_once_leaves_the_disk_alone(place: Place) -> None:
    kept = place.spool.keep(answer(), PICTURE)

    assert kept is Kept.STORE
    assert place.store.content(take()) == PICTURE
    assert purchase_of(place.store.read(take())) == answer().purchase
    assert not place.folder.exists()
    assert not place.spool.blocked()
    assert place.book.lines == []  # the caller books what is in the store


@pytest.mark.parametrize(
    "fault",
    [StoreUnavailable("away"), StoreRefuses("read-only"), ValueError("a fault of the client")],
)
def test_a_picture_that_the_store_does_not_take_in_time_waits_whole_on_disk(
    place: Place, fault: Exception
) -> None:
    place.refuse(fault)

    kept = place.spool.keep(answer(), PICTURE)

    (name,) = place.files()
    head, _, content = (place.folder / name).read_bytes().partition(b"\n")
    spooled = SpooledAnswer.from_json(head)
    assert kept is Kept.SPOOL
    assert name.endswith(".answer")
    assert content == PICTURE
    assert spooled.purchase == answer().purchase
    assert spooled.line == answer().line
    assert place.marks.leases == {RENDER: ("spooled on host-1", 86_400.0)}
    assert place.spool.blocked()
    assert (place.now - MONDAY).total_seconds() <= 5.0


def test_the_file_is_whole_before_the_store_is_asked_again(place: Place) -> None:
    seen: list[list[str]] = []

    def refuse(method: str, _key: str) -> None:
        if method == "create":
            seen.append([Path(name).suffix for name in place.files()])
            raise StoreUnavailable("away")

    place.store.before = refuse
    place.spool.keep(answer(), PICTURE)

    assert seen[0] == []
    assert len(seen) > 2
    assert all(files == [".answer"] for files in seen[1:])


def test_no_new_call_is_sent_from_the_first_put_that_fails(place: Place) -> None:
    blocked: list[bool] = []

    def refuse(method: str, _key: str) -> None:
        if method == "create":
            blocked.append(place.spool.blocked())
            raise StoreUnavailable("away")

    place.store.before = refuse
    place.spool.keep(answer(), PICTURE)

    assert blocked[:3] == [False, True, True]


def test_a_store_that_comes_back_in_time_gets_the_picture_and_the_file_goes(place: Place) -> None:
    place.store.fail(3)

    kept = place.spool.keep(answer(), PICTURE)

    assert kept is Kept.STORE
    assert place.store.content(take()) == PICTURE
    assert place.files() == []
    assert place.marks.leases == {}
    assert not place.spool.blocked()
    assert place.book.lines == []


def test_redis_away_keeps_no_picture_from_the_disk_and_the_lease_comes_later(place: Place) -> None:
    place.marks.away = True
    place.spooled()
    assert place.marks.leases == {}

    place.marks.away = False
    place.spool.drain_once()

    assert place.marks.leases[RENDER][0] == "spooled on host-1"


# -- a disk that fails, too ------------------------------------------------------------------


def test_without_a_disk_the_bytes_stay_in_memory_until_the_store_takes_them(
    place: Place, logged: list[MutableMapping[str, Any]]
) -> None:
    place.folder.write_bytes(b"a file stands where the folder should be")
    place.store.fail(20)

    kept = place.spool.keep(answer(), PICTURE)

    assert kept is Kept.STORE
    assert (place.now - MONDAY).total_seconds() > 60  # far beyond the deadline of 5 s
    assert place.store.content(take()) == PICTURE
    assert not place.spool.blocked()
    loud = [entry for entry in logged if entry["event"] == "paid_picture_in_memory_only"]
    assert {entry["log_level"] for entry in loud} == {"critical"}
    assert len(loud) == 20


def test_bytes_in_memory_go_to_the_disk_as_soon_as_it_has_room(place: Place) -> None:
    place.folder.write_bytes(b"in the way")
    tries = iter(range(100))

    def refuse(method: str, _key: str) -> None:
        if method == "create":
            blocked.append(place.spool.blocked())
            if next(tries) == 15:
                place.folder.unlink()
            raise StoreUnavailable("away")

    blocked: list[bool] = []
    place.store.before = refuse

    assert place.spool.keep(answer(), PICTURE) is Kept.SPOOL
    assert blocked == [False] + [True] * 15
    assert [Path(name).suffix for name in place.files()] == [".answer"]


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write more into any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_half_way_is_left_as_it_was(place: Place) -> None:
    place.folder.mkdir()
    place.store.fail(4)

    with largest_file(4_096):
        kept = place.spool.keep(answer(), PICTURE * 20)

    assert kept is Kept.STORE
    assert place.files() == []


# -- draining --------------------------------------------------------------------------------


def test_a_spooled_picture_is_put_when_the_store_is_back(place: Place) -> None:
    place.spooled()
    assert place.spool.drain_once() == 0

    place.take_again()
    put = place.spool.drain_once()

    stored = place.store.read(take())
    assert put == 1
    assert stored is not None
    assert (stored.content, stored.media_type) == (PICTURE, "image/png")
    assert purchase_of(stored) == answer().purchase
    assert place.files() == []
    assert place.marks.leases == {}
    assert not place.spool.blocked()
    assert place.book.lines == [answer().line]
    assert place.spool.drain_once() == 0


def test_a_picture_that_lost_the_race_becomes_the_next_take(place: Place) -> None:
    place.spooled()
    place.take_again()
    place.store.create(take(1), b"a neighbour's", media_type="image/png")

    place.spool.drain_once()

    assert place.store.content(take(1)) == b"a neighbour's"
    assert place.store.content(take(2)) == PICTURE
    assert purchase_of(place.store.read(take(2))).take == 2


def test_a_put_whose_reply_was_lost_is_no_second_take(place: Place) -> None:
    place.spooled()
    place.take_again()
    place.store.lose_reply()

    assert [place.spool.drain_once(), place.spool.drain_once()] == [0, 1]
    assert [key for key in place.store.keys if "/take-" in key] == [take(1)]


def test_a_file_goes_only_when_the_store_gives_the_picture_back(place: Place) -> None:
    place.spooled()
    place.take_again()

    def lose(method: str, key: str) -> None:
        if method == "read" and key in place.store.keys:
            place.store.damage(key, None)

    place.store.before = lose
    assert place.spool.drain_once() == 0
    assert len(place.files()) == 1
    assert place.spool.blocked()

    place.take_again()
    assert place.spool.drain_once() == 1


def test_a_picture_that_can_not_be_put_does_not_stop_the_others(place: Place) -> None:
    place.spooled(RENDER)
    place.spooled(OTHER)
    place.refuse(StoreRefuses("not this one"), only=f"{RENDER}/take-")

    assert place.spool.drain_once() == 1
    assert place.store.content(take(render_id=OTHER)) == PICTURE
    assert place.spool.blocked()


def test_a_store_that_is_away_is_asked_once_a_round_and_for_each_picture_in_turn(
    place: Place,
) -> None:
    place.spooled(RENDER)
    place.spooled(OTHER)
    place.store.calls.clear()

    for _ in range(3):
        place.spool.drain_once()

    assert place.store.calls == [
        ("create", take(render_id=render_id)) for render_id in (RENDER, OTHER, RENDER)
    ]


def test_a_lease_that_redis_forgot_is_asserted_again_for_the_time_that_is_left(
    place: Place,
) -> None:
    place.spooled()
    spooled_at = place.now
    place.marks.leases.clear()
    place.sleep(3_600)

    place.spool.drain_once()

    said, ttl_s = place.marks.leases[RENDER]
    assert said == "spooled on host-1"
    assert ttl_s == pytest.approx(86_400 - 3_600, abs=(spooled_at - MONDAY).total_seconds() + 1)


def test_a_file_that_somebody_removed_by_hand_stops_nothing(place: Place) -> None:
    place.spooled().unlink()
    place.spooled(OTHER)
    place.take_again()

    assert place.spool.drain_once() == 1
    assert not place.spool.blocked()
    assert RENDER not in place.marks.leases


def test_the_thread_puts_what_waits_by_itself(place: Place) -> None:
    place.spooled()
    place.take_again()

    place.spool.start()

    wait_for(lambda: take() in place.store.keys and not place.files(), 5, "the picture to be put")


def test_leases_are_asserted_while_a_put_takes_its_time(place: Place) -> None:
    """A Redis that was started with an older file lets others buy after half a lease."""
    place.spooled()
    begun, goes_on = threading.Event(), threading.Event()

    def stall(method: str, key: str) -> None:
        if method == "create" and "/take-" in key:
            begun.set()
            goes_on.wait(10)

    place.store.before = stall
    place.spool.start()
    assert begun.wait(5)

    place.marks.leases.clear()

    wait_for(lambda: RENDER in place.marks.leases, 5, "the lease to be asserted again")
    goes_on.set()
    wait_for(lambda: not place.files() and RENDER not in place.marks.leases, 5, "it to be put")


# -- other processes -------------------------------------------------------------------------


def test_a_file_is_its_living_owners_and_nobody_elses(place: Place) -> None:
    place.spooled()
    neighbour = place.process("host-1")
    place.take_again()

    assert neighbour.drain_once() == 0
    assert not neighbour.blocked()
    assert place.spool.drain_once() == 1


def test_a_file_of_the_dead_is_put_by_whoever_finds_it(place: Place) -> None:
    place.spooled()
    place.die()
    place.take_again()

    assert place.spool.drain_once() == 1
    assert place.store.content(take()) == PICTURE
    assert place.files() == []
    assert place.marks.leases == {}
    assert place.book.lines == [answer().line]


def test_a_file_of_the_dead_is_found_by_one_of_many(place: Place) -> None:
    place.spooled()
    place.die()
    place.take_again()
    place.store.calls.clear()
    finders = [place.process(f"host-{number}") for number in range(5)]

    assert sum(spool.drain_once() for spool in finders) == 1
    assert place.store.calls.count(("create", take())) == 1


def test_what_the_dead_left_blocks_calls_from_the_start_on_until_it_is_put(place: Place) -> None:
    place.spooled()
    place.die()

    place.spool.start()
    blocked = place.spool.blocked()
    wait_for(lambda: place.marks.leases[RENDER][0] == "spooled on host-2", 5, "the new lease")
    place.take_again()
    wait_for(lambda: not place.spool.blocked(), 5, "the picture to be put")

    assert blocked
    assert place.store.content(take()) == PICTURE


def test_closing_lets_go_of_files_and_keeps_their_leases(
    place: Place, logged: list[MutableMapping[str, Any]]
) -> None:
    place.spooled()

    place.spool.close()

    assert place.marks.leases[RENDER][0] == "spooled on host-1"
    assert not place.spool.blocked()
    assert [entry["answers"] for entry in logged if entry["event"] == "answers_left_in_spool"] == [
        1
    ]


# -- too old, or released --------------------------------------------------------------------


def test_a_picture_that_waited_too_long_opens_its_render_and_is_booked_doubtful(
    place: Place,
) -> None:
    place.spooled()
    place.sleep(86_400)

    place.spool.drain_once()
    place.spool.drain_once()

    assert place.marks.leases == {}
    assert not place.spool.blocked()
    assert place.book.outcomes == ["doubtful"]
    assert place.book.lines[0].cost_usd == Usd(PRICE)
    assert (place.marks.spent, place.marks.doubtful) == ({"monday": 0}, {"monday": PRICE})
    assert [Path(name).suffix for name in place.files()] == [".released"]


def test_a_released_picture_is_put_all_the_same_and_booked_once(place: Place) -> None:
    place.spooled()
    place.sleep(86_400)
    place.spool.drain_once()
    place.die()
    place.take_again()

    assert place.spool.drain_once() == 1
    assert place.store.content(take()) == PICTURE
    assert place.book.outcomes == ["doubtful"]
    assert place.files() == []


def test_a_person_can_release_a_picture_and_the_request_is_used_up(place: Place) -> None:
    place.spooled(RENDER)
    place.spooled(OTHER)
    (place.folder / f"{RENDER}.release").touch()

    place.spool.drain_once()

    assert set(place.marks.leases) == {OTHER}
    assert place.book.outcomes == ["doubtful"]
    assert not (place.folder / f"{RENDER}.release").exists()


def test_a_release_while_redis_is_away_ends_the_lease_later(place: Place) -> None:
    place.spooled()
    (place.folder / f"{RENDER}.release").touch()
    place.marks.away = True
    place.spool.drain_once()
    place.marks.away = False

    place.spool.drain_once()

    assert place.marks.leases == {}


def test_an_import_that_redis_does_not_know_gets_no_money_booked(place: Place) -> None:
    place.spooled()
    place.marks.spent.clear()
    place.sleep(86_400)

    place.spool.drain_once()

    assert (place.marks.spent, place.marks.doubtful) == ({}, {})


# -- damage ----------------------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str, bool]] = {
    "cut": (lambda raw: raw[:-1], "bytes are there", True),
    "cut in the first line": (lambda raw: raw[:100], "no spooled answer", False),
    "one bit": (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "SHA-256", True),
    "longer": (lambda raw: raw + b"x", "bytes are there", True),
    "another shape": (lambda _: b'{"schema":"a"}\n', "no spooled answer", False),
    "no text": (lambda _: b"\xff\xfe\x00" * 50, "no spooled answer", False),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_set_aside_with_its_reason_and_stops_nothing(
    place: Place, kind: str
) -> None:
    harm, reason, readable = DAMAGE[kind]
    path = place.spooled(RENDER)
    place.spooled(OTHER)
    place.die()
    path.write_bytes(harm(path.read_bytes()))
    place.take_again()

    put = place.spool.drain_once()

    assert put == 1
    assert place.files() == []
    assert list(place.aside()) == [path.name]
    assert reason in place.aside()[path.name]
    assert place.marks.leases == {}  # nobody waits for bytes that are lost
    assert place.book.outcomes == (["doubtful", "picture"] if readable else ["picture"])


def test_an_own_file_that_went_bad_is_set_aside_too(place: Place) -> None:
    path = place.spooled()
    path.write_bytes(path.read_bytes()[:-3])
    place.take_again()

    place.spool.drain_once()

    assert list(place.aside()) == [path.name]
    assert place.book.outcomes == ["doubtful"]
    assert not place.spool.blocked()
    assert place.store.keys == ()


def test_an_empty_file_goes_without_a_word(place: Place) -> None:
    place.folder.mkdir()
    (place.folder / f"20261123T090000000000-{RENDER}-0a1b2c3d.part").touch()

    place.spool.drain_once()

    assert place.files() == []
    assert place.aside() == {}


def test_a_part_that_is_whole_is_as_good_as_an_answer(place: Place) -> None:
    """Its writer died between the last byte and the renaming."""
    path = place.spooled()
    place.die()
    path.rename(path.with_suffix(".part"))

    place.spool.drain_once()
    assert place.files() == [path.name]
    place.take_again()

    assert place.spool.drain_once() == 1
    assert place.store.content(take()) == PICTURE


def test_a_part_whose_writer_died_is_set_aside_and_books_nothing(place: Place) -> None:
    path = place.spooled()
    place.die()
    path.rename(path.with_suffix(".part"))
    path = path.with_suffix(".part")
    path.write_bytes(path.read_bytes()[:-9])
    place.marks.leases[RENDER] = ("a buyer's token", 30.0)

    place.spool.drain_once()

    assert list(place.aside()) == [path.name]
    assert place.book.lines == []
    assert place.marks.leases == {RENDER: ("a buyer's token", 30.0)}


def test_strangers_in_the_folder_are_left_alone(place: Place) -> None:
    place.folder.mkdir()
    (place.folder / "README").write_text("the spool")

    assert place.spool.drain_once() == 0
    assert place.files() == ["README"]


# -- the folder ------------------------------------------------------------------------------


def test_a_folder_that_can_be_made_is_fit(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_can_not_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolUnusable, match=r"can't be spooled in .*file/spool"):
        check_folder(tmp_path / "file" / "spool")
