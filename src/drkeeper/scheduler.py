"""The daemon: the policy's jobs at their times, one at a time, missed runs made up once, clean on SIGTERM.

Heartbeats run beside the other jobs: a mark that waited for a long backup would measure a loss that never was.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from drkeeper.errors import DrkeeperError, LeaseLost
from drkeeper.log import get_logger


@dataclass(frozen=True)
class Job:
    """One scheduled action.

    Attributes:
        cron: Five fields, UTC.
        action: Called with an event that asks it to end early.
        beside: Whether it may run while another job runs (heartbeats).
    """

    name: str
    cron: str
    action: Callable[[threading.Event], None]
    beside: bool = False


def run_jobs(
    jobs: Mapping[str, Job],
    stop: threading.Event,
    *,
    check_alone: Callable[[], None] = lambda: None,
    misfire_grace_seconds: int | None = None,
) -> None:
    """Run the jobs until `stop` is set; then let the running one end (it is told by the same event).

    Args:
        jobs: By name.
        stop: Set by SIGTERM or SIGINT.
        check_alone: Raises LeaseLost when another daemon may be at work: then this one stops.
        misfire_grace_seconds: How late a missed run is still made up; None: always, once.
    """
    scheduler = BackgroundScheduler(
        timezone="UTC",
        executors={"work": ThreadPoolExecutor(1), "beside": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": misfire_grace_seconds},
    )
    for job in jobs.values():
        scheduler.add_job(
            _guarded,
            CronTrigger.from_crontab(job.cron, timezone="UTC"),
            args=(job, stop, check_alone),
            id=job.name,
            executor="beside" if job.beside else "work",
        )
    scheduler.start()
    for job in scheduler.get_jobs():
        get_logger().info("job scheduled", job=job.id, next_run=job.next_run_time.isoformat())
    stop.wait()
    scheduler.shutdown(wait=True)
    get_logger().info("scheduler stopped")


def _guarded(job: Job, stop: threading.Event, check_alone: Callable[[], None]) -> None:
    log = get_logger().bind(job=job.name)
    try:
        check_alone()
    except LeaseLost as error:
        log.error("scheduler lost its lease", error=str(error))  # noqa: TRY400
        stop.set()
        return
    log.info("job started")
    try:
        job.action(stop)
    except DrkeeperError as error:
        # The daemon lives on: the next run may work, and the failure is in the log and in the catalog.
        log.error("job failed", error=str(error), hint=error.hint, exit_code=error.exit_code)  # noqa: TRY400
    except Exception:
        log.exception("job failed")
    else:
        log.info("job done")
