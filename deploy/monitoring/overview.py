"""The rows of the dashboard that one looks at first: what would be lost now, and what is proven."""

from panels import DAY, GREEN, RED, YELLOW, Board, age, lines, ours, panel, stat, steps, table, top

LEVELS = ("stored", "intact", "restorable", "usable")
RPO = 'objective="rpo"'
RTO = 'objective="rto"'
COMPLETE = 'status="complete"'
NOT_INFO = 'severity!="info"'
EXPOSURE = age("system_recoverable_until_timestamp_seconds", "policy, system", 'lost_region=""')


def now(board: Board) -> None:
    board.row("Now")
    board.add(
        stat(
            "Exposure",
            "Data that would be lost if all systems were lost now; the worst system. Red: more than the RPO.",
            {"": f"max({EXPOSURE})"},
            unit="s",
        ),
        4,
        5,
    )
    board.add(
        stat(
            "Exposure against RPO",
            "1 is the objective.",
            {"": f"max by (policy) ({EXPOSURE}) / on (policy) {top('objective_seconds', 'policy', RPO)}"},
            unit="percentunit",
            thresholds=steps((None, GREEN), (0.8, YELLOW), (1, RED)),
        ),
        4,
        5,
    )
    board.add(
        stat(
            "Measured RTO against objective",
            "Of the newest drill. 1 is the objective.",
            {"": f"{top('drill_rto_seconds')} / on (policy) {top('objective_seconds', 'policy', RTO)}"},
            unit="percentunit",
            thresholds=steps((None, GREEN), (0.8, YELLOW), (1, RED)),
        ),
        4,
        5,
    )
    board.add(
        stat(
            "Last drill that came back",
            "Since the newest drill in which everything came back and was verified.",
            {"": age("drill_recovered_timestamp_seconds")},
            unit="s",
            thresholds=steps((None, GREEN), (80 * DAY, YELLOW), (100 * DAY, RED)),
        ),
        4,
        5,
    )
    board.add(
        stat(
            "Newest point proven intact",
            "Age of the newest recovery point whose frames were all re-hashed, or that was restored.",
            {"": age("proof_point_as_of_timestamp_seconds", "policy", 'level="intact"')},
            unit="s",
            thresholds=steps((None, GREEN), (3 * DAY, YELLOW), (7 * DAY, RED)),
        ),
        4,
        5,
    )
    board.add(
        stat(
            "Regions up",
            "Regions of the vault that answer.",
            {
                "up": f"count(max by (region) ({ours('vault_region_up')}) == 1) or vector(0)",
                "of": f"count(max by (region) ({ours('vault_region_up')}))",
            },
        ),
        4,
        5,
    )
    board.add(
        {
            "type": "alertlist",
            "title": "Alerts",
            "description": "Of drkeeper, firing or pending.",
            "targets": [],
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {
                "alertName": "Drkeeper",
                "stateFilter": {"firing": True, "pending": True, "error": True},
                "viewMode": "list",
                "maxItems": 20,
                "sortOrder": 3,
            },
        },
        8,
        8,
    )
    board.add(
        table(
            "Systems",
            "In the newest point. Exposure counts from the newest point that holds the system whole and undamaged.",
            "system",
            {
                "Exposure": (f"max by (system) ({EXPOSURE})", "s"),
                "Complete": (top("system_status", "system", COMPLETE), "bool_yes_no"),
                "Size": (top("system_size_bytes", "system"), "bytes"),
                "Stored": (top("system_stored_bytes", "system"), "bytes"),
                "Capture": (top("system_capture_seconds", "system"), "s"),
                "Findings": (f"sum by (system) ({ours('system_findings', NOT_INFO)})", "none"),
            },
            "Exposure",
        ),
        16,
        8,
    )


def exposure(board: Board) -> None:
    rpo = f"min(max by (policy) ({ours('objective_seconds', RPO)}))"
    board.row("Exposure: what would be lost now")
    board.add(
        lines(
            "By system",
            "A saw: it grows with the clock and falls with each recovery point.",
            {"{{system}}": EXPOSURE, "RPO objective": rpo},
            limits=("RPO objective",),
            unit="s",
        ),
        12,
        9,
    )
    lost = age("system_recoverable_until_timestamp_seconds", "policy, lost_region", 'lost_region!=""')
    board.add(
        lines(
            "Should a region be lost too",
            "The best system; a region that is not drawn takes everything with it.",
            {"without {{lost_region}}": lost, "RPO objective": rpo},
            limits=("RPO objective",),
            unit="s",
        ),
        12,
        9,
    )
    board.add(
        lines(
            "Skew",
            "Last moment less first moment that systems of the newest point describe.",
            {"{{policy}}": top("newest_point_skew_seconds")},
            unit="s",
        ),
        8,
    )
    board.add(
        lines(
            "Recovery points",
            "In the vault, by purpose and state.",
            {"{{purpose}}, {{state}}": top("points", "purpose, state")},
            unit="none",
        ),
        8,
    )
    status = f"max by (system, status) ({ours('system_status')}) == 1"
    board.add(
        lines(
            "Status of systems",
            "In the newest point: one line for each system and its status.",
            {"{{system}}: {{status}}": status},
            unit="none",
            custom={"drawStyle": "points", "pointSize": 6},
        ),
        8,
    )


def proof(board: Board) -> None:
    board.row("Proof: stored < intact < restorable < usable")
    board.add(
        panel(
            "bargauge",
            "Age of the newest point proven",
            "At least at this level. No bar: never.",
            {level: age("proof_point_as_of_timestamp_seconds", "policy", f'level="{level}"') for level in LEVELS},
            unit="s",
            thresholds=steps((None, GREEN), (7 * DAY, YELLOW), (100 * DAY, RED)),
            options={
                "orientation": "horizontal",
                "displayMode": "gradient",
                "reduceOptions": {"calcs": ["lastNotNull"]},
            },
        ),
        6,
    )
    board.add(
        lines(
            "Since the last proof",
            "Of any point, at least at this level.",
            {"{{level}}": age("proof_timestamp_seconds", "policy, level")},
            unit="s",
        ),
        6,
    )
    board.add(
        lines(
            "Found damaged, or unreadable",
            "Points that a verification found wrong; records that are damaged in every region. Above 0 is an alert.",
            {
                "points found damaged": top("disproven_points"),
                "unreadable: {{record}}": top("unreadable_records", "policy, record"),
            },
            unit="none",
        ),
        6,
    )
    board.add(
        lines(
            "Verified by region",
            "Age of the newest point that a verification found whole in each region.",
            {
                "{{region}}, {{level}}": age(
                    "vault_region_proof_point_as_of_timestamp_seconds", "region, level", 'level=~"stored|intact"'
                )
            },
            unit="s",
        ),
        6,
    )
