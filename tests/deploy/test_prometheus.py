"""What Prometheus and Alertmanager are given: valid, tested by cases, and explained."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vitalwatch import config
from vitalwatch.commands.main import COMMANDS, parser

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = ("recording.yml", "alerts.yml")
CASES = sorted((Path(__file__).parent / "rules").glob("*.yml"))
RUNBOOK = (DEPLOY / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
OTHERS = ("curl", "kcat", "promtool", "py-spy")
"""Programs of others that the runbook may tell to run."""


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", RUNBOOK, re.M | re.S)
    return found


def checked(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_configuration_and_rules_are_valid(needs: Callable[..., str]) -> None:
    promtool = needs("promtool")
    told = checked(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert "2 rule files found" in told
    lint = ("--lint=all", "--lint-fatal")
    checked(promtool, "check", "rules", *lint, *(DEPLOY / "prometheus" / name for name in RULES))


def test_routes_and_inhibitions_are_valid_and_a_page_goes_to_whoever_is_on_call(
    needs: Callable[..., str],
) -> None:
    amtool, file = needs("amtool"), DEPLOY / "alertmanager" / "alertmanager.yml"
    assert "2 receivers" in checked(amtool, "check-config", file)
    route = (amtool, "config", "routes", "test", f"--config.file={file}")
    assert checked(*route, "severity=page", "job=vitalwatch").strip() == "on-call"
    assert checked(*route, "severity=ticket", "job=vitalwatch").strip() == "tickets"


def test_inhibitions_are_of_alerts_that_there_are() -> None:
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    names = {rule["alert"] for rule in alerts()}
    for rule in yaml.safe_load(file.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = re.fullmatch(r'alertname=~?"(.*)"', matcher)
            assert pattern is not None
            branches = re.fullmatch(r"(\w+)\((.*)\)", pattern[1])
            named = (
                [branches[1] + end for end in branches[2].split("|")] if branches else [pattern[1]]
            )
            assert set(named) <= names, matcher


@pytest.mark.parametrize("file", CASES, ids=lambda path: path.stem)
def test_rules_fire_where_they_should_and_only_there(file: Path, needs: Callable[..., str]) -> None:
    checked(needs("promtool"), "test", "rules", file)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = [test for file in CASES for test in yaml.safe_load(file.read_text())["tests"]]
    fires: set[str] = set()
    asked: list[tuple[str, set[str]]] = []
    for test in tests:
        for case in test["promql_expr_test"]:
            told = {
                name
                for sample in case.get("exp_samples", [])
                for name in re.findall(r'alertname="(\w+)"', sample["labels"])
            }
            fires |= told
            asked.append((case["expr"], told))
    for rule in alerts():
        name = rule["alert"]
        assert name in fires, f"{name} never fires"
        silent = any(f'alertname="{name}"' in expr and not told for expr, told in asked)
        assert silent, f"{name} is never seen not to fire"


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()


def test_every_alert_has_its_section_in_the_runbook_and_no_section_is_left_over() -> None:
    assert list(SECTIONS) == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (ROOT / file).samefile(DEPLOY / "runbook.md")
        assert anchor == rule["alert"].lower()
    for name, text in SECTIONS.items():
        assert "**Means** " in text, name
        assert "**Do** " in text, name
        assert "```" in text, name
    for anchor in re.findall(r"\]\(#(\w+)\)", RUNBOOK):
        assert anchor in map(str.lower, SECTIONS)


def test_what_the_runbook_tells_to_run_exists() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    ours = [shlex.split(line)[1:] for line in lines if line.startswith("vitalwatch ")]
    assert ours
    for arguments in ours:
        assert arguments[0] in COMMANDS
        parser().parse_args(arguments)  # exits where a flag is unknown
    assert all(line.split()[0] in (*OTHERS, "vitalwatch") for line in lines)


def test_every_path_and_setting_that_the_runbook_names_exists() -> None:
    for path in re.findall(r"(deploy/[\w./-]+\w)", RUNBOOK):
        assert (ROOT / path).exists(), path
    known = {setting.key for setting in config.SETTINGS}
    for name in re.findall(r"`([a-z]+\.[a-z_]+)`", RUNBOOK):
        assert name in known or name.split(".")[0] not in config.SECTIONS, name
