"""`vault.json`: what every reader and writer of a vault must agree on."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import AwareDatetime, Field

from drkeeper import clock
from drkeeper.errors import DrkeeperError, RecordCorrupt, Refused, VaultMissing, VaultUnreachable
from drkeeper.recovery_point import Record
from drkeeper.vault.frames import CutterOptions
from drkeeper.vault.layout import HEADER
from drkeeper.vault.records import pack, unpack
from drkeeper.vault.store import ObjectMissing, Store


class Header(Record):
    """The same bytes in every region.

    Attributes:
        hash_key: 32 bytes, hexadecimal. Whoever may read the store may read it: see docs/adr/0001.
        level: Of zstd.
        recipients: age public keys; none: the vault is not encrypted. Recorded here, so that a backup cannot be
            sealed to other keys by a changed policy alone.
    """

    format: Literal[1] = 1
    vault_id: str
    created_at: AwareDatetime
    hash: Literal["blake3-keyed-256"] = "blake3-keyed-256"
    hash_key: str = Field(pattern="^[0-9a-f]{64}$")
    cutter: CutterOptions
    compression: Literal["zstd"] = "zstd"
    level: int = Field(1, ge=1, le=19)
    recipients: tuple[str, ...] = ()


def new_header(recipients: Sequence[str], level: int) -> Header:
    """With fresh random keys."""
    return Header(
        vault_id=secrets.token_hex(8),
        created_at=clock.now(),
        hash_key=secrets.token_hex(32),
        cutter=CutterOptions(seed=secrets.randbits(63)),
        level=level,
        recipients=tuple(recipients),
    )


def pack_header(header: Header) -> bytes:
    """As it is stored."""
    return pack(header, None)


def read_headers(regions: Mapping[str, Store]) -> tuple[Header, dict[str, str]]:
    """The vault's header, and why regions cannot be used, by name.

    Raises:
        VaultMissing: Every region that answers holds no vault.
        VaultUnreachable: None answers.
        RecordCorrupt: A header is damaged, and no region has it whole.
        Refused: Two regions hold different vaults.
    """
    headers: dict[str, Header] = {}
    failures: dict[str, DrkeeperError] = {}
    for name, store in regions.items():
        try:
            headers[name] = unpack(store.get(HEADER), Header, None, f"vault.json of region {name}")[0]
        except ObjectMissing:
            failures[name] = VaultMissing(f"region {name} ({store.url}) holds no vault")
        except (VaultUnreachable, RecordCorrupt) as error:
            failures[name] = error
    if not headers:
        raise _why_none(failures)
    header = next(iter(headers.values()))
    for name, other in headers.items():
        if other != header:
            raise Refused(f"region {name} holds another vault ({other.vault_id}) than the rest ({header.vault_id})")
    return header, {name: str(error) for name, error in failures.items()}


def _why_none(failures: Mapping[str, DrkeeperError]) -> DrkeeperError:
    for kind in (RecordCorrupt, VaultUnreachable):
        for error in failures.values():
            if isinstance(error, kind) and not isinstance(error, VaultMissing):
                return error
    return next(iter(failures.values()))
