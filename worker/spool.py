"""Where does a paid answer wait while the store does not take it?

In a folder of this machine's disk, a file per answer, whole or not there. The first put that fails
writes the file, so that the bytes are in two hands while the store is asked on; what it has not
taken by ``put_deadline_s`` stays in the file, and a thread puts it later, also the files of
processes that have died. Until then the render's lease reads ``spooled on <host>``: nobody buys it.

A file's lock is its owner: it ends with the process, whatever ends that. Names tell the rest::

    <UTC time>-<render id>-<word>.part      being written
                                 .answer    safe; holds its render's lease
                                 .released  safe, but bought again; put all the same, late
    <render id>.release                     made by a person: release this render's answers
    aside/                                  what can't be read, each with its reason beside it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import structlog
from pydantic import AwareDatetime, Field, NonNegativeInt, ValidationError

from catalog import keys
from catalog.connection import StateUnavailable
from catalog.renders import LedgerLine, Purchase
from catalog.store.port import StoreError, StoreRefuses, StoreUnavailable, sha256_hex
from catalog.wire import RenderId, Sha256, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from catalog.store.port import Store
    from worker.ports import Ledger

log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_LOOK_SOON_S = 1.0
_LOOK_LATE_S = 15.0
_CLOSE_S = 5.0
_MOST_HELD = 200
"""Files that one process locks at once: each costs a descriptor."""


class Kept(StrEnum):
    """Where a paid answer is safe."""

    STORE = "store"
    SPOOL = "spool"


class SpoolUnusable(Exception):
    """The spool's folder can't be written; the message says which and why."""


class PaidAnswer(Wire):
    """What belongs to a paid answer's bytes; ``line`` is the call's line in the ledger."""

    render_id: RenderId
    media_type: str
    ext: Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")]
    purchase: Purchase
    line: LedgerLine


class SpooledAnswer(PaidAnswer):
    """The first line of a spool file; the picture's bytes follow it."""

    schema_: Annotated[Literal["skuscene.spooled/1"], Field(alias="schema")] = "skuscene.spooled/1"
    sha256: Sha256
    bytes: NonNegativeInt
    spooled_at: AwareDatetime
    host: str


class SpoolLeases(Protocol):
    """What is needed of :class:`catalog.leases.Leases`."""

    def mark_spooled(self, render_id: str, host: str, *, ttl_s: float) -> None: ...
    def drop_spooled(self, render_id: str) -> None: ...


class SpoolState(Protocol):
    """What is needed of :class:`catalog.state.State`."""

    def is_registered(self, import_id: str) -> bool: ...
    def add_spent(self, import_id: str, micro_usd: int) -> None: ...
    def add_doubtful(self, import_id: str, micro_usd: int) -> None: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    """A file whose lock is ours. ``busy``: its :meth:`Spool.keep` is still asking the store."""

    path: Path
    lock: int
    answer: SpooledAnswer
    busy: bool
    marked: bool = True
    tries: int = 0

    @property
    def released(self) -> bool:
        return self.path.suffix == ".released"


