"""The names of everything in a vault (see docs/format.md)."""

from datetime import datetime

HEADER = "vault.json"
FRAMES = "frames/"
STREAMS = "streams/"
POINTS = "points/"
PROOFS = "proofs/"
RUNBOOKS = "runbooks/"
DELIVERIES = "deliveries/"
PINS = "pins/"
LEASES = "leases/"
DRILLS = "drills/"
EVIDENCE = "evidence/"
AUDIT = "audit/"
SESSIONS = "sessions/"
REPLICATIONS = "replications/"
BUCKET_PROOFS = "bucket-proofs/"
FAILOVERS = "failovers/"
RELOCATIONS = "relocations/"
REBUILDS = "rebuilds/"
CONTROLS = "controls/"
JOURNALS = "journals/"
FINDINGS = "findings/"
REPORTS = "reports/"
RUNS = "runs/"


def frame_key(frame_id: str, *, encrypted: bool) -> str:
    """Of one frame; the first two digits spread them over folders."""
    return f"{FRAMES}{frame_id[:2]}/{frame_id}.zst{'.age' if encrypted else ''}"


def index_key(index_id: str) -> str:
    """Of one stream's index."""
    return f"{STREAMS}{index_id}.idx.zst"


def point_key(created_at: datetime, point_id: str) -> str:
    """Of one recovery point; sorts by time."""
    return f"{POINTS}{time_text(created_at)}-{point_id}.json"


def runbook_key(point_id: str) -> str:
    """Of the page that restores one point with stock tools."""
    return f"{RUNBOOKS}{point_id}.md"


def object_id(key: str) -> str:
    """The id in the key of a frame or a stream index."""
    return key.rpartition("/")[2].partition(".")[0]


def point_id_of(key: str) -> str:
    """The id in the key of a recovery point."""
    return key.removesuffix(".json").rpartition("-")[2]


def time_text(moment: datetime) -> str:
    """A moment as names have it: 20260131T235959Z."""
    return f"{moment:%Y%m%dT%H%M%S}Z"


def drill_key(started_at: datetime, drill_id: str) -> str:
    """Of one drill record."""
    return f"{DRILLS}{time_text(started_at)}-{drill_id}.json"


def evidence_key(started_at: datetime, drill_id: str) -> str:
    """Of the signed statement about one drill."""
    return f"{EVIDENCE}{time_text(started_at)}-{drill_id}.json"
