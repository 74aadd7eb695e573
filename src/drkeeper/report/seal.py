"""Signed evidence inside a page: the envelope goes along with the report, so that one file can be verified anywhere.

It stands at the end, in a `<template>`, which a browser does not show. Base64 and JSON's own marks need no escaping.
"""

import re
from dataclasses import dataclass

_OPEN = '<template id="evidence" data-drkeeper="{version}">'
_BLOCK = re.compile(r'<template id="evidence" data-drkeeper="([^"<>]*)">\n(.*?)\n</template>\n', re.DOTALL)


@dataclass(frozen=True)
class Seal:
    """What a report says of the evidence that it carries.

    Attributes:
        envelope: The DSSE envelope as it is stored.
        key_ids: SHA-256 of the public keys that say that they signed it.
        number: Of this evidence in its vault.
        previous_drill: Whose evidence came before it; "" where this is the first.
        previous_sha256: Of that envelope.
    """

    envelope: str
    key_ids: tuple[str, ...]
    number: int
    previous_drill: str = ""
    previous_sha256: str = ""


def seal_page(page: str, seal: Seal, *, version: str) -> str:
    """The page with its evidence at the end.

    Args:
        page: Ends with a body.
        seal: What goes along.
        version: Of the drkeeper that renders it: only the same one can render it again to the byte.
    """
    before, _, after = page.rpartition("</body>")
    block = f"{_OPEN.format(version=version)}\n{seal.envelope.strip()}\n</template>\n"
    return f"{before}{block}</body>{after}"


def sealed_in(page: str) -> tuple[str, str] | None:
    """The envelope in a page, and the version that rendered it; None where there is none, or more than one."""
    found = _BLOCK.findall(page)
    return (found[0][1], found[0][0]) if len(found) == 1 else None
