"""Which effects does a worker have on the world, and before which one is it killed?

A :class:`Scythe` is put into a worker's process. It stands where effects leave that process: at
redis-py, at the file system under the store and the spool, at botocore, and at the HTTP client of
the model; so it sees what the core does without knowing it. It writes every effect into a journal
just before it happens, and ends the process there if that was ordered.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlsplit

from tests.support import completeness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CASE: Final = re.compile(r"death-\d{3}")
"""How the imports are named that somebody is to die of."""
LEAVES: Final = "model: the call leaves"
IN_FLIGHT: Final = "model: the request is sent"
ANSWERED: Final = "model: the answer is here"

_MANIFEST: Final = re.compile(r"imports/[^/]+/manifest(\.r\d+)?\.json")
_SCRIPT_CALLS: Final = re.compile(r"redis\.call\('(\w+)'")
_CONDITIONED: Final = "redis.call("
_NOWHERE: Final = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Who is killed just before an effect.

    ``task`` is the task whose effect it is; ``None`` means whoever has it. ``whom`` is the process
    that has the effect. With ``nobody`` the effect, one on a file, fails instead.
    """

    effect: str
    task: str | None = None
    whom: Literal["self", "nobody"] = "self"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A line of the journal: an effect that was about to happen, or a manifest that lied."""

    case: str
    task: str
    effect: str
    pid: int
    lies: tuple[str, ...] = ()


class Orders:
    """A folder with the orders to kill, and the journal. Each order is carried out once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.journal = folder / "journal.jsonl"

    def give(self, case: str, kills: tuple[Kill, ...]) -> None:
        """Order deaths, one after the other; from now on effects of nobody's are this case's."""
        for number, kill in enumerate(kills):
            self._whole(f"{case}.{number}.order", json.dumps(asdict(kill)))
        self._whole("current", case)

    def current(self) -> str:
        """The case that is on."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "current").read_text()
        return ""

    def next_for(self, case: str) -> tuple[Path, Kill] | None:
        """The death that is to come next."""
        for path in sorted(self._folder.glob(f"{case}.*.order")):
            with contextlib.suppress(FileNotFoundError):
                return path, Kill(**json.loads(path.read_text()))
        return None

    def take(self, path: Path) -> bool:
        """Whether this order is ours to carry out: one process is killed for it, not two."""
        try:
            path.rename(path.with_suffix(".done"))
        except FileNotFoundError:
            return False
        return True

    def noted(self) -> tuple[Noted, ...]:
        """Everything in the journal; a line that is still being written is not yet in it."""
        if not self.journal.exists():
            return ()
        lines = self.journal.read_text().split("\n")[:-1]
        return tuple(_noted(json.loads(line)) for line in lines)

    def _whole(self, name: str, text: str) -> None:
        part = self._folder / f"{name}.part"
        part.write_text(text)
        part.rename(self._folder / name)


def _noted(shape: dict[str, Any]) -> Noted:
    return Noted(**{**shape, "lies": tuple(shape["lies"])})


class Scythe:
    """Sees the effects of one process, and ends it where that was ordered."""

    def __init__(self, orders: Orders, *, store: str, spool: Path, writes: frozenset[str]) -> None:
        self._orders = orders
        self._root = unquote(urlsplit(store).path) if store.startswith("file:") else None
        self._spool = str(spool)
        self._writes = writes
        self._at: ContextVar[tuple[str, str]] = ContextVar("effects_at", default=_NOWHERE)
        self._of_tag: dict[str, tuple[str, str]] = {}
        self._scripts: dict[str, tuple[str, bool]] = {}
        self._ours = threading.local()

    def install(self) -> None:
        """Stand in the way of every effect of this process, and of those that it forks."""
        self._scripts = dict(self._read_scripts())
        self._watch_tasks()
        self._watch_redis()
        self._watch_model()
        sys.addaudithook(self._audited)
        if self._root is None:
            self._watch_s3()

    def about_to(
        self,
        effect: str,
        about: str = "",
        of: tuple[str, str] = _NOWHERE,
        lies: tuple[str, ...] = (),
    ) -> None:
        """Note an effect that is about to happen, and die if that was ordered."""
        if getattr(self._ours, "busy", False):
            return
        with self._busy():
            task, case = of if of != _NOWHERE else self._at.get()
            found = CASE.search(about)
            case = found[0] if found else case or self._orders.current()
            noted = Noted(case=case, task=task, effect=effect, pid=os.getpid(), lies=lies)
            self._note(noted)
            order = self._orders.next_for(case) if case else None
            if order is None:
                return
            path, kill = order
            if kill.effect == effect and kill.task in {None, task} and self._orders.take(path):
                _kill(kill)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """What happens in this block is our own doing."""
        self._ours.busy = True
        try:
            yield
        finally:
            self._ours.busy = False

    def _note(self, noted: Noted) -> None:
        # One write, appended whole: many processes have this file open.
        journal = os.open(self._orders.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(journal, json.dumps(asdict(noted)).encode() + b"\n")
        finally:
            os.close(journal)

    # -- whose effects these are -------------------------------------------------------------

    def _watch_tasks(self) -> None:
        from celery import signals

        def begins(sender: Any = None, args: Any = (), **_: object) -> None:
            self._at.set((sender.name, _case(json.dumps(args))))

        def ends(**_: object) -> None:
            self._at.set(_NOWHERE)

        signals.task_prerun.connect(begins, weak=False)
        signals.task_postrun.connect(ends, weak=False)

    # -- Redis -------------------------------------------------------------------------------

    def _watch_redis(self) -> None:
        import redis.client

        client_type: Any = redis.client.Redis
        pipeline_type: Any = redis.client.Pipeline
        one, many = client_type.execute_command, pipeline_type.execute

        @functools.wraps(one)
        def execute_command(client: Any, *args: Any, **options: Any) -> Any:
            self._about_to_command([args])
            return one(client, *args, **options)

        @functools.wraps(many)
        def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
            self._about_to_command([command[0] for command in pipeline.command_stack])
            return many(pipeline, *args, **options)

        client_type.execute_command = execute_command
        pipeline_type.execute = execute

    def _about_to_command(self, commands: list[tuple[Any, ...]]) -> None:
        named = [name for command in commands if (name := self._name(command))]
        if not named:
            return
        words = [_text(word) for command in commands for word in command]
        envelopes = [envelope for word in words if (envelope := _envelope(word))]
        about = " ".join([*words, *(body for _, body in envelopes)])
        effect = f"redis {', '.join(dict.fromkeys(named))}"
        self.about_to(effect, about, self._of_broker(commands, envelopes))

    def _name(self, command: tuple[Any, ...]) -> str | None:
        """What a command that writes is called; ``None`` for one that does not."""
        word = _text(command[0]).upper()
        if word in {"EVAL", "EVALSHA"}:
            sha = _text(command[1])
            digest = hashlib.sha1(sha.encode(), usedforsecurity=False).hexdigest()
            name, writes = self._scripts.get(sha if word == "EVALSHA" else digest, (sha, True))
            return name if writes else None
        if word.lower() not in self._writes:
            return None
        key = _text(command[1]) if len(command) > 1 else ""
        if key.startswith("_kombu."):
            return None  # kombu's list of queues, written by every process that sends its first
        return f"{word} {key.split(':')[2] if key.startswith('skuscene:') else key}"

    def _of_broker(
        self, commands: list[tuple[Any, ...]], envelopes: list[tuple[str, str]]
    ) -> tuple[str, str]:
        """The task of a message that is noted as taken, or acknowledged."""
        for command in commands:
            words = [_text(word) for word in command[:3]]
            if words[:2] == ["HSET", "unacked"] and envelopes:
                task, body = envelopes[0]
                self._of_tag[words[2]] = (task, _case(body))
                return self._of_tag[words[2]]
            if words[:2] == ["HDEL", "unacked"]:
                return self._of_tag.get(words[2], _NOWHERE)
        return _NOWHERE

    def _read_scripts(self) -> Iterator[tuple[str, tuple[str, bool]]]:
        """Every Lua script of ours, by its hash: its name, and whether it writes."""
        for module in [*sys.modules.values()]:
            if not module.__name__.startswith(("catalog.", "worker.")):
                continue
            for name, value in vars(module).items():
                if isinstance(value, str) and _CONDITIONED in value:
                    sha = hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()
                    called = {word.lower() for word in _SCRIPT_CALLS.findall(value)}
                    yield sha, (name.strip("_").lower(), not called.isdisjoint(self._writes))

    # -- files -------------------------------------------------------------------------------

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        """What a process does to files; what it writes beside them for a moment is nobody's."""
        if event not in {"os.link", "os.rename", "os.remove"}:
            return
        if getattr(self._ours, "busy", False):
            return
        verb = event.removeprefix("os.")
        target = os.fspath(args[0] if verb == "remove" else args[1])
        if isinstance(target, str) and target.startswith(f"{self._spool}/"):
            self.about_to(f"spool {verb} {os.path.splitext(target)[1]}")  # noqa: PTH122  a string
        elif self._root and isinstance(target, str) and target.startswith(f"{self._root}/"):
            source = "" if verb == "remove" else os.fspath(args[0])
            self._about_to_touch(verb, target.removeprefix(f"{self._root}/"), source)

    def _about_to_touch(self, verb: str, key: str, source: str) -> None:
        if key.startswith((".skuscene/tmp/", ".skuscene/locks/")):
            return
        with self._busy():
            content = _read(source) or b""
            lies = self._lies(key, content, lambda name: _read(f"{self._root}/{name}"))
        if key.startswith(".skuscene/meta/"):
            verb, key = "describe", str(json.loads(content)["key"]) if content else key
        text = f"{key} {content[:100_000].decode(errors='replace')}"
        self.about_to(f"store {verb} {kind_of(key)}", text, lies=lies)

    def _lies(
        self, key: str, content: bytes, read: Callable[[str], bytes | None]
    ) -> tuple[str, ...]:
        if not _MANIFEST.fullmatch(key):
            return ()
        return tuple(completeness.faults(content, read))

    # -- S3 ----------------------------------------------------------------------------------

    def _watch_s3(self) -> None:
        from botocore.client import BaseClient

        call = BaseClient._make_api_call

        @functools.wraps(call)
        def make_api_call(client: Any, operation: str, params: dict[str, Any]) -> Any:
            if operation.startswith(("Put", "Delete", "Copy", "Create", "Complete", "Upload")):
                self._about_to_put(client, operation, params)
            return call(client, operation, params)

        BaseClient._make_api_call = make_api_call

    def _about_to_put(self, client: Any, operation: str, params: dict[str, Any]) -> None:
        if getattr(self._ours, "busy", False):
            return
        prefix, _, key = str(params["Key"]).partition("/")
        content = params.get("Body") or b""

        def read(name: str) -> bytes | None:
            with contextlib.suppress(client.exceptions.NoSuchKey):
                found = client.get_object(Bucket=params["Bucket"], Key=f"{prefix}/{name}")
                return bytes(found["Body"].read())
            return None

        with self._busy():
            lies = self._lies(key, content, read)
        text = f"{key} {content[:100_000].decode(errors='replace')}"
        self.about_to(f"store {operation} {kind_of(key)}", text, lies=lies)

    # -- the model ---------------------------------------------------------------------------

    def _watch_model(self) -> None:
        import httpx2

        client_type: Any = httpx2.AsyncClient
        transport_type: Any = httpx2.AsyncHTTPTransport
        send, handle = client_type.send, transport_type.handle_async_request

        @functools.wraps(handle)
        async def handle_async_request(transport: Any, request: Any) -> Any:
            self.about_to(LEAVES)
            heard = request.extensions.get("trace")

            async def trace(event: str, info: dict[str, Any]) -> None:
                if heard is not None:
                    await heard(event, info)
                if event.endswith("send_request_body.complete"):
                    self.about_to(IN_FLIGHT)

            request.extensions["trace"] = trace
            return await handle(transport, request)

        @functools.wraps(send)
        async def sent(client: Any, *args: Any, **options: Any) -> Any:
            answer = await send(client, *args, **options)
            self.about_to(ANSWERED)
            return answer

        transport_type.handle_async_request = handle_async_request
        client_type.send = sent


