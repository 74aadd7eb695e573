"""The panels of a Grafana dashboard, so that a query is written once instead of in fifty places of JSON."""

from typing import Any

Json = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
P = 'policy=~"$policy"'

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
DAY = 86400
NAMES_ONLY = {
    "colorMode": "background",
    "graphMode": "none",
    "textMode": "name",
    "reduceOptions": {"calcs": ["lastNotNull"]},
}


def ours(name: str, labels: str = "") -> str:
    """A gauge of the chosen policies; what several exporters say of one is the same."""
    return f"drkeeper_{name}{{{P}{', ' if labels else ''}{labels}}}"


def top(name: str, by: str = "policy", labels: str = "") -> str:
    return f"max by ({by}) ({ours(name, labels)})"


def age(name: str, by: str = "policy", labels: str = "") -> str:
    return f"time() - {top(name, by, labels)}"


class Board:
    """Panels from left to right, row after row."""

    def __init__(self) -> None:
        self.panels: list[Json] = []
        self._x = self._y = self._height = 0

    def row(self, title: str) -> None:
        self._wrap()
        self.panels.append(self._at({"type": "row", "title": title, "collapsed": False, "panels": []}, WIDTH, 1))
        self._wrap()

    def add(self, panel: Json, width: int, height: int = 7) -> None:
        if self._x + width > WIDTH:
            self._wrap()
        self.panels.append(self._at({**panel, "datasource": SOURCE}, width, height))

    def _at(self, panel: Json, width: int, height: int) -> Json:
        placed = {**panel, "id": len(self.panels) + 1}
        placed["gridPos"] = {"x": self._x, "y": self._y, "w": width, "h": height}
        self._x += width
        self._height = max(self._height, height)
        return placed

    def _wrap(self) -> None:
        self._y += self._height
        self._x = self._height = 0


def target(number: int, expr: str, legend: str, *, instant: bool = False, table: bool = False) -> Json:
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        **({"format": "table"} if table else {}),
    }


def panel(kind: str, title: str, says: str, queries: dict[str, str], **more: Any) -> Json:
    """`queries` are legend -> expression; `more` goes into the defaults of fields, or is `options`."""
    instant = kind in {"stat", "bargauge", "gauge"}
    options = more.pop("options", {})
    overrides = more.pop("overrides", [])
    return {
        "type": kind,
        "title": title,
        "description": says,
        "targets": [target(n, expr, legend, instant=instant) for n, (legend, expr) in enumerate(queries.items())],
        "fieldConfig": {"defaults": more, "overrides": overrides},
        "options": options,
    }


def steps(*pairs: tuple[float | None, str]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in pairs]}


def stat(title: str, says: str, queries: dict[str, str], **more: Any) -> Json:
    more.setdefault("thresholds", steps((None, BLUE)))
    options = {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"]},
    }
    return panel("stat", title, says, queries, noValue="not known", options=options, **more)


def lines(title: str, says: str, queries: dict[str, str], *, limits: tuple[str, ...] = (), **more: Any) -> Json:
    """Legends in `limits` are drawn as dashed red lines."""
    more["custom"] = {
        "lineWidth": 2,
        "fillOpacity": 8,
        "showPoints": "auto",
        "spanNulls": 3_600_000,
        **more.get("custom", {}),
    }
    dashed = [
        {
            "matcher": {"id": "byName", "options": limit},
            "properties": [
                {"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
                {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
                {"id": "custom.fillOpacity", "value": 0},
            ],
        }
        for limit in limits
    ]
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi"},
    }
    return panel("timeseries", title, says, queries, overrides=dashed, options=options, **more)


def table(title: str, says: str, by: str, columns: dict[str, tuple[str, str]], sort: str) -> Json:
    """`columns` are title -> (expression, unit); joined by the label `by`."""
    made = panel("table", title, says, {})
    letters = {column: chr(ord("A") + number) for number, column in enumerate(columns)}
    made["targets"] = [
        target(number, expr, column, instant=True, table=True)
        for number, (column, (expr, _)) in enumerate(columns.items())
    ]
    made["transformations"] = [
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {
                    f"Time{suffix}": True for suffix in ("", *(f" {n}" for n in range(1, len(columns) + 1)))
                },
                "renameByName": {
                    by: by.capitalize(),
                    **{f"Value #{letter}": column for column, letter in letters.items()},
                },
            },
        },
    ]
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": column}, "properties": [{"id": "unit", "value": unit}]}
        for column, (_, unit) in columns.items()
    ]
    made["options"] = {"showHeader": True, "sortBy": [{"displayName": sort, "desc": True}]}
    return made
