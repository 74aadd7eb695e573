"""Requests to one bucket: signed, bounded in time, tried again where that helps, errors translated.

Keys go out exactly as they are. No answer is larger than what its caller asked for: large objects are read in ranges,
each of which is tried again by itself, so that a connection that is cut costs one range.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote, urlsplit

from drkeeper import clock
from drkeeper.buckets.answers import PASSING, THROTTLING, error_of, wait_seconds
from drkeeper.buckets.credentials import credentials_for
from drkeeper.buckets.errors import BucketUnreachable, BytesDamaged, ObjectChanged
from drkeeper.buckets.memory import return_large_blocks
from drkeeper.buckets.options import BucketOptions
from drkeeper.buckets.signing import Signer
from drkeeper.buckets.transport import NoAnswer, Reply, Transport, Upload
from drkeeper.errors import DrkeeperError, Interrupted, Refused
from drkeeper.throttle import current_stop

RANGE_BYTES = 8 << 20
OK = range(200, 300)
READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Answer:
    """An answer that is no error; names of headers in lower case.

    Attributes:
        tries: After how many; of those before the last, some may have done what was asked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    tries: int = 1


@dataclass(frozen=True)
class _Failure:
    """A try that failed; `passing`: another one may go better."""

    problem: DrkeeperError
    passing: bool
    retry_after: str | None = None


class Bucket:
    """One bucket at one endpoint. Connects at its first request; may be used from several threads.

    Attributes:
        name: Of the bucket.
        url: Bucket and prefix, without secrets; for messages.
        endpoint: Scheme, host and port.
        prefix: What all keys of the policy's part of the bucket begin with; keys here and in listings are without it.
        transport: Its connections.
        on_throttle: Called whenever the endpoint asks for fewer requests.
    """

    def __init__(self, options: BucketOptions, *, read_only: bool = False) -> None:
        self.options = options
        self.name = options.bucket
        self.url = options.url
        self.prefix = options.prefix
        self.endpoint = (options.endpoint or f"https://s3.{options.region}.amazonaws.com").rstrip("/")
        self.on_throttle: Callable[[], None] = lambda: None
        parts = urlsplit(self.endpoint)
        host = f"{self.name}.{parts.netloc}" if options.virtual_hosted else parts.netloc
        self._site = f"{parts.scheme}://{host}"
        self._base = parts.path + ("" if options.virtual_hosted else f"/{quote(self.name)}")
        self._credentials = credentials_for(options)
        self._signer = Signer(options.region, host)
        self.transport = Transport(options.timeout_seconds, options.ca_certificate)
        self._read_only = read_only

    def same_place(self, other: "Bucket") -> bool:
        """Whether both are buckets of one endpoint under one account: then the server can copy between them."""
        mine, theirs = self.options, other.options
        return (self.endpoint, self.options.region, mine.access_key) == (
            other.endpoint,
            other.options.region,
            theirs.access_key,
        )

    def path_of(self, key: str, version_id: str = "") -> str:
        """How a copy request names an object of this bucket."""
        path = f"/{quote(self.name)}/{_encoded(self.prefix + key)}"
        return f"{path}?versionId={quote(version_id)}" if version_id else path

    def request(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        long: bool = False,
    ) -> Answer:
        """Ask, and read the whole answer.

        Args:
            method: GET, PUT …
            key: None for the bucket itself.
            query: Not yet encoded.
            headers: Names in lower case; values of `x-amz-meta-…` as they are to be stored.
            body: Sent again with each try.
            long: Whether the server may take minutes (it copies, or puts parts together).

        Raises:
            BucketUnreachable, BucketFull, ObjectGone, ObjectChanged, CallLacking, BytesDamaged: As they say.
            Interrupted: The work was told to stop.
            Refused: The bucket is open for reading only.
        """
        for attempt in count(1):
            outcome = self._once(method, key, query or {}, headers or {}, body, long=long)
            if isinstance(outcome, Reply):
                return Answer(outcome.status, outcome.headers, outcome.body, attempt)
            if not outcome.passing or attempt > self.options.retries:
                raise outcome.problem
            if current_stop().wait(wait_seconds(attempt, outcome.retry_after)):
                raise Interrupted("interrupted")
        raise AssertionError("unreachable")

    def read(
        self, key: str, size_bytes: int, *, version_id: str = "", etag: str = "", start: int = 0
    ) -> Iterator[bytes]:
        """An object's bytes from `start` on, in blocks of at most 8 MiB.

        Args:
            key: Of the object.
            size_bytes: Its whole size, as listed.
            version_id: Of the version; the present one where it is empty.
            etag: Where given, the object must still have it.
            start: Where to begin.

        Raises:
            ObjectChanged: It is not that object any more; blocks may have been given out.
            BytesDamaged: Less came than was asked for.
        """
        if size_bytes - start >= RANGE_BYTES:
            return_large_blocks()
        query = {"versionId": version_id} if version_id else {}
        condition = {"if-match": f'"{etag}"'} if etag else {}
        for first in range(start, size_bytes, RANGE_BYTES):
            last = min(first + RANGE_BYTES, size_bytes) - 1
            answer = self.request("GET", key, query=query, headers={"range": f"bytes={first}-{last}", **condition})
            if etag and answer.headers.get("etag", "").strip('"') != etag:
                raise ObjectChanged(f"{self.url}: {key} was changed while it was read")
            if len(answer.body) != last - first + 1:
                raise BytesDamaged(
                    f"{self.url}: {key} gave {len(answer.body)} bytes where {last - first + 1} were asked for"
                )
            yield answer.body

    def _once(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | Upload | None,
        *,
        long: bool,
    ) -> "Reply | _Failure":
        what = f"{method} {key or '/'}"
        url, signed = self.signed(method, key, query, headers)
        try:
            reply = self.transport.send(method, url, signed, body, current_stop(), long=long)
        except NoAnswer as error:
            return _Failure(BucketUnreachable(f"{self.url} does not answer {what}: {error}"), passing=True)
        if reply.status in OK and not _error_inside(method, reply):
            return reply
        status = reply.status if reply.status not in OK else 500
        if status in THROTTLING:
            self.on_throttle()
        problem = error_of(self.url, what, status, reply.body)
        return _Failure(problem, passing=status in PASSING, retry_after=reply.headers.get("retry-after"))

    def signed(
        self, method: str, key: str | None, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """The URL of a request, and all headers to send with it.

        Raises:
            Refused: The bucket is open for reading only.
        """
        if self._read_only and method not in READING:
            raise Refused(f"{self.url} is open for reading only; {method} was not sent")
        path = self._base + ("/" if key is None else f"/{_encoded(self.prefix + key)}")
        text = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        sent = self._signer.headers(self._credentials(), method, path, text, headers, now=clock.now())
        return f"{self._site}{path}?{text}" if text else self._site + path, sent


def _encoded(key: str) -> str:
    return quote(key, safe="/-_.~")


def _error_inside(method: str, reply: Reply) -> bool:
    """Copies and completed uploads answer 200 before they are done, and may end in an error."""
    return method in {"PUT", "POST"} and b"<Error>" in reply.body[:1024]
