"""The rows of the dashboard for those who want to know why: drills, sizes and durations, the vault."""

from panels import GREEN, NAMES_ONLY, RED, Board, age, lines, ours, panel, stat, table, top

RPO = 'objective="rpo"'
RTO = 'objective="rto"'
P50 = 'percentile="50"'
P90 = 'percentile="90"'


def drills(board: Board) -> None:
    board.row("Drills: promised, predicted, measured")
    rto = {
        "measured": top("drill_rto_seconds"),
        "predicted p50": top("drill_rto_forecast_seconds", "policy", P50),
        "predicted p90": top("drill_rto_forecast_seconds", "policy", P90),
        "RTO objective": top("objective_seconds", "policy", RTO),
    }
    board.add(
        lines("RTO", "From the disaster to the last check, drill by drill.", rto, limits=("RTO objective",), unit="s"),
        8,
        9,
    )
    rpo = {"measured": top("drill_rpo_seconds"), "RPO objective": top("objective_seconds", "policy", RPO)}
    board.add(
        lines(
            "RPO",
            "Disaster less newest heartbeat found in the restored data.",
            rpo,
            limits=("RPO objective",),
            unit="s",
        ),
        8,
        9,
    )
    board.add(
        table(
            "Systems in the newest drill",
            "Measured and predicted.",
            "system",
            {
                "RTO": (top("drill_system_rto_seconds", "system"), "s"),
                "Predicted p50": (top("drill_system_rto_forecast_seconds", "system", P50), "s"),
                "Predicted p90": (top("drill_system_rto_forecast_seconds", "system", P90), "s"),
                "RPO": (top("drill_system_rpo_seconds", "system"), "s"),
            },
            "RTO",
        ),
        8,
        9,
    )
    board.add(
        stat("Newest drill", "How it ended.", {"{{outcome}}": f"max by (outcome) ({ours('drill_outcome')} == 1)"})
        | {"options": NAMES_ONLY},
        6,
        6,
    )
    board.add(
        stat(
            "Checks",
            "Statements that the newest drill put to the test.",
            {"{{verdict}}": top("drill_checks", "verdict")},
        ),
        6,
        6,
    )
    board.add(
        panel(
            "bargauge",
            "Phases",
            "Of the newest drill.",
            {"{{phase}}": top("drill_phase_seconds", "phase")},
            unit="s",
            options={"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
        6,
        6,
    )
    board.add(
        stat(
            "Restored",
            "Plain bytes of the point that the newest drill restored, and how long ago that was.",
            {"bytes": f"max({ours('drill_restored_bytes')})"},
            unit="bytes",
        ),
        3,
        6,
    )
    board.add(stat("Drills on record", "And since the newest.", {"drills": f"max({ours('drills')})"}), 3, 6)


def sizes(board: Board) -> None:
    board.row("Sizes and durations")
    board.add(
        lines(
            "Size by system",
            "Plain bytes in the newest recovery point.",
            {"{{system}}": top("system_size_bytes", "system")},
            unit="bytes",
            custom={"stacking": {"mode": "normal"}},
        ),
        8,
    )
    board.add(
        lines(
            "Added to the vault by the newest point",
            "After cutting, deduplication and compression, beside its plain size.",
            {"stored": top("newest_point_stored_bytes"), "plain": top("newest_point_size_bytes")},
            unit="bytes",
        ),
        8,
    )
    board.add(
        lines(
            "Duration",
            "Of the newest backup as a whole, and from the freeze of each system to its last byte.",
            {"whole": top("newest_point_duration_seconds"), "{{system}}": top("system_capture_seconds", "system")},
            unit="s",
        ),
        8,
    )


def vault(board: Board) -> None:
    board.row("Vault")
    up = top("vault_region_up", "region, role")
    board.add(
        panel(
            "state-timeline",
            "Regions",
            "Whether each answers.",
            {"{{region}} ({{role}})": up},
            mappings=[
                {"type": "value", "options": {"1": {"text": "up", "color": GREEN}, "0": {"text": "down", "color": RED}}}
            ],
            options={"showValue": "auto", "mergeValues": True},
        ),
        8,
    )
    points = {
        "{{region}}: holds": top("vault_region_points", "region"),
        "{{region}}: lacks": top("vault_region_lacking_points", "region"),
    }
    board.add(
        lines(
            "Recovery points by region",
            "Held wholly, and lacking although another region holds them.",
            points,
            unit="none",
        ),
        8,
    )
    board.add(
        lines(
            "Response",
            "Of a region, to list its recovery points.",
            {"{{region}}": top("vault_region_response_seconds", "region")},
            unit="s",
        ),
        8,
    )
    board.add(
        lines(
            "Leases",
            "For how long each has been held; none: free.",
            {"{{lease}}": age("lease_acquired_timestamp_seconds", "lease")},
            unit="s",
        ),
        8,
    )
    room = {
        "{{region}}: taken": top("vault_region_used_bytes", "region"),
        "{{region}}: there": top("vault_region_capacity_bytes", "region"),
    }
    board.add(
        lines(
            "Room",
            "Taken in each region, and how much there is, where that is known (vault.capacity, or a file system).",
            room,
            unit="bytes",
        ),
        8,
    )
    figures = {"age of these figures": age("scrape_timestamp_seconds"), "took": top("scrape_duration_seconds")}
    board.add(
        lines("Exporter", "How old these figures are, and how long looking at the vault took.", figures, unit="s"), 8
    )
    board.add(
        stat("Version", "Of the exporter.", {"{{version}}": "max by (version) (drkeeper_build_info)"})
        | {"options": NAMES_ONLY},
        8,
    )
