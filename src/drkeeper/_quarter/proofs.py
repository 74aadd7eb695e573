"""The verifications of a quarter, by level."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from drkeeper._quarter.sources import ProofSeen
from drkeeper.report.quarter_record import ProofLine

LEVELS = ("stored", "intact", "restorable", "usable")


def proof_lines(proofs: Sequence[ProofSeen], *, began_at: datetime, until: datetime) -> tuple[ProofLine, ...]:
    """One line a level, lowest first; levels that nobody verified are there, too."""
    within = [proof for proof in proofs if began_at <= proof.at < until]
    return tuple(_line(level, [proof for proof in within if proof.level == level]) for level in LEVELS)


def _line(level: str, own: Sequence[ProofSeen]) -> ProofLine:
    count = Counter(proof.verdict for proof in own)
    good = [proof for proof in own if proof.verdict == "passed"]
    newest = max(good, key=lambda proof: proof.at, default=None)
    return ProofLine(
        level=level,
        passed=count["passed"],
        failed=count["failed"],
        not_checked=count["not checked"],
        newest_at=newest.at if newest else None,
        newest_point=newest.point_id if newest else "",
        smallest_sample=min((proof.sample for proof in good), default=None),
    )


def disproven_points(proofs: Sequence[ProofSeen], *, until: datetime) -> frozenset[str]:
    """Points in which a verification found something wrong that no later success at its level, or above, answered."""
    open_levels: dict[str, set[int]] = {}
    for proof in sorted((each for each in proofs if each.at < until), key=lambda each: each.at):
        own, reached = open_levels.setdefault(proof.point_id, set()), LEVELS.index(proof.level)
        if proof.verdict == "failed":
            own.add(reached)
        elif proof.verdict == "passed":
            own.difference_update(range(reached + 1))
    return frozenset(point_id for point_id, own in open_levels.items() if own)
