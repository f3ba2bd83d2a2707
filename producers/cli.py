"""The command line: which verbs are there, and which exit code does a failure get?"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from producers.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = Callable[[argparse.Namespace], int]

_LATER = {
    "rerender": "buy a product's picture anew, with a note",
    "approve": "accept renders in review",
    "reject": "refuse renders in review",
    "watch": "import every feed that appears in a bucket or folder",
    "export": "write files ready for a shop",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        sys.stderr.write("\nskuscene: stopped; what was enqueued goes on\n")
        return Exit.FAILED
    except BrokenPipeError:
        return Exit.FAILED
    except Exception as exc:
        code = _code_of(exc)
        if code is None:
            raise
        sys.stderr.write(f"skuscene {options.verb}: {exc}\n")
        return code


def build_parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    parser = argparse.ArgumentParser(
        prog="skuscene",
        description=(
            "Render a shop's catalog into staged product scenes, without paying twice or losing "
            "a picture."
        ),
        epilog="Results go to standard output, everything else to standard error. Exit codes: 0 "
        "done, 1 something failed, 2 wrong usage or unusable input, 3 done with rejected rows, "
        "4 a service can't be reached.",
    )
    parser.add_argument("--version", action="version", version=f"skuscene {version('skuscene')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    _add_demo(verbs)
    _add_import(verbs)
    _add_reports(verbs)
    _add_controls(verbs)
    _add_retry(verbs)
    _add_parked(verbs)
    _add_facts(verbs)
    _add_processes(verbs)
    for name, what in _LATER.items():
        later = _verb(verbs, name, f"{what} (not built yet)", _run_later)
        later.set_defaults(passes_on=True)
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    run: Run,
    example: str = "",
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=example or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Only what is parsed by another program may have options that are unknown here.
    parser.set_defaults(run=run, passes_on=False)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _add_demo(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _verb(
        verbs,
        "demo",
        "run the whole job here, for free: private Redis, directory store, offline renderer",
        _run_demo,
        "  skuscene demo                      the catalog that ships with Skuscene\n"
        "  skuscene demo products.csv         your own feed, its photos fetched from its links",
    )
    demo.add_argument("feed", nargs="?", help="a catalog export; default: the one that ships")
    demo.add_argument("--scenes", metavar="FILE", help="scene book, or names of built-in scenes")
    demo.add_argument("--images", metavar="DIR", help="folder with the feed's photos")
    demo.add_argument("--out", metavar="DIR", default="demo-out", help="[demo-out]")


def _add_import(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "import",
        "turn a catalog export into renders and enqueue them",
        _run_import,
        "  skuscene import products.csv --dry-run             what would be bought, and its price\n"
        "  skuscene import products.csv --scenes scenes.yaml --wait\n"
        "  skuscene import feed.tsv --map sku=ArtNr,title=Name,image=Bild1 --images photos/\n\n"
        "Rows that can't be used are listed with their number in rejected.jsonl; the others go "
        "on.\nWhat the catalog owns unchanged is reused and costs nothing.",
    )
    parser.add_argument("feed", metavar="FEED", help="the file that the shop gave you")
    parser.add_argument(
        "--scenes", metavar="FILE", help="scene book, or names of built-in scenes [living-room]"
    )
    parser.add_argument("--format", metavar="F", help="the feed's format [found out]")
    parser.add_argument("--map", metavar="FIELD=COLUMN,...", help="which column is which field")
    parser.add_argument(
        "--images", metavar="DIR", help="take photos from this folder, by the links' file names"
    )
    parser.add_argument("--id", metavar="ID", help="the import's id [time and feed's hash]")
    parser.add_argument("--catalog", metavar="NAME", help="which catalog it is [the feed's name]")
    parser.add_argument("--model", metavar="M", help="image model [SKUSCENE_MODEL: nano-banana]")
    parser.add_argument("--budget", metavar="USD", help="pause before spending more than this")
    parser.add_argument(
        "--lane",
        choices=("standard", "batch"),
        default="standard",
        help="a call now, or half-price batches within about a day [standard]",
    )
    parser.add_argument("--rebuy", metavar="CAUSE,...", help="buy for these causes too, e.g. model")
    parser.add_argument("--pilot", type=int, metavar="N", help="render N first, then pause")
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="only the first N products that have photos"
    )
    parser.add_argument("--dry-run", action="store_true", help="count and price; enqueue nothing")
    parser.add_argument("--yes", action="store_true", help="agree to the price")
    parser.add_argument("--wait", action="store_true", help="wait until it is done")
    _json(parser)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = "must be at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _add_reports(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = _verb(verbs, "status", "show how one import stands, or all", _run_status)
    status.add_argument("id", nargs="?", metavar="ID")
    status.add_argument("--watch", action="store_true", help="show it live until it is over")
    _json(status)
    verify = _verb(
        verbs,
        "verify",
        "read every object that a manifest names and compare it",
        _run_verify,
        "  skuscene verify ID                a list of what is damaged, and what can be done\n"
        "  skuscene verify ID --repair --wait\n\n"
        "--repair asks workers to make again what can be made from what is left: delivery files\n"
        "from their masters, records, contact sheet, pointers. It buys nothing, and puts a file\n"
        "back only with the very bytes that the manifest names.",
    )
    verify.add_argument("id", metavar="ID")
    verify.add_argument(
        "--revision", type=_positive, metavar="N", help="of this manifest revision [the newest]"
    )
    verify.add_argument("--repair", action="store_true", help="have it made again where it can be")
    verify.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        help="with --repair: wait for the workers and verify again [on a terminal]",
    )
    _json(verify)
    _add_costs(verbs)
    gallery = _verb(verbs, "gallery", "say where an import's contact sheet is", _run_gallery)
    gallery.add_argument("id", metavar="ID")


def _add_costs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    costs = _verb(
        verbs,
        "costs",
        "show where the money went, from the ledger of all calls",
        _run_costs,
        "  skuscene costs                            all imports, and a table for the bill\n"
        "  skuscene costs ID --by scene,status\n"
        "  skuscene costs --since 2026-11-01 --by day,model --json\n\n"
        "Doubtful calls left and were never answered: they may have been billed, and are part of "
        "no sum.\nNeeds the store only. What a worker has not written yet "
        "(SKUSCENE_LEDGER_FLUSH_S) is not in it.",
    )
    costs.add_argument("id", nargs="?", metavar="ID", help="one import only")
    costs.add_argument(
        "--by",
        metavar="WHAT,...",
        help="import, model, scene, day, status [import,model; of one import scene,status]",
    )
    costs.add_argument("--since", metavar="DAY", help="from this UTC day on, as in 2026-11-22")
    _json(costs)


def _add_controls(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    intents = {
        "pause": "stop sending calls; those in flight end and are kept",
        "resume": "go on after a pause",
        "cancel": "send no further call and publish what there is",
    }
    for name, what in intents.items():
        told = _verb(verbs, name, what, _run_control)
        told.add_argument("id", metavar="ID")
        if name == "resume":
            told.add_argument("--budget", metavar="USD", help="and let it spend this much in all")
    recover = _verb(
        verbs, "recover", "rebuild from the store what Redis knew of an import", _run_recover
    )
    recover.add_argument("id", metavar="ID")


def _add_retry(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "retry",
        "run failed or blocked renders of a published import again",
        _run_retry,
        "  skuscene retry ID                              whatever failed\n"
        "  skuscene retry ID --reason model.unavailable   whatever ended for this reason\n"
        "  skuscene retry ID --sku A-17 --wait\n"
        "  skuscene retry ID --status cancelled           go on with a cancelled import\n\n"
        "All other rows keep their line. The manifest's next revision appears when all of it is "
        "done;\nno file that an earlier one names ever changes. The import's budget counts for all "
        "revisions.",
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument(
        "--status",
        metavar="S,...",
        help="failed, blocked, cancelled [failed; with --reason: any of them]",
    )
    parser.add_argument("--reason", metavar="CODE", help="only rows that ended for this reason")
    parser.add_argument(
        "--sku", metavar="SKU", action="append", help="only rows of this SKU; may be repeated"
    )
    parser.add_argument("--wait", action="store_true", help="wait until it is done")
    _json(parser)


def _add_parked(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "parked",
        "show and replay messages that could not be read",
        _run_parked,
        "  skuscene parked list --task skuscene.generate\n"
        "  skuscene parked show NAME\n"
        "  skuscene parked replay --all               after an upgrade",
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="list|show|replay")
    listed = actions.add_parser("list", help="a line for each: name, task, when, size, why")
    listed.add_argument("--task", metavar="T", help="only messages of this task")
    _json(listed)
    shown = actions.add_parser("show", help="print one whole, as JSON")
    shown.add_argument("name", metavar="NAME")
    replayed = actions.add_parser(
        "replay", help="enqueue again what this version can read; the rest stays parked"
    )
    replayed.add_argument("names", nargs="*", metavar="NAME")
    replayed.add_argument("--all", action="store_true", help="every parked message")
    replayed.add_argument("--task", metavar="T", help="with --all: only messages of this task")


def _add_facts(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = _verb(verbs, "models", "list image models, their prices and their dates", _run_models)
    _json(models)
    quota = _verb(
        verbs,
        "quota",
        "show how the model's limits stand: set, found, used",
        _run_quota,
        "  skuscene quota\n\n"
        "A line per model. Limits are set with SKUSCENE_QUOTA_...; what is not set is found by\n"
        "trying, and kept.",
    )
    _json(quota)
    settings = _verb(verbs, "settings", "list every setting and its value", _run_settings)
    _json(settings)
    doctor = _verb(verbs, "doctor", "check settings, Redis, store, workers and model", _run_doctor)
    doctor.add_argument(
        "--live", action="store_true", help="buy one real picture (at most 0.10 USD)"
    )
    _json(doctor)


def _add_processes(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    worker = _verb(verbs, "worker", "run workers, one process per queue", _run_worker)
    worker.add_argument(
        "--queues",
        default="prepare,generate,finish,control",
        metavar="Q,...",
        help="[prepare,generate,finish,control]",
    )
    worker.add_argument("--concurrency", type=_positive, metavar="N", help="[the settings']")
    worker.add_argument("--log-level", default="INFO", help="DEBUG to ERROR [INFO]")
    simulator = _verb(
        verbs,
        "simulator",
        "run a stand-in for the Gemini API, which sells for nothing",
        _run_sim,
        "  skuscene simulator --port 8089\n"
        "  skuscene simulator --port 8089 --latency-s 10-40 --rate 503=0.1\n\n"
        "docs/simulator.md lists every option and every outcome that can be ordered.",
    )
    simulator.set_defaults(passes_on=True)


def _run_later(options: argparse.Namespace) -> int:
    sys.stderr.write(f"skuscene {options.verb}: not built yet\n")
    return Exit.USAGE


# Each verb loads its module when it is called: `skuscene --help` must not pay for Redis and boto3.


def _run_demo(options: argparse.Namespace) -> int:
    from producers.commands.demo import run_demo

    return run_demo(options)


def _run_import(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_import

    return run_import(options)


def _run_status(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_status

    return run_status(options)


def _run_verify(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_verify

    return run_verify(options)


def _run_costs(options: argparse.Namespace) -> int:
    from producers.commands.costs import run_costs

    return run_costs(options)


def _run_gallery(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_gallery

    return run_gallery(options)


def _run_control(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_control

    return run_control(options)


def _run_retry(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_retry

    return run_retry(options)


def _run_recover(options: argparse.Namespace) -> int:
    from producers.commands.imports import run_recover

    return run_recover(options)


def _run_parked(options: argparse.Namespace) -> int:
    from producers.commands import parked

    runs = {"list": parked.run_list, "show": parked.run_show, "replay": parked.run_replay}
    return runs[options.what](options)


def _run_models(options: argparse.Namespace) -> int:
    from producers.commands.facts import run_models

    return run_models(options)


def _run_quota(options: argparse.Namespace) -> int:
    from producers.commands.limits import run_quota

    return run_quota(options)


def _run_settings(options: argparse.Namespace) -> int:
    from producers.commands.facts import run_settings

    return run_settings(options)


def _run_doctor(options: argparse.Namespace) -> int:
    from producers.commands.doctor import run_doctor

    return run_doctor(options)


def _run_worker(options: argparse.Namespace) -> int:
    from producers.commands.processes import run_worker

    return run_worker(options)


def _run_sim(options: argparse.Namespace) -> int:
    from producers.commands.processes import run_simulator

    return run_simulator(options)


def _code_of(exc: Exception) -> Exit | None:
    """The exit code of an error that is an answer; ``None`` for one that is our own fault."""
    from producers.failures import exit_code

    return exit_code(exc)


if __name__ == "__main__":
    sys.exit(main())