def write_commands(redis_url: str) -> frozenset[str]:
    """The commands that change something, in small letters, as Redis itself has them."""
    import redis

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        return frozenset(str(name).lower() for name in client.acl_cat("write"))


def kind_of(key: str) -> str:
    """A key without what differs from one render to the next."""
    folder, _, rest = key.partition("/")
    if folder == "ledger":
        name = rest.rpartition("/")[2].removesuffix(".jsonl")
        return f"ledger/<{'call' if name.startswith('call-') else 'seq'}>.jsonl"
    if folder == "renders":
        key = f"renders/{rest.partition('/')[2]}"
    key = re.sub(r"[0-9a-f]{32,}", "<id>", key)
    return CASE.sub("<import>", key)


def _kill(kill: Kill) -> None:
    if kill.whom == "nobody":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the signal arrives; nothing may happen until it has


def _case(text: str) -> str:
    found = CASE.search(text)
    return found[0] if found else ""


def _text(word: object) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  inside an audit hook: no more than needed
            return file.read()
    except OSError:
        return None


def _envelope(word: str) -> tuple[str, str] | None:
    """The task and the body of a message of Celery's."""
    if not word.startswith(("{", "[")):
        return None
    try:
        shape = json.loads(word)
        shape = shape[0] if isinstance(shape, list) else shape
        return str(shape["headers"]["task"]), base64.b64decode(shape["body"]).decode()
    except (ValueError, KeyError, IndexError, TypeError):
        return None
