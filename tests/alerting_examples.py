"""Series for promtool: a healthy platform, and for each alert what is different when it must fire."""

HOUR = 3600
DAY = 86400
NOW_STEPS = 9 * 24  # the moment that is looked at: after nine days, in steps of an hour

P = 'policy="p"'
BUCKET, LOST = 'policy="p",system="artifacts"', 'policy="p",scenario="region-lost"'
NEAR = 'policy="p",region="near",role="primary"'
DB, CACHE = 'kind="postgres",policy="p",system="db"', 'kind="redis",policy="p",system="cache"'


def always(value):
    return f"{value}x{NOW_STEPS}"


def fresh(age=0):
    """A timestamp that follows the clock, `age` seconds behind."""
    return f"{-age}+{HOUR}x{NOW_STEPS}"


def stopped(age):
    """A timestamp that followed the clock until `age` seconds before now, and stood still from then on."""
    steps = age // HOUR
    last = (NOW_STEPS - steps) * HOUR
    return f"0+{HOUR}x{NOW_STEPS - steps} {last}x{steps - 1}"


def turned(before, after, since):
    """One value, and another since so many seconds."""
    steps = since // HOUR
    return f"{before}x{NOW_STEPS - steps - 1} {after}x{steps}"


REGION_PROOF = "drkeeper_vault_region_proof_point_as_of_timestamp_seconds"
HEALTHY = {
    "drkeeper_build_info{}": always(1),
    'up{job="drkeeper",instance="i"}': always(1),
    f"drkeeper_scrape_timestamp_seconds{{{P}}}": fresh(),
    f"drkeeper_vault_up{{{P}}}": always(1),
    f'drkeeper_vault_region_up{{{P},region="near",role="primary"}}': always(1),
    f'drkeeper_vault_region_up{{{P},region="far",role="replica"}}': always(1),
    f'drkeeper_vault_region_lacking_points{{{P},region="far",role="replica"}}': always(0),
    f'drkeeper_unreadable_records{{{P},record="point"}}': always(0),
    f'drkeeper_objective_seconds{{{P},objective="rpo"}}': always(900),
    f'drkeeper_objective_seconds{{{P},objective="rto"}}': always(3600),
    f"drkeeper_system_info{{{DB}}}": always(1),
    f"drkeeper_system_info{{{CACHE}}}": always(1),
    f'drkeeper_system_recoverable_until_timestamp_seconds{{{DB},lost_region=""}}': fresh(300),
    f'drkeeper_system_recoverable_until_timestamp_seconds{{{DB},lost_region="near"}}': fresh(400),
    f'drkeeper_system_recoverable_until_timestamp_seconds{{{CACHE},lost_region=""}}': fresh(290),
    f'drkeeper_system_status{{{P},status="partial",system="db"}}': always(0),
    f'drkeeper_system_status{{{P},status="complete",system="db"}}': always(1),
    f"drkeeper_system_size_bytes{{{DB}}}": always(1000),
    f'drkeeper_system_findings{{{DB},severity="warning"}}': always(0),
    f"drkeeper_newest_point_created_timestamp_seconds{{{P}}}": fresh(300),
    f'drkeeper_points{{{P},purpose="backup",state="complete"}}': always(20),
    f"drkeeper_disproven_points{{{P}}}": always(0),
    f'drkeeper_proof_point_as_of_timestamp_seconds{{{P},level="intact"}}': fresh(DAY),
    f'drkeeper_vault_region_points{{{P},region="far",role="replica"}}': always(20),
    f'{REGION_PROOF}{{{P},level="stored",region="far"}}': fresh(DAY),
    f"drkeeper_drill_recovered_timestamp_seconds{{{P}}}": always(-30 * DAY),
    f'drkeeper_drill_outcome{{{P},outcome="recovered"}}': always(1),
    f'drkeeper_drill_outcome{{{P},outcome="restore failed"}}': always(0),
    f'drkeeper_drill_outcome{{{P},outcome="clean-up failed"}}': always(0),
    f'drkeeper_drill_objective_kept{{{P},objective="rto"}}': always(1),
    f'drkeeper_lease_acquired_timestamp_seconds{{{P},lease="scheduler"}}': always(0),
    f"drkeeper_backup_due_timestamp_seconds{{{P}}}": fresh(-600),
    f"drkeeper_newest_point_duration_seconds{{{P}}}": always(60),
    f'drkeeper_backup_success_ratio{{{P},window="7d"}}': always(1),
    f"drkeeper_bucket_replica_as_of_timestamp_seconds{{{BUCKET}}}": fresh(60),
    f'drkeeper_bucket_damaged_objects{{{BUCKET},level="intact",region="far"}}': always(0),
    f"drkeeper_vault_region_used_bytes{{{NEAR}}}": always(850),
    f"drkeeper_vault_region_capacity_bytes{{{NEAR}}}": always(1000),
    f"drkeeper_scenario_due_timestamp_seconds{{{LOST}}}": always(30 * DAY),
    f"drkeeper_scenario_failed{{{LOST}}}": always(0),
    f"drkeeper_scenario_recoverable{{{LOST}}}": always(1),
    f'drkeeper_scenario_rto_forecast_seconds{{{LOST},percentile="90"}}': always(600),
    f'drkeeper_scenario_objective_seconds{{{LOST},objective="rto"}}': always(3600),
}
ABSENT = None
EXPOSURE = "drkeeper_system_recoverable_until_timestamp_seconds"