class Spool:
    """The spool of one process, made after the fork; ``directory`` serves one store only.

    Only processes that buy have ``background`` threads, started by the first question:
    what another stage took over would not block the calls of those that buy. One of them puts what
    waits, the other marks its leases every ``mark_every_s``: less than half a lease.
    """

    def __init__(
        self,
        directory: Path,
        store: Store,
        state: SpoolState,
        leases: SpoolLeases,
        ledger: Ledger,
        *,
        host: str,
        put_deadline_s: float,
        max_age_s: float,
        mark_every_s: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        background: bool = True,
    ) -> None:
        self._folder = _Folder(directory)
        self._store = store
        self._state = state
        self._leases = leases
        self._ledger = ledger
        self._host = host
        self._put_deadline_s = put_deadline_s
        self._max_age_s = max_age_s
        self._mark_every_s = mark_every_s
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._background = background
        self._held: dict[str, _Held] = {}
        self._undropped: set[str] = set()
        """Renders whose lease Redis did not let go, though their answer is in the store."""
        self._failing = 0
        self._guard = threading.Lock()
        self._draining = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, answer: PaidAnswer, content: bytes) -> Kept:
        """Make paid bytes safe; returns when they are in the store or on this disk, and where.

        In the store, they are the first take that is free. On disk, they are this spool's to put
        and to book: the caller books only what is in the store. With neither to be had this does
        not return: it holds the bytes in memory and asks both on and on.
        """
        until = self._monotonic() + self._put_deadline_s
        if self._took(answer, content, _put_take):
            return Kept.STORE
        with self._putting_fails():
            return self._keep_asking(answer, content, until)

    def blocked(self) -> bool:
        """Whether a put fails, or an answer waits here: this process must send no new call.

        The first to ask takes over the files of the dead before it is told.
        """
        if self._background:
            self.start()
        with self._guard:
            waiting = any(not held.released for held in self._held.values())
            return waiting or self._failing > 0

    def drain_once(self) -> int:
        """Take over files of the dead, re-assert leases and put what waits; returns how many.

        Costs, with an empty folder, one look at it.
        """
        with self._draining:
            self._adopt()
            self._drop_again()
            for held in self._all():
                self._look_after(held)
            return self._put_waiting()

    def start(self) -> None:
        """Take over files of the dead, and start the thread that puts them, unless it runs."""
        if self._thread is not None or self._stopped.is_set():
            return
        with self._draining:
            if self._thread is None:
                self._adopt()  # before this returns: what waits here blocks the first call already
                self._thread = threading.Thread(target=self._drain, name="spool", daemon=True)
                self._thread.start()
                marks = threading.Thread(target=self._keep_marked, name="spool marks", daemon=True)
                marks.start()

    def close(self) -> None:
        """Stop draining and let go of every file; leases stay, so that nobody buys meanwhile."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        self._drop_again()
        left = self._all()
        if left:
            log.warning("answers_left_in_spool", folder=str(self._folder.path), answers=len(left))
        for held in left:
            self._forget(held)

    # -- keeping -----------------------------------------------------------------------------

    def _keep_asking(self, answer: PaidAnswer, content: bytes, until: float) -> Kept:
        held = self._write(answer, content)
        delay_s = _FIRST_DELAY_S
        while held is None or self._monotonic() + delay_s <= until:
            self._sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
            if self._took(answer, content, _put_and_check):
                if held is not None:
                    self._remove(held)
                return Kept.STORE
            held = held or self._write(answer, content)
        held.busy = False
        log.error("paid_picture_spooled", render_id=answer.render_id, file=str(held.path))
        return Kept.SPOOL

    @contextlib.contextmanager
    def _putting_fails(self) -> Iterator[None]:
        with self._guard:
            self._failing += 1
        try:
            yield
        finally:
            with self._guard:
                self._failing -= 1

    def _took(
        self, answer: PaidAnswer, content: bytes, put: Callable[[Store, PaidAnswer, bytes], str]
    ) -> bool:
        try:
            put(self._store, answer, content)
        except Exception as exc:  # noqa: BLE001  whatever it was: these bytes are paid for
            log.warning("paid_picture_not_taken", render_id=answer.render_id, error=str(exc))
            return False
        return True

    def _write(self, answer: PaidAnswer, content: bytes) -> _Held | None:
        spooled = SpooledAnswer(
            **dict(answer),
            sha256=sha256_hex(content),
            bytes=len(content),
            spooled_at=self._clock(),
            host=self._host,
        )
        try:
            path, lock = self._folder.write(spooled, content)
        except OSError as exc:
            log.critical("paid_picture_in_memory_only", render_id=answer.render_id, error=str(exc))
            return None
        held = _Held(path=path, lock=lock, answer=spooled, busy=True)
        self._hold(held)
        self._mark(held)
        return held

    # -- draining ----------------------------------------------------------------------------

    def _drain(self) -> None:
        delay_s = 0.0
        while not self._stopped.wait(delay_s):
            if self._round() or delay_s == 0:
                delay_s = _LOOK_SOON_S
            else:
                delay_s = min(delay_s * 2, _LOOK_LATE_S)

    def _keep_marked(self) -> None:
        """Say again and again whose answers wait here, however long a put takes.

        A Redis that was started with an older file may have forgotten it, and lets others buy when
        half a lease is over.
        """
        while not self._stopped.wait(self._mark_every_s):
            for held in self._all():
                if not held.released:
                    self._mark(held)

    def _round(self) -> int:
        try:
            return self.drain_once()
        except Exception:  # paid pictures wait here: nothing may end the thread that puts them
            log.exception("spool_round_broke")
            return 0

    def _adopt(self) -> None:
        """Take over what nobody holds: its process is dead."""
        for path in self._folder.files():
            with self._guard:
                if path.stem in self._held:
                    continue
                if len(self._held) >= _MOST_HELD:
                    return
            lock = _lock(path)
            if lock is not None:
                self._adopt_one(path, lock)

    def _adopt_one(self, path: Path, lock: int) -> None:
        try:
            answer, _ = _read(path)
            path = self._folder.finished(path)
        except _Damaged as exc:
            self._set_aside(path, _header(path), exc)
            os.close(lock)
        except OSError as exc:
            log.warning("spooled_picture_unreadable", file=str(path), error=str(exc))
            os.close(lock)
        else:
            log.warning("spooled_picture_found", render_id=answer.render_id, file=str(path))
            self._hold(_Held(path=path, lock=lock, answer=answer, busy=False))

    def _look_after(self, held: _Held) -> None:
        """Keep buyers away from the render, until its answer has waited long enough."""
        if held.released:
            self._drop(held)
        elif held.busy or not self._is_due(held):
            self._mark(held)
        else:
            self._release(held)

    def _is_due(self, held: _Held) -> bool:
        asked = self._folder.asked_to_release(held.answer.render_id)
        return asked or self._remaining_s(held) <= 0

    def _put_waiting(self) -> int:
        """Put what waits, the least tried first; a store that is away ends the round."""
        put = 0
        waiting = (held for held in self._all() if not held.busy)
        for held in sorted(waiting, key=lambda held: (held.tries, held.path.name)):
            try:
                put += self._put(held)
            except StoreUnavailable as exc:
                log.warning("spooled_picture_waits", file=str(held.path), error=str(exc))
                break
        return put

    def _put(self, held: _Held) -> bool:
        held.tries += 1
        try:
            answer, content = _read(held.path)
            _put_and_check(self._store, answer, content)
        except StoreUnavailable:
            raise
        except (_Damaged, FileNotFoundError) as exc:
            self._set_aside(held.path, held.answer, exc)
            self._forget(held)
            return False
        except Exception as exc:  # noqa: BLE001  one that can't be put must not stop the others
            log.warning("spooled_picture_refused", file=str(held.path), error=str(exc))
            return False
        if not held.released:
            self._book(held.answer.line)
        self._remove(held)
        log.info("spooled_picture_put", render_id=answer.render_id, tries=held.tries)
        return True

    # -- leases and money --------------------------------------------------------------------

    def _mark(self, held: _Held) -> None:
        ttl_s = max(1.0, self._remaining_s(held))
        render_id = held.answer.render_id
        with self._unless_redis_is_away(render_id):
            self._leases.mark_spooled(render_id, self._host, ttl_s=ttl_s)
            if held.path.stem not in self._held:  # put while we marked it
                self._leases.drop_spooled(render_id)

    def _drop(self, held: _Held) -> None:
        if not held.marked:
            return
        render_id = held.answer.render_id
        self._undropped.add(render_id)
        with self._unless_redis_is_away(render_id):
            self._leases.drop_spooled(render_id)
            held.marked = False
            self._undropped.discard(render_id)

    def _drop_again(self) -> None:
        """Let go of leases that Redis was away for; one that waits for another answer stays."""
        waiting = {held.answer.render_id for held in self._all() if not held.released}
        for render_id in list(self._undropped):
            with self._unless_redis_is_away(render_id):
                if render_id not in waiting:
                    self._leases.drop_spooled(render_id)
                self._undropped.discard(render_id)

    def _remaining_s(self, held: _Held) -> float:
        return self._max_age_s - (self._clock() - held.answer.spooled_at).total_seconds()

    def _release(self, held: _Held) -> None:
        """Let the render be bought again; the answer is put all the same, as a later take."""
        try:
            held.path = self._folder.renamed(held.path, ".released")
        except OSError as exc:
            log.warning("spooled_picture_not_released", file=str(held.path), error=str(exc))
            return
        self._folder.forget_request(held.answer.render_id)
        log.error("spooled_picture_released", render_id=held.answer.render_id, file=str(held.path))
        self._doubt(held.answer)
        self._drop(held)

    def _set_aside(self, path: Path, answer: SpooledAnswer | None, why: Exception) -> None:
        """Move a file that can't be used out of the way, and open its render to buyers."""
        log.error("spooled_picture_set_aside", file=str(path), why=str(why))
        self._folder.set_aside(path, str(why))
        if path.suffix != ".answer":  # a part holds no lease, a released one none any more
            return
        if answer is not None:
            self._doubt(answer)
        render_id = _render_id_of(path)
        with self._unless_redis_is_away(render_id):
            self._leases.drop_spooled(render_id)

    def _doubt(self, answer: SpooledAnswer) -> None:
        """Book a call whose answer nobody waits for any more."""
        self._book(answer.line.changed(outcome="doubtful", reason="outcome_unknown"))
        purchase = answer.purchase
        with self._unless_redis_is_away(answer.render_id):
            if self._state.is_registered(purchase.import_id):
                self._state.add_spent(purchase.import_id, -purchase.micro_usd)
                self._state.add_doubtful(purchase.import_id, purchase.micro_usd)

    def _book(self, line: LedgerLine) -> None:
        try:
            self._ledger.put(line)
        except StoreError as exc:  # it can be rebuilt from the take
            log.warning("call_not_in_ledger_yet", render_id=line.render_id, error=str(exc))

    @contextlib.contextmanager
    def _unless_redis_is_away(self, render_id: str) -> Iterator[None]:
        """Go on without Redis: leases are asserted again every round, and end by themselves."""
        try:
            yield
        except StateUnavailable as exc:
            log.warning("spooled_lease_not_written", render_id=render_id, error=str(exc))

    # -- files that are ours -----------------------------------------------------------------

    def _all(self) -> list[_Held]:
        with self._guard:
            return list(self._held.values())

    def _hold(self, held: _Held) -> None:
        with self._guard:
            self._held[held.path.stem] = held

    def _remove(self, held: _Held) -> None:
        """Its bytes are in the store: the file has done its work."""
        try:
            self._folder.remove(held.path)
        except OSError as exc:  # it is put again, as the same take, by whoever finds it
            log.warning("spooled_file_not_removed", file=str(held.path), error=str(exc))
        self._forget(held)
        self._drop(held)

    def _forget(self, held: _Held) -> None:
        with self._guard:
            if self._held.pop(held.path.stem, None) is not None:
                os.close(held.lock)


