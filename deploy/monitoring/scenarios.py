"""The dashboard's row of scenarios: which was rehearsed, which is red, and how long each would take now."""

from panels import GREEN, RED, YELLOW, Board, age, lines, ours, panel, stat, steps, table, top

RTO = 'objective="rto"'
P50 = 'percentile="50"'
P90 = 'percentile="90"'
BY = "scenario"


def scenarios(board: Board) -> None:
    board.row("Scenarios: rehearsed, due, predicted")
    board.add(
        table(
            "Scenarios",
            "Where each stands. Predicted: by the catalog and earlier runs, should it happen now.",
            BY,
            {
                "Rehearsed": (top("scenario_rehearsed", BY), "bool_yes_no"),
                "Red": (top("scenario_failed", BY), "bool_yes_no"),
                "Last drill": (age("scenario_drilled_timestamp_seconds", BY), "s"),
                "Due in": (f"{top('scenario_due_timestamp_seconds', BY)} - time()", "s"),
                "Re-test in": (f"{top('scenario_retest_due_timestamp_seconds', BY)} - time()", "s"),
                "Would come back": (top("scenario_recoverable", BY), "bool_yes_no"),
                "Predicted p50": (top("scenario_rto_forecast_seconds", BY, P50), "s"),
                "Predicted p90": (top("scenario_rto_forecast_seconds", BY, P90), "s"),
                "RTO": (top("scenario_objective_seconds", BY, RTO), "s"),
            },
            "Predicted p90",
        ),
        16,
        9,
    )
    board.add(
        lines(
            "Predicted time to recover",
            "The 90th percentile of each scenario: it grows with the data.",
            {"{{scenario}}": top("scenario_rto_forecast_seconds", BY, P90)},
            unit="s",
        ),
        8,
        9,
    )


def backups(board: Board) -> None:
    board.row("Backups: due, made")
    board.add(
        panel(
            "bargauge",
            "Whole backups",
            "Of those that were due or begun: whole in every system and every region. Red: under 80 %.",
            {"{{window}}": f"max by (window) ({ours('backup_success_ratio')})"},
            unit="percentunit",
            min=0,
            max=1,
            thresholds=steps((None, RED), (0.8, YELLOW), (0.9, GREEN)),
            options={"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
        8,
    )
    board.add(
        lines(
            "Success",
            "Over the last week, day by day.",
            {"{{window}}": f"max by (window) ({ours('backup_success_ratio')})"},
            unit="percentunit",
        ),
        8,
    )
    board.add(
        stat(
            "Backups expected",
            "Due by the schedule, or begun, within the window.",
            {"{{window}}": f"max by (window) ({ours('backups_expected')})"},
        ),
        4,
    )
    board.add(
        stat(
            "Next backup is due in",
            "By the schedule, after the newest point. Below 0: it is late.",
            {"": f"{top('backup_due_timestamp_seconds')} - time()"},
            unit="s",
            thresholds=steps((None, RED), (-3600, YELLOW), (0, GREEN)),
        ),
        4,
    )
