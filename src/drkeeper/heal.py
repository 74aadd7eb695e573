"""Put right what `verify` found broken: from a region that has it whole, else out of the way of the next backup.

A backup does not store again what the vault holds by name. So a frame that no region has whole is deleted: the next
backup stores it anew, if the protected data still have those bytes. The points that named it were broken before.
"""

from collections.abc import Iterator, Mapping, Sequence

from drkeeper.errors import FrameCorrupt, FrameMissing
from drkeeper.facts import Check
from drkeeper.vault.index import FrameSpan
from drkeeper.vault.layout import index_key
from drkeeper.vault.vault import Vault
from drkeeper.vault.writer import Claim

LOST = "no region has it whole; the next backup stores it anew, if the data still hold it"


def heal(
    vault: Vault,
    frames: Mapping[str, Sequence[FrameSpan]],
    indices: Mapping[str, Sequence[str]],
    claim: Claim,
) -> Iterator[Check]:
    """Mend each broken object of each region, under the lease `write`; one check for each.

    Args:
        vault: Opened with its identity, where it is encrypted: else damage cannot be told.
        frames: Broken frames, by region.
        indices: Ids of broken stream indices, by region.
        claim: Looked at before each write.

    Raises:
        LeaseLost, VaultUnreachable, VaultFull: What was mended so far stays mended.
    """
    for region, spans in frames.items():
        for span in spans:
            yield _mend_frame(vault, region, span, claim)
    for region, ids in indices.items():
        for index_id in ids:
            yield _mend_index(vault, region, index_id, claim)


def _mend_frame(vault: Vault, region: str, span: FrameSpan, claim: Claim) -> Check:
    store, key = vault.regions.stores[region], vault.frame_key(span.frame_id)
    subject = f"{region}.{span.frame_id}"
    claim.check()
    try:
        store.put(key, vault.stored_frame(span))
    except (FrameMissing, FrameCorrupt):
        store.delete([key])
        return Check(subject=subject, verdict="failed", detail=LOST, remedy="take a backup now, then verify it")
    return Check(subject=subject, verdict="passed", detail="copied back from a region that has it whole")


def _mend_index(vault: Vault, region: str, index_id: str, claim: Claim) -> Check:
    subject = f"{region}.{index_id}"
    claim.check()
    try:
        vault.regions.stores[region].put(index_key(index_id), vault.index_bytes(index_id))
    except (FrameMissing, FrameCorrupt):
        return Check(
            subject=subject,
            verdict="failed",
            detail="no region has this stream index whole: the points that name it cannot be restored from it",
            remedy="take a backup now, and forget those points",
        )
    return Check(subject=subject, verdict="passed", detail="copied back from a region that has it whole")
