"""The demo's story: build a platform, protect it, prove it, go on working, lose it, get it back, compare.

Every step calls what the command line calls, and shows the command that one would type.
"""

from datetime import datetime

from drkeeper import actions, artifacts, audit, clock, evidence, quarterly, recovery, rehearsals
from drkeeper.demo.account import judged_rows, write_reports
from drkeeper.demo.check import Snapshot, compare_champion, compare_features, compare_tracking
from drkeeper.demo.sdks import Sdks, Snapshots, started_both
from drkeeper.demo.stage import (
    ARTIFACTS,
    EAST,
    FEAST_EAST,
    KEY_FILE,
    POLICY_FILE,
    PUBLIC_KEY,
    QUARTER,
    S3_EAST,
    S3_WEST,
    VAULT_EAST,
    Platform,
)
from drkeeper.demo.telling import Telling
from drkeeper.demo.told import Told
from drkeeper.demo.west import SCENARIO, InWest, Recovered
from drkeeper.demo.worker import Worker
from drkeeper.objectives import outcome_of
from drkeeper.plan import Choice
from drkeeper.quarter import Quarter
from drkeeper.replication import native
from drkeeper.replication.native_changes import TurnOnVersioning
from drkeeper.report.quarter_files import write_reports as write_quarter
from drkeeper.report.record import DrillRecord
from drkeeper.report.words import count, duration, size
from drkeeper.signing import read_public
from drkeeper.wiring import create_vault, open_vault

MORE_RUNS, UNPROTECTED_RUNS = 4, 2