# Alert -> (what is different, how much of that is not enough yet). Each must fire, and nothing else.
UNHEALTHY = {
    "DrkeeperExposureAboveRPO": (
        {f'{EXPOSURE}{{{DB},lost_region=""}}': stopped(2 * HOUR)},
        {f'{EXPOSURE}{{{DB},lost_region=""}}': fresh(900)},
    ),
    "DrkeeperExposureNearRPO": (
        {f'{EXPOSURE}{{{DB},lost_region=""}}': fresh(721)},
        {f'{EXPOSURE}{{{DB},lost_region=""}}': fresh(720)},
    ),
    "DrkeeperExposureAboveRPOWithoutRegion": (
        {f'{EXPOSURE}{{{DB},lost_region="near"}}': fresh(1000)},
        {f'{EXPOSURE}{{{DB},lost_region="near"}}': stopped(HOUR)},
    ),
    "DrkeeperSystemUnprotected": (
        {f'{EXPOSURE}{{{CACHE},lost_region=""}}': ABSENT},
        {f'{EXPOSURE}{{{CACHE},lost_region=""}}': ABSENT, f"drkeeper_vault_up{{{P}}}": turned(1, 0, 0)},
    ),
    "DrkeeperNoRecentPoint": (
        {
            f'drkeeper_objective_seconds{{{P},objective="rpo"}}': ABSENT,
            f"drkeeper_newest_point_created_timestamp_seconds{{{P}}}": stopped(28 * HOUR),
        },
        {
            f'drkeeper_objective_seconds{{{P},objective="rpo"}}': ABSENT,
            f"drkeeper_newest_point_created_timestamp_seconds{{{P}}}": stopped(26 * HOUR),
        },
    ),
    "DrkeeperBackupMissed": (
        {f"drkeeper_backup_due_timestamp_seconds{{{P}}}": stopped(4 * HOUR)},
        {f"drkeeper_backup_due_timestamp_seconds{{{P}}}": stopped(2 * HOUR)},
    ),
    "DrkeeperBackupSuccessLow": (
        {f'drkeeper_backup_success_ratio{{{P},window="7d"}}': turned(1, 0.79, 3 * HOUR)},
        {f'drkeeper_backup_success_ratio{{{P},window="7d"}}': turned(1, 0.8, 3 * HOUR)},
    ),
    "DrkeeperBackupPartial": (
        {f'drkeeper_system_status{{{P},status="partial",system="db"}}': turned(0, 1, HOUR)},
        {f'drkeeper_system_status{{{P},status="partial",system="db"}}': turned(0, 1, 0)},
    ),
    "DrkeeperSystemShrank": (
        {f"drkeeper_system_size_bytes{{{DB}}}": turned(1000, 400, HOUR)},
        {f"drkeeper_system_size_bytes{{{DB}}}": turned(1000, 600, HOUR)},
    ),
    "DrkeeperFindings": (
        {f'drkeeper_system_findings{{{DB},severity="warning"}}': turned(0, 2, 2 * HOUR)},
        {f'drkeeper_system_findings{{{DB},severity="info"}}': always(2)},
    ),
    "DrkeeperVaultUnreachable": (
        {f"drkeeper_vault_up{{{P}}}": turned(1, 0, HOUR)},
        {f"drkeeper_vault_up{{{P}}}": turned(1, 0, 0)},
    ),
    "DrkeeperVaultRegionDown": (
        {f'drkeeper_vault_region_up{{{P},region="far",role="replica"}}': turned(1, 0, HOUR)},
        {f'drkeeper_vault_region_up{{{P},region="far",role="replica"}}': turned(1, 0, 0)},
    ),
    "DrkeeperRegionLacksPoints": (
        {f'drkeeper_vault_region_lacking_points{{{P},region="far",role="replica"}}': turned(0, 3, 3 * HOUR)},
        {f'drkeeper_vault_region_lacking_points{{{P},region="far",role="replica"}}': turned(0, 3, HOUR)},
    ),
    "DrkeeperReplicationLag": (
        {f"drkeeper_bucket_replica_as_of_timestamp_seconds{{{BUCKET}}}": fresh(901)},
        {f"drkeeper_bucket_replica_as_of_timestamp_seconds{{{BUCKET}}}": fresh(900)},
    ),
    "DrkeeperReplicaNeverComplete": (
        {
            f"drkeeper_bucket_replica_as_of_timestamp_seconds{{{BUCKET}}}": ABSENT,
            f"drkeeper_bucket_replica_failed_objects{{{BUCKET}}}": always(3),
        },
        {f"drkeeper_bucket_replica_failed_objects{{{BUCKET}}}": always(3)},
    ),
    "DrkeeperVaultNearFull": (
        {f"drkeeper_vault_region_used_bytes{{{NEAR}}}": turned(100, 851, 2 * HOUR)},
        {f"drkeeper_vault_region_used_bytes{{{NEAR}}}": turned(100, 999, 0)},
    ),
    "DrkeeperRecordsUnreadable": (
        {f'drkeeper_unreadable_records{{{P},record="point"}}': turned(0, 1, HOUR)},
        {f'drkeeper_unreadable_records{{{P},record="point"}}': turned(0, 1, 0)},
    ),
    "DrkeeperLeaseHeldLong": (
        {f'drkeeper_lease_acquired_timestamp_seconds{{{P},lease="write"}}': stopped(8 * HOUR)},
        {f'drkeeper_lease_acquired_timestamp_seconds{{{P},lease="write"}}': stopped(6 * HOUR)},
    ),
    "DrkeeperVerificationFailed": (
        {f"drkeeper_disproven_points{{{P}}}": turned(0, 1, 0)},
        {f"drkeeper_disproven_points{{{P}}}": turned(1, 0, 0)},
    ),
    "DrkeeperBucketDamaged": (
        {f'drkeeper_bucket_damaged_objects{{{BUCKET},level="intact",region="far"}}': turned(0, 1, 0)},
        {f'drkeeper_bucket_damaged_objects{{{BUCKET},level="intact",region="far"}}': turned(1, 0, 0)},
    ),
    "DrkeeperPointsUnproven": (
        {f'drkeeper_proof_point_as_of_timestamp_seconds{{{P},level="intact"}}': ABSENT},
        {f'drkeeper_proof_point_as_of_timestamp_seconds{{{P},level="intact"}}': stopped(7 * DAY + HOUR)},
    ),
    "DrkeeperRegionUnproven": (
        {f'{REGION_PROOF}{{{P},level="stored",region="far"}}': ABSENT},
        {f'{REGION_PROOF}{{{P},level="stored",region="far"}}': stopped(7 * DAY + HOUR)},
    ),
    "DrkeeperDrillOverdue": (
        {f"drkeeper_drill_recovered_timestamp_seconds{{{P}}}": always(-92 * DAY)},
        {f"drkeeper_drill_recovered_timestamp_seconds{{{P}}}": always(-90 * DAY)},
    ),
    "DrkeeperNeverDrilled": (
        {f"drkeeper_drill_recovered_timestamp_seconds{{{P}}}": ABSENT},
        {
            f"drkeeper_drill_recovered_timestamp_seconds{{{P}}}": ABSENT,
            f'drkeeper_points{{{P},purpose="backup",state="complete"}}': turned(0, 1, 5 * DAY),
        },
    ),
    "DrkeeperDrillFailed": (
        {f'drkeeper_drill_outcome{{{P},outcome="restore failed"}}': turned(0, 1, 0)},
        {f'drkeeper_drill_outcome{{{P},outcome="objective missed"}}': always(1)},
    ),
    "DrkeeperScenarioOverdue": (
        {f"drkeeper_scenario_due_timestamp_seconds{{{LOST}}}": always(9 * DAY - 3 * HOUR)},
        {f"drkeeper_scenario_due_timestamp_seconds{{{LOST}}}": always(9 * DAY)},
    ),
    "DrkeeperScenarioNeverDrilled": (
        {f"drkeeper_scenario_rehearsed{{{LOST}}}": always(0)},
        {f"drkeeper_scenario_rehearsed{{{LOST}}}": turned(0, 1, 0)},
    ),
    "DrkeeperScenarioFailed": (
        {f"drkeeper_scenario_failed{{{LOST}}}": turned(0, 1, 0)},
        {f"drkeeper_scenario_failed{{{LOST}}}": turned(1, 0, 0)},
    ),
    "DrkeeperRetestOverdue": (
        {f"drkeeper_scenario_retest_due_timestamp_seconds{{{LOST}}}": always(9 * DAY - 1)},
        {f"drkeeper_scenario_retest_due_timestamp_seconds{{{LOST}}}": always(9 * DAY)},
    ),
    "DrkeeperScenarioUnrecoverable": (
        {f"drkeeper_scenario_recoverable{{{LOST}}}": turned(1, 0, 3 * HOUR)},
        {f"drkeeper_scenario_recoverable{{{LOST}}}": turned(1, 0, 0)},
    ),
    "DrkeeperForecastAboveRTO": (
        {f'drkeeper_scenario_rto_forecast_seconds{{{LOST},percentile="90"}}': turned(600, 3601, 3 * HOUR)},
        {f'drkeeper_scenario_rto_forecast_seconds{{{LOST},percentile="90"}}': turned(600, 3600, 3 * HOUR)},
    ),
    "DrkeeperDrillLeftSomething": (
        {f'drkeeper_drill_outcome{{{P},outcome="clean-up failed"}}': turned(0, 1, 0)},
        {f'drkeeper_drill_outcome{{{P},outcome="clean-up failed"}}': turned(1, 0, 0)},
    ),
    "DrkeeperObjectiveMissed": (
        {f'drkeeper_drill_objective_kept{{{P},objective="rto"}}': turned(1, 0, 0)},
        {f'drkeeper_drill_objective_kept{{{P},objective="rto"}}': turned(0, 1, 0)},
    ),
    "DrkeeperMetricsAbsent": (
        {"drkeeper_build_info{}": f"1x{NOW_STEPS - 2}"},
        {"drkeeper_build_info{}": f"1x{NOW_STEPS - 1}"},
    ),
    "DrkeeperExporterDown": (
        {'up{job="drkeeper",instance="i"}': turned(1, 0, HOUR)},
        {'up{job="drkeeper",instance="i"}': turned(1, 0, 0)},
    ),
    "DrkeeperMetricsStale": (
        {f"drkeeper_scrape_timestamp_seconds{{{P}}}": stopped(4 * HOUR)},
        {f"drkeeper_scrape_timestamp_seconds{{{P}}}": stopped(2 * HOUR)},
    ),
}


