"""The dashboards' files: made as declared, and complete. What they ask for is in test_site."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(request.param.read_text())
    return made


def test_the_files_are_those_that_are_made_from_the_declarations(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(GRAFANA)!r}); import make; from pathlib import Path\n"
        f"make.FOLDER = Path({str(tmp_path)!r}); make.main()"
    )
    subprocess.run([sys.executable, "-B", "-c", script], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in FILES]
    for file in FILES:
        assert (tmp_path / file.name).read_text() == file.read_text(), (
            "run: python3 deploy/grafana/make.py"
        )


def test_grafanas_own_types_know_every_field(dashboard: dict[str, Any]) -> None:
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert unlike(dashboard, understood) == []


def unlike(given: Any, understood: Any, place: str = "") -> list[str]:
    """Where ``understood`` lacks what is given, or has something else."""
    if isinstance(given, dict) and isinstance(understood, dict):
        pairs = [(f"{place}.{key}", given[key], understood.get(key)) for key in given]
    elif isinstance(given, list) and isinstance(understood, list):
        both = itertools.zip_longest(given, understood)
        pairs = [(f"{place}[{number}]", *each) for number, each in enumerate(both)]
    else:
        return [] if given == understood else [place]
    return [found for at, one, other in pairs for found in unlike(one, other, at)]


def test_every_panel_says_what_it_shows_in_which_unit(dashboard: dict[str, Any]) -> None:
    assert dashboard["description"]
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in dashboard["panels"]:
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]


def test_panels_fit_the_page_and_do_not_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        xs = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(xs, range(place["y"], place["y"] + place["h"])))
        assert max(xs) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_panel_asks_the_data_source_that_is_provisioned(dashboard: dict[str, Any]) -> None:
    provisioned = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "vitalwatch.yml").read_text()
    )
    (source,) = provisioned["datasources"]
    asked = {"type": source["type"], "uid": source["uid"]}
    variables = dashboard["templating"]["list"]
    for asking in (*dashboard["panels"], *variables):
        assert asking["datasource"] == asked
    for panel in dashboard["panels"]:
        assert all(target["datasource"] == asked for target in panel["targets"])


def test_dashboards_have_addresses_of_their_own_and_a_provider() -> None:
    uids = [json.loads(file.read_text())["uid"] for file in FILES]
    assert uids == [f"vitalwatch-{file.stem}" for file in FILES]
    provisioned = yaml.safe_load(
        (GRAFANA / "provisioning" / "dashboards" / "vitalwatch.yml").read_text()
    )
    (provider,) = provisioned["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"]