class Story(Told):
    """The acts, in their order. `failures` is empty after a good end."""

    def play(self) -> None:
        """All acts.

        Raises:
            DrkeeperError: A step could not be done.
        """
        self.tell.act("A small ML platform")
        with started_both(self.platform.folder) as sdks:
            self.platform.start()
            self.platform.make_database()
            sdks.open(self.platform)
            self._fill(sdks)
            self._protect()
            record = self._drill()
            tracking = self._go_on(sdks)
            self._undo_a_mistake(sdks.tracking)
            features = self._go_on_unprotected(sdks)
        lost_at = self._lose()
        recovered = InWest(self.platform, self.tell, self.failures).recover()
        self._protect_again()
        self._compare((tracking, features))
        self._account(record, recovered, lost_at)

    def _fill(self, sdks: Sdks) -> None:
        ports = {name: server.port for name, server in self.platform.servers.items()}
        self.tell.say(
            f"region east: PostgreSQL on port {self.platform.database.port}, Valkey on port "
            f"{self.platform.store.port}, S3 on port {ports[S3_EAST]}; region west: S3 on port {ports[S3_WEST]}"
        )
        with self.tell.waiting("filling them through the MLflow and Feast SDKs"):
            sdks.seed()
            tracking, features = sdks.snapshots()
        self.tell.say(
            f"MLflow: {count(len(tracking['runs']), 'run')} in {count(len(tracking['experiments']), 'experiment')}, "
            f"a model with {count(len(tracking['versions']), 'version')}, one of them the champion; "
            f"{count(len(tracking['artifacts']), 'artifact')} in s3://{ARTIFACTS}"
        )
        self.tell.say(
            f"Feast: features of {features['customers']:,} customers of a shop, served from Valkey; the models are "
            "trained on them"
        )

    def _protect(self) -> None:
        self.tell.act("Protect it")
        self.platform.write_policy()
        self.tell.say(
            f"policy: {self.platform.policy_file} (four systems, two applications, two regions; encrypted for "
            f"{KEY_FILE})"
        )
        self.tell.say(f"[dim]every command below takes --policy {POLICY_FILE}[/]")
        self.tell.command("drkeeper init")
        create_vault(self.policy)
        self._set_up_buckets()
        self.tell.command("drkeeper beat")
        actions.beat(self.policy)
        self._back_up()
        self.tell.command("drkeeper check")
        self.insist(actions.check(self.policy), "systems, replica and vault are as the policy asks")

    def _set_up_buckets(self) -> None:
        self.tell.command("drkeeper replicate setup --yes")
        for pair in artifacts.pairs(self.policy):
            if pair.options.replica is not None:
                plan = native.plan_setup(pair.options, pair.options.replica, pair.options.native)
                native.carry_out(plan)
                sides = [change.side for change in plan.changes if isinstance(change, TurnOnVersioning)]
                self.tell.say(f"{pair.system}: older versions are kept from now on ({' and '.join(sides)})")

    def _back_up(self) -> None:
        self.tell.command("drkeeper backup")
        backed = actions.back_up(self.policy)
        point = backed.point
        self.failures += [f"region {name} lacks the point: {why}" for name, why in backed.lacking.items()]
        self.failures += [f"{one.name}: {one.error}" for one in point.systems if one.error]
        self.tell.say(
            f"point {point.point_id}: {size(point.size_bytes)} in {duration(point.elapsed_seconds)}, "
            f"the systems {duration(point.skew_seconds)} apart (S3 tells whole seconds), "
            f"[bold]{size(point.stored_bytes)} stored[/] in each of {len(self.policy.vault.regions)} regions"
        )
        for one in point.applications:
            self.failures += [f"{one.name}: {one.error}"] if one.error else []
            self.failures += [f"{one.name}: {subject}: {why}" for subject, why in one.facts.unread.items()]
        self.tell.say(
            f"witnesses of {' and '.join(one.name for one in point.applications)}: the champion's prediction, features "
            "of sampled customers, counts and digests"
        )
        for bucket in backed.buckets:
            self.failures += [f"{bucket.system}: {bucket.problem}"] if bucket.problem else []
            if bucket.record is not None:
                self.tell.say(
                    f"{bucket.system}: [bold]{count(bucket.record.new + bucket.record.overwritten, 'object')}[/] "
                    f"({size(bucket.record.copied_bytes)}) copied to the second region in "
                    f"{duration(bucket.record.elapsed_seconds)}, each one verified"
                )

    def _drill(self) -> DrillRecord:
        self.tell.act("Prove that it would come back")
        self.tell.command(f"drkeeper drill run --scenario {SCENARIO}")
        with self.tell.waiting("restoring into a sandbox, with a clock"):
            record = rehearsals.drill(self.policy, scenario=SCENARIO)
        outcome = outcome_of(record)
        if outcome != "recovered":
            self.failures.append(f"drill: {outcome} {record.error}".strip())
        passed = sum(check.verdict == "passed" for check in record.statements)
        self.tell.say(
            f"{outcome} in {duration(record.rto_seconds)}: {passed} of {count(len(record.statements), 'statement')} "
            f"hold; all of it came from the second region; the sandbox is gone, the record is signed"
        )
        self.tell.checks([check for check in record.usable if check.verdict != "passed"])
        return record

    def _go_on(self, sdks: Sdks) -> Snapshot:
        self.tell.act("Work goes on")
        sdks.tracking.ask("go_on", runs=MORE_RUNS)
        changed = sdks.features.ask("go_on", days=1)["customers"]
        tracking = sdks.tracking.ask("snapshot")
        self.tell.say(f"{MORE_RUNS} more runs, new features of {changed:,} customers")
        self.tell.command("drkeeper beat")
        actions.beat(self.policy)
        self._back_up()
        self.tell.say(
            "[dim]a frame is about 1 MiB, so data this small are stored nearly anew; bench/README.md has 1 GB[/]"
        )
        return tracking

    def _undo_a_mistake(self, tracking: Worker) -> None:
        self.tell.act("A mistake")
        before = tracking.ask("champion")
        spoiled = tracking.ask("spoil")
        self.tell.say(
            f"somebody overwrites {spoiled['overwritten']} of the champion with another model's, "
            f"and deletes its {spoiled['deleted']}"
        )
        prefix = str(spoiled["prefix"])
        self.tell.command(f"drkeeper restore latest --system {ARTIFACTS} --only {prefix} --overwrite --yes")
        recovery.restore(
            recovery.prepare(self.policy, names=[ARTIFACTS], choice=Choice(overwrite=True, only=(prefix,)))
        )
        self.judge([compare_champion(before, tracking.ask("champion"))])

    def _go_on_unprotected(self, sdks: Sdks) -> Snapshot:
        sdks.tracking.ask("go_on", runs=UNPROTECTED_RUNS)
        sdks.features.ask("go_on", days=2)
        self.tell.say(f"{UNPROTECTED_RUNS} runs and a day of features more, [bold]which no backup holds[/]")
        return sdks.features.ask("snapshot")

    def _lose(self) -> datetime:
        self.tell.act("Disaster: region east is lost")
        for name in EAST:
            self.tell.command(f"kill -9 {self.platform.servers[name].process_id} && rm -rf {name}/")
        self.tell.command(f"rm -rf {FEAST_EAST}/ {VAULT_EAST}/")
        lost_at = clock.now()
        self.platform.lose_east()
        self.tell.say("[bold red]its servers are dead; their data, the registry and its part of the vault are gone[/]")
        return lost_at

    def _protect_again(self) -> None:
        """East takes part again: without this nothing could be backed up."""
        self.tell.command("drkeeper init && drkeeper replicate")
        create_vault(self.policy)
        copied = actions.copy_points(self.policy)
        self.failures += [f"region {region.region}: {region.error}" for region in copied.regions if region.error]
        points = sum(len(region.points) for region in copied.regions)
        self.tell.say(f"the vault is in both regions again: {count(points, 'point')} copied")

    def _compare(self, before: Snapshots) -> None:
        self.tell.act("Is it the same platform?")
        waiting = self.tell.waiting("asking the MLflow and Feast SDKs, in new processes")
        with started_both(self.platform.folder) as sdks, waiting:
            sdks.open(self.platform)
            after = sdks.snapshots()
        self.judge([*compare_tracking(before[0], after[0]), *compare_features(before[1], after[1])])

    def _account(self, record: DrillRecord, recovered: Recovered, lost_at: datetime) -> None:
        self.tell.act("Account")
        rows, missed = judged_rows(record, recovered, lost_at)
        self.tell.table(("", "promised", "predicted", "in the drill", "in the disaster"), rows)
        self.failures += missed
        self.tell.say(
            f"lost with the disaster: {UNPROTECTED_RUNS} runs, as no backup held them; the features came back from the "
            "offline store"
        )
        self._show_evidence(record)

    def _show_evidence(self, record: DrillRecord) -> None:
        """What an auditor gets, and how he finds out that nobody has changed it."""
        self.tell.act("For the auditor")
        vault = open_vault(self.policy)
        report = write_reports(record, evidence.seal(vault, record), self.platform.folder)
        self.tell.command(f"drkeeper drill verify {report.name} --key {PUBLIC_KEY}")
        public = read_public((self.platform.folder / PUBLIC_KEY).read_text())
        found = evidence.verify_file(report.read_bytes(), {PUBLIC_KEY: public})
        self.insist(found.checks, "the drill's report is as it was signed")
        self.tell.command("drkeeper audit verify")
        self.insist(audit.verify_chain(vault), "who changed what is a whole chain, in both regions")
        quarter = Quarter.of(clock.now())
        self.tell.command(f"drkeeper report --quarter {quarter.name} --out .")
        files = write_quarter(quarterly.report(self.policy, quarter, clock.now()), self.platform.folder, stem=QUARTER)
        self.tell.say(f"the drill's report: [bold]{report.as_uri()}[/]")
        for file in files[:2]:
            self.tell.say(f"the quarter's report: [bold]{file.as_uri()}[/]")


def play(platform: Platform, tell: Telling) -> list[str]:
    """Play the story; what is not as it must be, in words."""
    story = Story(platform, tell)
    story.play()
    return story.failures
