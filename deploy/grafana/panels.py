"""What a dashboard and a panel are declared with."""

from typing import Literal, NamedTuple

Kind = Literal["stat", "timeseries", "heatmap", "bargauge", "table"]
Queries = tuple[tuple[str, str], ...]


class Panel(NamedTuple):
    """``queries`` are (PromQL, legend); ``unit`` is a word of Grafana's; ``limits`` turn it orange
    and red; ``width`` is in columns, of 24."""

    title: str
    description: str
    unit: str
    queries: Queries
    kind: Kind = "timeseries"
    width: int = 8
    limits: tuple[float, ...] = ()
    stacked: bool = False
    least: float | None = 0


class Dashboard(NamedTuple):
    """One page: ``name`` of the file, ``span`` of time that it opens with."""

    name: str
    title: str
    description: str
    span: str
    panels: tuple[Panel, ...]
