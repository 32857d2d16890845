"""Checkers by others that run as programs, from `.envs/checks` (tests/environments/checks.txt)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.environments.test_environments import install
from tests.infrastructure.physical_values import PhysicalValues

# Of a service that is younger than parliament's list of them (iam_definition.json, 1.6.4).
TOO_YOUNG = "UNKNOWN_PREFIX Unknown prefix s3vectors"
POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")


def workflow_problems(workflow: Path) -> list[str]:
    """By GitHub's schema, and by zizmor: what a stranger's pull request could do to it."""
    schema = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", "-o", "json",
                 str(workflow))  # fmt: skip
    found = [f"schema: {error['message']}" for error in json.loads(schema).get("errors", ())]
    done = subprocess.run(
        [str(install("checks") / "bin" / "zizmor"), "--offline", "--format", "json-v1", workflow],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("["), done.stderr
    return found + [f"zizmor: {each['ident']}, {each['desc']}" for each in json.loads(done.stdout)]


def run(program: str, *arguments: str, folder: Path | None = None) -> str:
    """What it prints, with its packages found first."""
    packages = install("checks")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(packages / "bin" / program), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(packages)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    # A Python program that crashes ends with 1 as well, and prints nothing.
    told = done.returncode == 0 or (done.returncode == 1 and done.stdout)
    assert told, done.stdout + done.stderr
    return done.stdout


def checkov(templates: Sequence[Path]) -> list[str]:
    """Each finding that isn't acknowledged on its resource."""
    files = [word for path in templates for word in ("-f", str(path))]
    printed = run("checkov", "--framework", "cloudformation", "--skip-download",
                  "--compact", "-o", "json", *files)  # fmt: skip
    report = json.loads(printed)
    # One that finds nothing to look at passes too, with no results.
    assert report["summary"]["resource_count"] > 0, report
    assert report["summary"]["parsing_errors"] == 0, report["results"]["parsing_errors"]
    return [
        f"{Path(found['file_path']).name}/{found['resource']}: {found['check_id']}, "
        f"{found['check_name']}"
        for found in report["results"]["failed_checks"]
    ]


def identity_policies(
    templates: Mapping[str, Mapping[str, Any]], region: str
) -> dict[str, dict[str, Any]]:
    """What roles may do: documents with nothing left to fill in, by stack and logical id."""
    values = PhysicalValues(templates, region)
    found = {}
    for stack, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] in POLICIES:
                document = values.properties(stack, logical_id)["PolicyDocument"]
                found[f"{stack}.{logical_id}"] = document
            elif resource["Type"] == "AWS::IAM::Role":
                for policy in values.properties(stack, logical_id).get("Policies", ()):
                    name = f"{stack}.{logical_id}.{policy['PolicyName']}"
                    found[name] = policy["PolicyDocument"]
    return found


def parliament(policies: Mapping[str, Any], folder: Path) -> list[str]:
    """Each finding but of what it can't know; `folder` takes the policies."""
    for name, document in policies.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    printed = run("parliament", "--json", "--directory", ".", "--include_policy_extension",
                  ".json", folder=folder)  # fmt: skip
    found = [json.loads(line) for line in printed.splitlines()]
    told = [
        (Path(each["location"]["filepath"]).stem, f"{each['issue']} {each['detail']}")
        for each in found
    ]
    return [f"{policy}: {finding}" for policy, finding in told if finding != TOO_YOUNG]