# What fires as well.
BESIDES = {"DrkeeperExposureAboveRPO not yet": ["DrkeeperExposureNearRPO"]}

# These say nothing of a policy, so each needs a Prometheus of its own.
ALONE = {"DrkeeperMetricsAbsent", "DrkeeperExporterDown"}


def unit_tests(alerts=tuple(UNHEALTHY)):
    """Tests of `promtool test rules`. All platforms but a few are policies of one Prometheus: that is 40 x quicker."""
    platforms = {"healthy": ({}, [])}
    for alert in alerts:
        enough, too_little = UNHEALTHY[alert]
        not_yet = f"{alert} not yet"
        platforms |= {f"{alert} fires": (enough, [alert]), not_yet: (too_little, BESIDES.get(not_yet, []))}
    alone = {name: each for name, each in platforms.items() if name.split()[0] in ALONE}
    yield _unit_test({name: each for name, each in platforms.items() if name not in alone})
    for name, each in alone.items():
        yield _unit_test({name: each})


def _unit_test(platforms):
    series, firing = {}, []
    for platform, (changes, alerts) in platforms.items():
        for key, values in {**HEALTHY, **changes}.items():
            if values is not ABSENT:
                series[key.replace(P, f'policy="{platform}"')] = values
        firing += [(alert, "" if alert in ALONE else f',policy="{platform}"') for alert in alerts]
    return {
        "interval": "1h",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, policy) (ALERTS{alertstate="firing"})',
                "eval_time": f"{NOW_STEPS}h",
                "exp_samples": [{"labels": f'{{alertname="{alert}"{policy}}}', "value": 1} for alert, policy in firing],
            }
        ],
    }


