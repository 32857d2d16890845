"""Writes the dated tables anew from the packages they are taken from, as requirements-dev.txt and
the compile's requirements have them.

    python -m stacks.catalogue.refresh images amis regions
    python -m stacks.catalogue.refresh neuron_sdks=n2-manifest.json

The last one's file is aws-neuron-sdk's src/helperscripts/n2-manifest.json; what the release notes
say (least_driver) is kept, and taken over by releases after it. Prices:
`python -m benchmark prices --refresh`.
"""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from stacks.catalogue.hosts import DATA, version
from stacks.settings import ROOT
from stacks.settings.compile import TRAINIUM_INSTANCES
from stacks.settings.neuron import INF2_INSTANCES
from stacks.settings.variant import GPU_INSTANCES

Table = dict[str, Any]
# repository → (the SDK's list, path in it)
IMAGE_LISTS = {
    "huggingface-pytorch-inference": (
        "huggingface",
        ("inference", "versions", "4.51.3", "pytorch2.6.0"),
    ),
    "djl-inference": ("djl-deepspeed", ("versions", "0.27.0")),
    "huggingface-pytorch-inference-neuronx": (
        "huggingface-neuronx",
        ("inference", "versions", "4.55.4", "pytorch2.7.1"),
    ),
}
# purpose → (cfn-lint's list, what its names lack, instance types, what it is)
INSTANCE_LISTS = {
    "hosting": (
        "aws_sagemaker_hosting",
        "",
        (*GPU_INSTANCES, *INF2_INSTANCES),
        "which it takes from AWS's price list (component Hosting)",
    ),
    "training": (
        "aws_ec2_instance",
        "ml.",
        (*GPU_INSTANCES, *TRAINIUM_INSTANCES),
        "from EC2's price list: no list of SageMaker's own for training was found, and a job's "
        "machine is one of the region's EC2 types",
    ),
}


def sdk_wheel() -> Path:
    """The pinned SageMaker SDK's wheel alone, 2 MB, kept for the next time."""
    pinned = (ROOT / "stacks" / "build_scripts" / "requirements-compile.txt").read_text()
    found = re.search(r"^sagemaker==(\S+)$", pinned, re.MULTILINE)
    assert found
    folder = ROOT / ".envs" / f"sagemaker-{found[1]}"
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command = [*pip, "--dest", str(folder), found[0]]
        subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def images() -> Table:
    wheel = sdk_wheel()
    accounts = {}
    with zipfile.ZipFile(wheel) as files:
        for repository, (name, path) in IMAGE_LISTS.items():
            entry = json.loads(files.read(f"sagemaker/image_uri_config/{name}.json"))
            for step in path:
                entry = entry[step]
            assert entry["repository"] == repository
            registries = sorted(entry["registries"].items())
            accounts[repository] = {r: account for r, account in registries if "iso" not in r}
    lists = ",".join(name for name, _ in IMAGE_LISTS.values())
    source = (
        f"PyPI sagemaker {wheel.name.split('-')[1]}, sagemaker/image_uri_config/{{{lists}}}.json; "
        "the isolated (iso) regions are left out"
    )
    return {"source": source, "accounts": accounts}


def amis() -> Table:
    import botocore.session

    model = botocore.session.Session().get_service_model("sagemaker")
    shape: Any = model.shape_for("ProductionVariant")
    shape = shape.members["InferenceAmiVersion"]
    described = re.sub(r"<[^>]+>|\s+", " ", shape.documentation)
    labels = {
        "nvidia_driver": "NVIDIA driver version",
        "cuda": "CUDA version",
        "neuron_driver": "Neuron driver version",
    }
    found = {}
    for name in shape.enum:
        said = re.split(r"\bal\S+-ami-", described.split(f" {name} ", 1)[1])[0]
        told = {key: re.search(rf"{label}: ([\d.]+)", said) for key, label in labels.items()}
        found[name] = {key: match[1] for key, match in told.items() if match}
    source = (
        f"botocore {package_version('botocore')}, SageMaker, ProductionVariant.InferenceAmiVersion"
    )
    return {"source": source, "amis": found}


def regions() -> Table:
    import cfnlint

    schemas = Path(cfnlint.__file__).parent / "data" / "schemas"
    package = package_version("cfn-lint")
    dated = json.loads((schemas / "version.json").read_text())["schema_date"][:10]
    tables = {}
    for purpose, (name, prefix, types, origin) in INSTANCE_LISTS.items():
        place = f"extensions/{name}/instancetype_enum.json"
        listed = json.loads((schemas / place).read_text())
        tables[purpose] = {
            "date": dated,
            "source": f"PyPI cfn-lint {package}, data/schemas/{place}, {origin}",
            "regions": {
                region: [t for t in types if t.removeprefix(prefix) in found["enum"]]
                for region, found in sorted(listed.items())
                if isinstance(found, dict) and region != "all"
            },
        }
    return tables


def neuron_sdks(manifest: Mapping[str, Any], known: Table) -> Table:
    sdks: dict[str, Any] = {}
    least = None
    for release in sorted(manifest["neuron_releases"], key=lambda r: version(r["neuron_version"])):
        name = release["neuron_version"]
        packages = {
            package["name"]: package["version"]
            for package in release["packages"]
            if "inf2" in package["supported_instances"]
        }
        runtime, driver = (packages.get(f"aws-neuronx-{part}") for part in ("runtime-lib", "dkms"))
        if runtime and driver and version(name) >= version(min(known["sdks"], key=version)):
            least = known["sdks"].get(name, {"least_driver": least})["least_driver"]
            sdks[name] = {"runtime": runtime, "driver": driver, "least_driver": least}
    month, day, year = manifest["manifest_date"].split("/")
    source = (
        "aws-neuron/aws-neuron-sdk, src/helperscripts/n2-manifest.json of "
        f"{year}-{month}-{day}: the packages aws-neuronx-runtime-lib and aws-neuronx-dkms for inf2"
    )
    return {**known, "source": source, "sdks": sdks}


def write(name: str, table: Table) -> None:
    text = json.dumps({"read": date.today().isoformat(), **table}, indent=2)
    # Lists and releases each on a line, to be read and compared.
    text = re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda m: f"[{_joined(m[1])}]", text)
    text = re.sub(r'\{\s+("runtime"[^{}]+?)\s+\}', lambda m: f"{{ {_joined(m[1])} }}", text)
    (DATA / f"{name}.json").write_text(f"{text}\n")


def _joined(lines: str) -> str:
    return re.sub(r",\s+", ", ", lines)


def main(wanted: list[str]) -> None:
    makers = {"images": images, "amis": amis, "regions": regions}
    for each in wanted:
        name, _, path = each.partition("=")
        if name == "neuron_sdks":
            known = json.loads((DATA / "neuron_sdks.json").read_text())
            known.pop("read")
            write(name, neuron_sdks(json.loads(Path(path).read_text()), known))
        elif name in makers:
            write(name, makers[name]())
        else:
            sys.exit(f"{each} is none of {', '.join(makers)}, neuron_sdks=<file>")


if __name__ == "__main__":
    main(sys.argv[1:])
