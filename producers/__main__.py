"""``python -m producers`` is ``skuscene``."""

from __future__ import annotations

import sys

from producers.cli import main

sys.exit(main())
