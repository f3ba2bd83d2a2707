"""How does one stage's Celery worker start, and how does it say that it can't?

``python -m worker.main`` is ``celery`` with our exit codes: 2 for a setting, 4 for a service.
"""

from __future__ import annotations

import sys
import warnings

from catalog.settings import SettingsError


def main() -> int:
    """Run Celery's command line."""
    # In a container the worker is root of nothing else; Celery's warning would hide our lines.
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    from celery.__main__ import main as celery_main

    try:
        celery_main()
    except SettingsError as exc:
        sys.stderr.write(f"skuscene worker: {exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
