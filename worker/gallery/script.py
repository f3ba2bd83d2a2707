"""How does text that a shop wrote get into a script without becoming one?"""

from __future__ import annotations

import json
from typing import Final

# Inside JSON these stand in strings only, where the escape means the same.
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_in_script(value: object) -> str:
    """Write JSON that may stand in a script element, a script file, and old JavaScript.

    Plain ASCII: U+2028 and U+2029 were line ends in JavaScript before 2019.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)
