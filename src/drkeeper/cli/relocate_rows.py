"""Relocations as rows and records; keys are an interface."""

import sys
from typing import TYPE_CHECKING, TextIO

from drkeeper.cli.output import Column, Output, Row, human_duration, human_time, show

if TYPE_CHECKING:
    from drkeeper._relocation.records import RelocationRecord
    from drkeeper.relocation import Prepared, State

COLUMN_COLUMNS = (
    Column("column"),
    Column("rows", right=True),
    Column("too_long", right=True),
    Column("already", "THERE ALREADY", right=True),
    Column("example"),
    Column("becomes"),
    Column("limit", right=True, wide=True),
    Column("holds", wide=True),
)
TEXT_COLUMNS = (Column("column", "LEFT AS IT IS"), Column("rows", "ROWS WITH AN OLD PLACE", right=True))
STATE_COLUMNS = (
    Column("application"),
    Column("system"),
    Column("primary"),
    Column("at_source", right=True),
    Column("at_replica", right=True),
    Column("state"),
    Column("last.at", "RELOCATED", form=human_time),
    Column("source", "SOURCE URL", wide=True),
    Column("replica", "REPLICA URL", wide=True),
)


def plan_data(prepared: "Prepared") -> Row:
    """A plan with everything that it was made from."""
    plan = prepared.plan
    return {
        "application": prepared.place.application,
        "moves": [{"from": move.old, "to": move.new} for move in plan.moves],
        "rows": plan.rows,
        "columns": [
            {
                "column": each.location.name,
                "holds": each.location.holds,
                "limit": each.location.limit,
                "rows": each.rows,
                "already": each.already,
                "too_long": each.too_long,
                "too_long_rows": each.too_long_rows,
                "examples": [{"from": old, "to": new} for old, new in each.examples],
            }
            for each in plan.columns
        ],
        "proxied": plan.proxied,
        "elsewhere": plan.elsewhere,
        "free_text": [{"column": each.name, "rows": each.rows, "begins": each.begins} for each in prepared.free_text],
        "notes": prepared.notes,
        "refusals": plan.refusals,
    }


def show_plan(prepared: "Prepared", output: Output, *, stream: TextIO | None = None) -> None:
    """A plan for people: moves, columns, what is left as it is, what to do, refusals."""
    out, plan = stream or sys.stdout, prepared.plan
    moves = "; ".join(f"{move.old} becomes {move.new}" for move in plan.moves)
    head = {"application": prepared.place.application, "moves": moves, "rows": f"{plan.rows:,} to be rewritten"}
    show(head, "table", [Column(key) for key in head if head[key]], stream=out)
    columns = [_column(each) for each in plan_data(prepared)["columns"] if each["rows"] or each["already"]]
    if columns:
        out.write("\n")
        show(columns, "wide" if output == "wide" else "table", COLUMN_COLUMNS, stream=out)
    if prepared.free_text:
        out.write("\n")
        rows = [{"column": each.name, "rows": _counted(each.rows)} for each in prepared.free_text]
        show(rows, "table", TEXT_COLUMNS, stream=out)
    out.write("\n" if prepared.notes or plan.refusals else "")
    out.writelines(f"note: {words}\n" for words in prepared.notes)
    out.writelines(f"refused: {words}\n" for words in plan.refusals)


def record_data(application: str, record: "RelocationRecord | None") -> Row:
    """What came of a relocation; nothing where there was nothing to do."""
    if record is None:
        return {"application": application, "rows": 0, "relocation_id": None}
    return {**record.model_dump(mode="json", exclude={"rows"}), "rows": record.total, "columns": record.rows}


def record_text(record: "RelocationRecord") -> str:
    """The same for people."""
    took, places = human_duration(record.elapsed_seconds), ", ".join(move.new for move in record.moves)
    left = f"; {record.left:,} were written at the old place meanwhile: run it again" if record.left else ""
    return f"{record.application}: {record.total:,} locations lead to {places} now, after {took}{left}\n"


def state_rows(state: "State") -> Row:
    """Where the locations of one bucket lead."""
    last = state.last
    return {
        "application": state.application,
        "system": state.pair.system,
        "primary": state.roles.primary,
        "at_source": state.at_source,
        "at_replica": state.at_replica,
        "state": state.problem or "settled",
        "settled": not state.problem,
        "source": state.pair.source,
        "replica": state.pair.replica,
        "last": last and {**last.model_dump(mode="json"), "at": last.at},
    }


def _column(row: Row) -> Row:
    example: Row = next(iter(row["examples"]), {})
    return {**row, "example": example.get("from"), "becomes": example.get("to")}


def _counted(rows: int | None) -> str:
    return "not counted: it took too long" if rows is None else f"{rows:,}"