def check_folder(directory: Path) -> None:
    """Try whether answers can be spooled there.

    Raises:
        SpoolUnusable: the folder can't be made or written.
    """
    probe = directory / f"{uuid.uuid4().hex}.probe"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as exc:
        msg = f"paid pictures can't be spooled in {directory}: {exc.strerror or exc}"
        raise SpoolUnusable(msg) from exc


def _put_take(store: Store, answer: PaidAnswer, content: bytes) -> str:
    """Create the first take that is free, or is these very bytes; returns its key.

    A late second answer becomes the next take: nothing that was answered is dropped.
    """
    take_no = 1
    while True:
        created = store.create(
            keys.take(answer.render_id, take_no, answer.ext),
            content,
            media_type=answer.media_type,
            metadata=answer.purchase.changed(take=take_no).to_metadata(),
        )
        if created.won:
            return created.key
        take_no += 1


def _put_and_check(store: Store, answer: PaidAnswer, content: bytes) -> str:
    """Put a take and read it back: only then may its file go."""
    key = _put_take(store, answer, content)
    stored = store.read(key)
    if stored is None or stored.content != content:
        msg = f"{store.url} does not give back {key} as it was put"
        raise StoreRefuses(msg)
    return key


class _Damaged(Exception):
    """A spool file is not what was written."""


