"""Which backups were begun, and what came of them, by the audit log: pruned points are in it, and failures, too."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from drkeeper._observation.records import Records
from drkeeper.audit import Link, runs
from drkeeper.known import BackupRun, BackupRuns
from drkeeper.vault.layout import AUDIT
from drkeeper.vault.vault import Vault

LOOKED_BACK = timedelta(days=90)
LINKS_READ = 2000
READ_AT_ONCE = 100
BACKUP = "backup"
GIVEN_UP = timedelta(hours=12)
"""A run that has said nothing of its end for so long was killed."""


class Runs:
    """The newest links of a vault's audit log, as far back as `LOOKED_BACK`, and as `LINKS_READ` links."""

    def __init__(self) -> None:
        self._links: Records[Link, Link] = Records(Link, lambda link: link)

    def look(self, vault: Vault, policy: str, now: datetime) -> BackupRuns | None:
        """Backups of one policy; None where there is no log."""
        keys = vault.record_keys(AUDIT)
        wanted: list[Link] = []
        at = len(keys)
        while at > 0 and len(keys) - at < LINKS_READ:
            begin = max(0, at - READ_AT_ONCE)
            part = self._links.all(vault, keys[begin:at])
            wanted, at = [*part, *wanted], begin
            if part and all(link.at < now - LOOKED_BACK for link in part):
                break
        self._links.forget_all_but(keys[at:])
        if not wanted:
            return None
        since = min(link.at for link in wanted)
        return BackupRuns(since, list(_backups(wanted, policy, now)), cut=at > 0)


def _backups(links: Sequence[Link], policy: str, now: datetime) -> Iterator[BackupRun]:
    ours = [link for link in links if link.policy == policy and link.command == BACKUP and not _of_less(link)]
    for own in runs(ours).values():
        began = next((link for link in own if link.event == "began"), None)
        ended = next((link for link in own if link.event == "ended"), None)
        if ended is not None:
            short = ended.outcome != "ok" or bool(ended.detail.get("partial")) or bool(ended.detail.get("lacking"))
            yield BackupRun((began or ended).at, "short" if short else "whole")
        elif began is not None:
            yield BackupRun(began.at, "at work" if now - began.at < GIVEN_UP else "short")


def _of_less(link: Link) -> bool:
    """Whether it is no backup of the platform: an undo point of a restore, or of systems that somebody named."""
    return link.detail.get("purpose") == "undo" or bool(link.detail.get("selected"))
