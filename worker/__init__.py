"""The workers: prepare the references, buy the pictures, finish and publish them."""


def __getattr__(name: str) -> object:
    """Make ``celery -A worker worker`` work without loading anything before it is asked for."""
    if name == "celery":
        from worker.app import make_celery

        app = globals()["celery"] = make_celery()
        return app
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
