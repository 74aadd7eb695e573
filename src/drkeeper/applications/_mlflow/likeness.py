"""Whether two predictions are the same. Pure.

Libraries and processors may differ between a platform and the place where it is restored, and with them the last bits
of a sum: floats need only be equal to a millionth. Whole numbers, texts and shapes are equal or not.
"""

import json
import math

from pydantic import JsonValue

RELATIVE, ABSOLUTE = 1e-6, 1e-12
SHOWN = 200


def difference(expected: JsonValue, found: JsonValue, at: str = "") -> str:
    """Where two predictions differ first, in words; "" where they do not."""
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{at or 'the prediction'} has {len(found)} entries, and had {len(expected)}"
        pairs = ((f"{at}[{index}]", *pair) for index, pair in enumerate(zip(expected, found, strict=True)))
        return next((said for where, old, new in pairs if (said := difference(old, new, where))), "")
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            return f"{at or 'the prediction'} has {', '.join(found)}, and had {', '.join(expected)}"
        inner = ((f"{at}.{name}", expected[name], found[name]) for name in expected)
        return next((said for where, old, new in inner if (said := difference(old, new, where))), "")
    if _alike(expected, found):
        return ""
    return f"{at or 'the prediction'} is {shown(found)}, and was {shown(expected)}"


def shown(value: JsonValue) -> str:
    """A prediction in one short line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _alike(expected: JsonValue, found: JsonValue) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(found, float) and isinstance(expected, int):
        return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return expected == found
