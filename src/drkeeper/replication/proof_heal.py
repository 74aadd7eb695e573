"""Copy damaged objects of a replica again from the source, where that has them whole.

A listing does not show that bytes rotted, so `replicate` passes such objects by: this copies exactly those that a
verification named. The other way round is for people to decide: what is damaged in the source is told with its command.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from shlex import quote

from drkeeper.buckets.copied import Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.replication.difference import entry, is_same
from drkeeper.replication.proof_records import Damaged
from drkeeper.replication.proof_stored import as_listed
from drkeeper.replication.proof_words import RESTORE
from drkeeper.replication.rehash import rehash
from drkeeper.replication.shard_run import has_opaque_etags

OLDER = "`drkeeper restore --system {system} --only {key}` brings back an older version, where one is kept"
REPLICATE = "`drkeeper replicate --system {system}` brings what the source holds now"


@dataclass(frozen=True)
class Healer:
    """Heals one replica.

    Attributes:
        copier: From the source to the replica.
    """

    system: str
    copier: Copier

    def heal(self, replica: Iterable[Damaged], source: Iterable[Damaged]) -> Iterator[Check]:
        """One check for each object: passed where it was copied again, and re-hashed.

        Args:
            replica: What is damaged there.
            source: What is damaged there; nothing is done about it.

        Raises:
            Interrupted: What was healed stays healed.
        """
        for each in replica:
            try:
                yield self._heal_one(each)
            except Interrupted:
                raise
            except DrkeeperError as error:
                yield self._failed(each.key, str(error), "see what is wrong with `drkeeper check`, then verify again")
        for each in source:
            subject = f"{self.system}.source.{each.key}"
            remedy = RESTORE.format(system=self.system, key=quote(each.key))
            yield Check(subject=subject, verdict="failed", detail=f"was left as it is: {each.detail}", remedy=remedy)

    def _heal_one(self, damaged: Damaged) -> Check:
        source, replica = self.copier.source, self.copier.replica
        there, here = as_listed(replica, damaged.key), as_listed(source, damaged.key)
        if there is None or there.etag != damaged.etag:
            return self._passed(damaged.key, "it is another object by now")
        if here is None:
            return self._failed(damaged.key, "the source does not have it", OLDER)
        if not is_same(here, entry(there, opaque=has_opaque_etags(self.copier))):
            return self._failed(damaged.key, "the source has another object by that name", REPLICATE)
        original = rehash(source, here, self.copier.pace)
        if original.state != "intact":
            return self._failed(damaged.key, f"the source's is {original.state}: {original.detail}", OLDER)
        self.copier.copy(Wanted(here.key, here.size_bytes, here.etag, here.storage_class))
        copied = as_listed(replica, damaged.key)
        came = rehash(replica, copied, self.copier.pace) if copied else None
        if came is None or came.state != "intact":
            state = f"{came.state}: {came.detail}" if came else "not there"
            return self._failed(damaged.key, f"it was copied again, and is {state}", "look at the replica's storage")
        return self._passed(damaged.key, "copied again from the source, and re-hashed")

    def _passed(self, key: str, detail: str) -> Check:
        return Check(subject=f"{self.system}.replica.{key}", verdict="passed", detail=detail)

    def _failed(self, key: str, detail: str, remedy: str) -> Check:
        return Check(
            subject=f"{self.system}.replica.{key}",
            verdict="failed",
            detail=detail,
            remedy=remedy.format(system=self.system, key=quote(key)),
        )
