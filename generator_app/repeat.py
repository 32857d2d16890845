"""The lines that make a result again: curl, Python and Node."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from generator_app.client import kind

OPENAI = ("model", "prompt", "n", "size", "response_format", "output_format", "image", "mask")
"""Fields that OpenAI's clients know; the others are this API's own."""
FILES = ("image", "mask")


def curl(url: str, fields: Mapping[str, Any]) -> str:
    """An edit's as a form, whose files are picture.png and mask.png."""
    lines = [f"curl -s {shlex.quote(f'{url}/images/{kind(fields)}')}", '-H "x-api-key: $KEY"']
    if kind(fields) == "edits":
        for name, value in fields.items():
            sent = f"@{_file(name)}" if name in FILES else value
            option = "-F" if name in FILES else "--form-string"
            lines.append(f"{option} {shlex.quote(f'{name}={sent}')}")
    else:
        lines.append("-H 'content-type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(dict(fields), ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def python(url: str, fields: Mapping[str, Any]) -> str:
    """With OpenAI's client."""
    known = [f"    {name}={_python(name, fields[name])}," for name in OPENAI if name in fields]
    if own := _own(fields):
        known.append(f"    extra_body={own!r},")
    method = "edit" if kind(fields) == "edits" else "generate"
    return "\n".join(
        (
            "import os",
            "",
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url={json.dumps(url)}, api_key=os.environ["KEY"])',
            f"drawn = client.images.{method}(",
            *known,
            ")",
            "print(drawn.data[0].url)",
        )
    )


def node(url: str, fields: Mapping[str, Any]) -> str:
    """With OpenAI's client, whose types don't know this API's own fields: JavaScript."""
    edit = kind(fields) == "edits"
    known = [f"  {name}: {_node(name, fields[name])}," for name in OPENAI if name in fields]
    known += [f"  {name}: {_json(value)}," for name, value in _own(fields).items()]
    return "\n".join(
        (
            *(["import fs from 'node:fs';"] if edit else []),
            "import OpenAI from 'openai';",
            "",
            f"const client = new OpenAI({{ baseURL: {json.dumps(url)}, "
            "apiKey: process.env.KEY });",
            f"const drawn = await client.images.{'edit' if edit else 'generate'}({{",
            *known,
            "});",
            "console.log(drawn.data[0].url);",
        )
    )


def _own(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in OPENAI}


def _file(name: str) -> str:
    return "picture.png" if name == "image" else "mask.png"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _python(name: str, value: Any) -> str:
    return f'open("{_file(name)}", "rb")' if name in FILES else repr(value)


def _node(name: str, value: Any) -> str:
    return f"fs.createReadStream('{_file(name)}')" if name in FILES else _json(value)
