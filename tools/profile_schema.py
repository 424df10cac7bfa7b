"""templates/providers/schema.json, the JSON Schema of a provider's profile, from the words of profiles.

.venv/bin/python -m tools.profile_schema [--check]
"""

from __future__ import annotations

import json
from pathlib import Path

from tools import generated  # first: it makes the collection importable

from ansible_collections.mailstead.stack.plugins.module_utils.providers.words import json_schema  # isort: skip

TARGET = generated.ROOT / "templates/providers/schema.json"


def wanted() -> dict[Path, str]:
    return {TARGET: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    generated.main(wanted(), "`.venv/bin/python -m tools.profile_schema`")