# --- the platform's own, of its own exporters: rates, so in steps of a minute ---

MINUTES = 60
FEAST = 'feast_feature_server_request_latency_seconds_bucket{endpoint="/get-online-features",job="feast",namespace="ml"'
ISTIO = 'istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload="feast-server",destination_workload_namespace="ml"'


def requests(series, bounds, quick):
    """A histogram of ten requests a second, of which so many in a hundred are within the second bound."""
    low, middle, high = bounds
    steps = {low: 6 * quick // 2, middle: 6 * quick, high: 600, "+Inf": 600}
    return {f'{series},le="{bound}"}}': f"0+{step}x{MINUTES}" for bound, step in steps.items()}


def memory(used, most=1000):
    return {
        'redis_memory_used_bytes{instance="r"}': f"{used}x{MINUTES}",
        'redis_memory_max_bytes{instance="r"}': f"{most}x{MINUTES}",
    }


def cpu(idle):
    """Two cores; idle for so many seconds of each minute."""
    return {
        f'node_cpu_seconds_total{{instance="n",cpu="{core}",mode="idle"}}': f"0+{idle}x{MINUTES}" for core in (0, 1)
    }


# Alert -> (series with which it fires, series with which it does not), several of each.
PLATFORM = {
    "PlatformFeatureServingSlow": (
        [requests(FEAST, (0.1, 0.2, 0.5), 90), requests(ISTIO, (100, 200, 500), 90)],
        [requests(FEAST, (0.1, 0.2, 0.5), 96), requests(ISTIO, (100, 200, 500), 96)],
    ),
    "PlatformRedisMemoryHigh": ([memory(801)], [memory(800), memory(801, most=0)]),
    "PlatformNodeCPUHigh": ([cpu(8)], [cpu(10)]),
}


def platform_tests():
    """Tests of `promtool test rules`, at steps of a minute."""
    for alert, (enough, too_little) in PLATFORM.items():
        for series, fires in [*((each, True) for each in enough), *((each, False) for each in too_little)]:
            given = {"drkeeper_build_info{}": f"1x{MINUTES}", **series}
            expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else []
            yield {
                "interval": "1m",
                "input_series": [{"series": key, "values": values} for key, values in given.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{MINUTES}m",
                        "exp_samples": expected,
                    }
                ],
            }