class _Folder:
    """The files. Every method raises ``OSError``; none holds a file's bytes between calls."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, answer: SpooledAnswer, content: bytes) -> tuple[Path, int]:
        """Write an answer durably; returns its file and the lock on it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = f"{answer.spooled_at.astimezone(UTC):%Y%m%dT%H%M%S%f}"
        part = self.path / f"{at}-{answer.render_id}-{uuid.uuid4().hex[:8]}.part"
        lock = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Whoever takes an empty part for a dead one's locks or removes it: then this fails,
            # or the renaming does, and the caller writes another.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(lock, "wb", closefd=False) as file:
                file.writelines((answer.to_json(), b"\n", content))
            os.fsync(lock)
            return self.finished(part), lock
        except BaseException:
            os.close(lock)
            for suffix in (".part", ".answer"):  # a full disk must not be filled further
                with contextlib.suppress(OSError):
                    part.with_suffix(suffix).unlink(missing_ok=True)
            raise

    def files(self) -> list[Path]:
        """Every answer there is, the oldest first."""
        try:
            names = sorted(os.listdir(self.path))  # noqa: PTH208  names, not paths
        except FileNotFoundError:
            return []
        except OSError as exc:  # what we hold already is put all the same
            log.warning("spool_unreadable", folder=str(self.path), error=str(exc))
            return []
        ours = (".answer", ".part", ".released")
        return [self.path / name for name in names if name.endswith(ours)]

    def finished(self, path: Path) -> Path:
        """Call a part that is whole an answer; others stay what they are."""
        return self.renamed(path, ".answer") if path.suffix == ".part" else path

    def renamed(self, path: Path, suffix: str) -> Path:
        """Rename a file durably."""
        target = path.rename(path.with_suffix(suffix))
        self._sync()
        return target

    def remove(self, path: Path) -> None:
        """Remove a file durably."""
        path.unlink(missing_ok=True)
        self._sync()

    def asked_to_release(self, render_id: str) -> bool:
        """Whether a person asks for a render's answers to be released."""
        return (self.path / f"{render_id}.release").exists()

    def forget_request(self, render_id: str) -> None:
        """Do not let the request speak of the next answer, too; never raises."""
        with contextlib.suppress(OSError):
            (self.path / f"{render_id}.release").unlink(missing_ok=True)

    def set_aside(self, path: Path, why: str) -> None:
        """Move what can't be read out of the way; never raises."""
        aside = self.path / "aside"
        try:
            if path.stat().st_size == 0:  # its writer died before the first byte
                path.unlink()
                return
            aside.mkdir(mode=0o700, exist_ok=True)
            (aside / f"{path.name}.reason").write_text(f"{why}\n", encoding="utf-8")
            path.rename(aside / path.name)
        except FileNotFoundError:  # somebody removed it by hand
            return
        except OSError as exc:
            log.warning("spooled_file_not_moved", file=str(path), error=str(exc))

    def _sync(self) -> None:
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lock(path: Path) -> int | None:
    """Lock a file that is there and nobody's; the lock ends with its process."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:  # else its owner removed it meanwhile
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _read(path: Path) -> tuple[SpooledAnswer, bytes]:
    """Read an answer whole.

    Raises:
        _Damaged: it is not what was written.
        OSError: it can't be read now.
    """
    head, _, content = path.read_bytes().partition(b"\n")
    try:
        answer = SpooledAnswer.from_json(head)
    except ValidationError as exc:
        msg = f"the first line is no spooled answer: {exc.errors()[0]['msg']}"
        raise _Damaged(msg) from exc
    if len(content) != answer.bytes:
        raise _Damaged(f"{len(content)} of {answer.bytes} bytes are there")
    if sha256_hex(content) != answer.sha256:
        raise _Damaged("the bytes are not those that were written: their SHA-256 differs")
    return answer, content


def _header(path: Path) -> SpooledAnswer | None:
    """What a damaged file's first line still says."""
    try:
        with path.open("rb") as file:
            return SpooledAnswer.from_json(file.readline())
    except (OSError, ValidationError):
        return None


def _render_id_of(path: Path) -> str:
    return path.stem.partition("-")[2].partition("-")[0]
