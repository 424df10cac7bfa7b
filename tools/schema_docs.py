"""docs/intent.schema.json, the JSON Schema of the inventory's variables, from the words of the intent.

.venv/bin/python -m tools.schema_docs [--check]
"""

from __future__ import annotations

import json
from pathlib import Path

from tools import generated  # first: it makes the collection importable

from ansible_collections.mailstead.stack.plugins.module_utils.intent.schema import json_schema  # isort: skip
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles  # isort: skip

TARGET = generated.ROOT / "docs/intent.schema.json"


def wanted() -> dict[Path, str]:
    return {TARGET: json.dumps(json_schema(profiles()), indent=2, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    generated.main(wanted(), "`.venv/bin/python -m tools.schema_docs`")
