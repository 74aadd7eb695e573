"""The vault: streams of bytes go in deduplicated, recovery points are committed, streams come out verified."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from pydantic import BaseModel

from drkeeper.errors import FrameCorrupt, KeyMissing, Refused, VaultUnreachable
from drkeeper.recovery_point import StreamRef
from drkeeper.vault.frames import FrameCodec
from drkeeper.vault.header import Header, new_header, pack_header, read_headers
from drkeeper.vault.index import FrameSpan, check_index, read_index
from drkeeper.vault.keys import Identities, Recipients
from drkeeper.vault.layout import HEADER, frame_key, index_key
from drkeeper.vault.records import digest_of, pack, unpack
from drkeeper.vault.regions import Regions
from drkeeper.vault.store import Store, create_once
from drkeeper.vault.writer import Claim, Writer

READ_THREADS = 4
READ_AHEAD_BYTES = 16 << 20
AGE_MAGIC = b"age-encryption.org/v1\n"

M = TypeVar("M", bound=BaseModel)


class Vault:
    """One vault over one or more regions. Thread-safe. `Vault.create` makes one, `Vault.open` opens it.

    Attributes:
        header: What vault.json says.
        regions: Its stores.
        codec: How frames are encoded.
    """

    def __init__(self, header: Header, regions: Regions, identities: Sequence[str]) -> None:
        self.header = header
        self.regions = regions
        self._recipients = Recipients(header.recipients)
        self._identities = Identities(identities, self._recipients)
        self.hash_key = bytes.fromhex(header.hash_key)
        self.codec = FrameCodec(self.hash_key, self._recipients, self._identities, level=header.level)

    @classmethod
    def create(cls, regions: Mapping[str, Store], *, recipients: Sequence[str] = (), level: int = 1) -> "Vault":
        """Make a vault in every region; where some regions hold one already, the others join it.

        Raises:
            Refused: All of them hold it already, or one is sealed to other recipients.
            VaultUnreachable: A region does not answer; those before it may hold the new vault, and a second try
                goes on from there.
        """
        wanted = new_header(Recipients(recipients).texts, level)
        for store in regions.values():
            store.prepare()
        present = {name: store for name, store in regions.items() if store.head(HEADER) is not None}
        if len(present) == len(regions):
            raise Refused(f"there is a vault already in {', '.join(store.url for store in present.values())}")
        if present:
            existing, _ = read_headers(present)
            _same_recipients(existing, recipients)
            wanted = existing
        for name, store in regions.items():
            if name not in present and not create_once(store, HEADER, pack_header(wanted)):
                raise Refused(f"somebody else made a vault in {store.url} at the same moment")
            store.flush()
        return cls(wanted, Regions(regions, {}), ())

    @classmethod
    def open(
        cls,
        regions: Mapping[str, Store],
        *,
        identities: Sequence[str] = (),
        recipients: Sequence[str] | None = None,
    ) -> "Vault":
        """Open the vault; one region that answers is enough to read.

        Args:
            regions: Stores by region name; the first is the primary.
            identities: age private keys; only reading streams of an encrypted vault needs one.
            recipients: What the policy says; None: take the vault's word.

        Raises:
            VaultMissing, VaultUnreachable: No region has it, or none answers.
            KeyMissing: The identity is not this vault's.
            Refused: The policy's recipients are not the vault's.
        """
        header, unavailable = read_headers(regions)
        if recipients is not None:
            _same_recipients(header, recipients)
        return cls(header, Regions(regions, unavailable), identities)

    # --- what it is ---

    @property
    def encrypted(self) -> bool:
        """Whether frames are sealed."""
        return bool(self.header.recipients)

    @property
    def can_read(self) -> bool:
        """Whether streams can be read: not encrypted, or an identity was given."""
        return self._identities.can_open

    @property
    def writable(self) -> bool:
        """Whether the primary region was there when the vault was opened."""
        return self.regions.primary not in self.regions.unavailable

    @property
    def primary(self) -> Store:
        """The primary region's store: for leases.

        Raises:
            VaultUnreachable: It was not there when the vault was opened.
        """
        name = self.regions.primary
        if not self.writable:
            raise VaultUnreachable(f"primary region {name} is not available: {self.regions.unavailable[name]}")
        return self.regions.stores[name]

    def first_reachable(self) -> Store:
        """The first region that answers now: for what must go on when the primary is lost.

        Raises:
            VaultUnreachable: None does.
        """
        failure: VaultUnreachable | None = None
        for name, store in self.regions.available().items():
            try:
                store.head(HEADER)
            except VaultUnreachable as error:
                self.regions.shun(name)
                failure = error
            else:
                return store
        raise failure or VaultUnreachable("no region of the vault is available")

    def frame_key(self, frame_id: str) -> str:
        """Where a frame of this vault lies."""
        return frame_key(frame_id, encrypted=self.encrypted)

    # --- streams ---

    @contextmanager
    def writing(self, claim: Claim, *, threads: int = 4) -> Iterator[Writer]:
        """A session that writes streams and commits points, under the lease `write`.

        On entry the primary's frames are listed, once. Leaving it joins the threads; what was not committed stays as
        unreferenced frames, which the next session reuses and `prune` sweeps.
        """
        with Writer(self.primary, self.header, self.codec, self.hash_key, claim, threads=threads) as writer:
            yield writer

    def read(
        self, ref: StreamRef, *, region: str | None = None, on_bytes: Callable[[int], None] | None = None
    ) -> Iterator[bytes]:
        """The stream's plain bytes in order, each frame verified before it is given out.

        Reads ahead with a few threads in bounded memory. A frame that is missing or damaged in one region comes from
        the next.

        Args:
            ref: Of a stream record.
            region: Read from this region alone.
            on_bytes: Told the size of each frame as it is given out.

        Raises:
            KeyMissing: At once, where an encrypted vault was opened without its identity.
            FrameMissing, FrameCorrupt, VaultUnreachable: While iterating; no region has the frame.
        """
        if not self.can_read:
            raise KeyMissing("the vault is encrypted, and no identity was given")
        return self._read(ref, region, on_bytes)

    def _read(self, ref: StreamRef, region: str | None, on_bytes: Callable[[int], None] | None) -> Iterator[bytes]:
        spans = self.frames_of(ref.index_id, region=region)
        given = 0
        pool = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="vault-read")
        try:
            for plain in _read_ahead(pool, spans, partial(self.read_frame, region=region)):
                given += len(plain)
                yield plain
                if on_bytes is not None:
                    on_bytes(len(plain))
        finally:
            pool.shutdown(cancel_futures=True)
        if given != ref.size_bytes:
            raise FrameCorrupt(f"stream {ref.index_id} gave {given} bytes; its record says {ref.size_bytes}")

    def read_frame(self, span: FrameSpan, *, region: str | None = None) -> bytes:
        """One frame's plain bytes, verified."""

        def decode(stored: bytes) -> bytes:
            return self.codec.decode(stored, span.frame_id, max_bytes=self.header.cutter.maximum_bytes)

        return self.regions.fetch(self.frame_key(span.frame_id), decode, only=region)

    def frames_of(self, index_id: str, *, region: str | None = None) -> Iterator[FrameSpan]:
        """The frames of a stream in order. Needs no identity: see docs/adr/0002."""
        return read_index(self.index_bytes(index_id, region=region), index_id)

    def index_bytes(self, index_id: str, *, region: str | None = None) -> bytes:
        """A stream index as it is stored, verified."""

        def decode(stored: bytes) -> bytes:
            check_index(stored, index_id, self.codec)
            return stored

        return self.regions.fetch(index_key(index_id), decode, only=region)

    def stored_frame(self, span: FrameSpan, *, region: str | None = None) -> bytes:
        """One frame as it is stored, verified as far as our keys allow: without an identity, that it is sealed."""

        def decode(stored: bytes) -> bytes:
            if self.can_read:
                self.codec.decode(stored, span.frame_id, max_bytes=self.header.cutter.maximum_bytes)
            elif not stored.startswith(AGE_MAGIC):
                raise FrameCorrupt(f"frame {span.frame_id} is no age file")
            return stored

        return self.regions.fetch(self.frame_key(span.frame_id), decode, only=region)

    # --- small records ---

    def create_record(self, key: str, model: BaseModel) -> bool:
        """Write a record to the first region that answers; False if the key is taken. Records are never changed.

        `replicate` brings it to the other regions.
        """
        data = self.record_bytes(model)
        failure: VaultUnreachable | None = None
        for name, store in self.regions.available().items():
            try:
                return create_once(store, key, data)
            except VaultUnreachable as error:
                self.regions.shun(name)
                failure = error
        raise failure or VaultUnreachable("no region of the vault is available")

    def read_record(self, key: str, model: type[M], *, region: str | None = None) -> M:
        """A record, from the first region that has it whole.

        Raises:
            FrameMissing: There is none; RecordCorrupt: it is damaged everywhere.
        """
        return self.regions.fetch(key, lambda data: unpack(data, model, self.hash_key, key)[0], only=region)

    def record_keys(self, prefix: str) -> list[str]:
        """Keys of the records below a prefix (`drills/`), of all regions that answer, sorted: oldest first."""
        return list(self.regions.keys(prefix))

    def delete_record(self, key: str) -> None:
        """Remove a record from every region; one that does not answer is an error."""
        for store in self.regions.stores.values():
            store.delete([key])

    def record_bytes(self, model: BaseModel) -> bytes:
        """A record as it is stored, the same bytes in every region."""
        return pack(model, self.hash_key)

    def digest(self, model: BaseModel) -> str:
        """What a stored record of this content carries as its digest."""
        return digest_of(model.model_dump(mode="json"), self.hash_key)


def _read_ahead(
    pool: ThreadPoolExecutor, spans: Iterator[FrameSpan], read: Callable[[FrameSpan], bytes]
) -> Iterator[bytes]:
    """Results in order, with at most READ_AHEAD_BYTES asked for and not yet given out (but always one frame)."""
    pending: deque[tuple[int, Future[bytes]]] = deque()
    ahead = 0
    for span in spans:
        while pending and ahead + span.size_bytes > READ_AHEAD_BYTES:
            size, future = pending.popleft()
            yield future.result()
            ahead -= size
        pending.append((span.size_bytes, pool.submit(read, span)))
        ahead += span.size_bytes
    while pending:
        yield pending.popleft()[1].result()


def _same_recipients(header: Header, recipients: Sequence[str]) -> None:
    if set(header.recipients) != set(recipients):
        raise Refused(
            f"the vault is sealed to {', '.join(header.recipients) or 'nobody'}, "
            f"the policy says {', '.join(sorted(recipients)) or 'nobody'}",
            hint="recipients are fixed when a vault is made; make a new vault for other ones",
        )
