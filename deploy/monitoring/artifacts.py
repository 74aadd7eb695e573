"""The dashboard's row of buckets of artifacts and their replicas."""

from panels import GREEN, RED, Board, age, lines, panel, top


def buckets(board: Board) -> None:
    board.row("Artifacts")
    board.add(
        lines(
            "Age of the replica",
            "What was in the bucket by then is in the other region; and how long the oldest object had waited that the "
            "newest run copied.",
            {
                "{{system}}": age("bucket_replica_as_of_timestamp_seconds", "system"),
                "{{system}}: waited": top("bucket_replica_behind_seconds", "system"),
            },
            unit="s",
        ),
        8,
    )
    failed = {
        "{{system}}: not copied": top("bucket_replica_failed_objects", "system"),
        "{{system}} {{region}}: {{level}}": top("bucket_damaged_objects", "system, region, level"),
    }
    board.add(
        lines(
            "Objects that failed",
            "That the newest run did not copy, and that did not pass the newest verification of each level.",
            failed,
            unit="none",
        ),
        8,
    )
    board.add(
        panel(
            "state-timeline",
            "Verified",
            "Whether the newest verification passed, by region and level; a region that was not checked did not.",
            {"{{system}} {{region}}: {{level}}": top("bucket_proof_passed", "system, region, level")},
            mappings=[
                {
                    "type": "value",
                    "options": {"1": {"text": "passed", "color": GREEN}, "0": {"text": "not passed", "color": RED}},
                }
            ],
            options={"showValue": "auto", "mergeValues": True},
        ),
        8,
    )
    board.add(
        lines(
            "Age of verifications",
            "Since a bucket was last looked at, by level, whatever was found.",
            {"{{system}}: {{level}}": age("bucket_proof_timestamp_seconds", "system, level")},
            unit="s",
        ),
        8,
    )
    board.add(
        lines(
            "Re-hashed",
            "Share of the objects that the present turn around all of them has read again.",
            {"{{system}} {{region}}": top("bucket_rehashed_ratio", "system, region")},
            unit="percentunit",
        ),
        8,
    )
    board.add(
        lines(
            "Age of the last whole turn",
            "All objects that were there then were read again since.",
            {"{{system}} {{region}}": age("bucket_rehashed_since_timestamp_seconds", "system, region")},
            unit="s",
        ),
        8,
    )
