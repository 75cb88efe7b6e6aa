#!/usr/bin/env python3
"""Writes the Grafana dashboards: python3 deploy/grafana/make.py

What a panel shows is declared in the file of its page; what Grafana wants besides stands
here, once. Needs nothing but Python.
"""

import json
from pathlib import Path
from typing import Any, Final

from engine import ENGINE
from model import MODEL
from panels import Dashboard, Panel
from ward import WARD

DASHBOARDS: Final = (WARD, ENGINE, MODEL)
FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "vitalwatch"}
COLUMNS: Final = 24
HEIGHTS: Final = {"stat": 4, "timeseries": 8, "heatmap": 8, "bargauge": 8, "table": 8}


def main() -> None:
    """Write one file a dashboard."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(text(dashboard))


def text(dashboard: Dashboard) -> str:
    """A dashboard as the file that Grafana reads."""
    made = {
        "uid": f"vitalwatch-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["vitalwatch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one cursor on all panels
        "time": {"from": f"now-{dashboard.span}", "to": "now"},
        "timezone": "browser",
        "refresh": "30s",
        "links": [
            {
                "title": "VitalWatch",
                "type": "dashboards",
                "tags": ["vitalwatch"],
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_job()]},
        "panels": _placed(dashboard.panels),
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _job() -> dict[str, Any]:
    query = "label_values(vitalwatch_readings_scored_total, job)"
    return {
        "name": "job",
        "label": "Job",
        "description": "Workers that are looked at together.",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "job"},
        "refresh": 1,
        "current": {"text": "vitalwatch", "value": "vitalwatch"},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right, in rows as high as their highest."""
    found, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        high = HEIGHTS[panel.kind]
        place = {"x": x, "y": y, "w": panel.width, "h": high}
        found.append({"id": number, "gridPos": place, **_panel(panel)})
        x, height = x + panel.width, max(height, high)
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": panel.least}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {
            "fillOpacity": 40 if panel.stacked else 0,
            "stacking": stacking,
            "showPoints": "never",
        }
    if panel.limits:
        colours = ("green", "orange", "red")
        steps = zip(colours, (None, *panel.limits), strict=False)
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for colour, value in steps],
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {k: v for k, v in defaults.items() if v is not None},
            "overrides": [],
        },
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                **_format(panel),
            }
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }


def _format(panel: Panel) -> dict[str, Any]:
    if panel.kind == "heatmap":
        return {"format": "heatmap"}
    if panel.kind == "table":
        return {"format": "table", "instant": True}
    return {"instant": True} if panel.kind == "bargauge" else {}


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "values": False}
    if panel.kind == "stat":
        return {"reduceOptions": last, "colorMode": "value", "graphMode": "area"}
    if panel.kind == "bargauge":
        return {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic"}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "legend": {"show": True}}
    if panel.kind == "table":
        return {"showHeader": True}
    return {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


if __name__ == "__main__":
    main()
