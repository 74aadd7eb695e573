"""Both SDKs side by side: imported while servers start, told where these are, and asked at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drkeeper.demo.check import Snapshot
from drkeeper.demo.stage import Platform
from drkeeper.demo.worker import Answer, Worker, started

Snapshots = tuple[Snapshot, Snapshot]


@dataclass(frozen=True)
class Sdks:
    """MLflow and Feast, each in a process of its own. Made by `started_both`."""

    tracking: Worker
    features: Worker

    def open(self, platform: Platform) -> None:
        """Tell them where the servers are, once these are up."""
        database = {**platform.database.options, "artifacts": f"s3://{platform.bucket}"}
        self.tracking.open(database, platform.artifacts_environment)
        self.features.open({**platform.store.options, "registry": platform.registry})

    def seed(self) -> None:
        """Fill the platform: features first, then models that are trained on them."""
        self.features.ask("seed")
        self.tracking.ask("seed", rows=self.features.ask("training_set")["rows"])

    def snapshots(self) -> Snapshots:
        """What MLflow and Feast say is there."""
        tracking, features = self._both("snapshot")
        return tracking, features

    def _both(self, task: str) -> list[Answer]:
        """A task of both at once; no threads, so that Ctrl-C ends the waiting."""
        workers = (self.tracking, self.features)
        for worker in workers:
            worker.begin(task)
        return [worker.answer() for worker in workers]


@contextmanager
def started_both(folder: Path) -> Iterator[Sdks]:
    """Both, in new processes that end with the block.

    Args:
        folder: Where they keep their files.
    """
    with started("tracking", folder / "mlflow") as tracking, started("features", folder / "warehouse") as features:
        yield Sdks(tracking, features)
