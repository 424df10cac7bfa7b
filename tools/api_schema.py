"""Cuts the answers that the API twin gives out of Cloudflare's published OpenAPI description, as JSON Schema.

.venv/bin/python -m tools.api_schema OPENAPI.json [OUTPUT.json]

The description is the file `openapi.json` of the repository cloudflare/api-schemas (BSD-3-Clause, kept in the result). The
tests of the twin look for the result at build/api-schema/cloudflare.json and check every answer against it, beside the
shapes of their own that they always check.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "api-schema" / "cloudflare.json"

#: What the twin serves, in the description's words.
PATHS = (
    "/zones",
    "/zones/{zone_id}",
    "/zones/{zone_id}/dns_settings",
    "/zones/{zone_id}/dnssec",
    "/zones/{zone_id}/dnssec/zsk",
    "/zones/{zone_id}/dns_records",
    "/zones/{zone_id}/dns_records/{dns_record_id}",
    "/zones/{zone_id}/dns_records/batch",
    "/zones/{zone_id}/dns_records/import",
    "/zones/{zone_id}/dns_records/scan",
    "/zones/{zone_id}/dns_records/scan/review",
    "/zones/{zone_id}/dns_records/scan/trigger",
    "/zones/{zone_id}/dns_records/usage",
    "/zones/{zone_id}/email/routing",
    "/zones/{zone_id}/email/routing/dns",
    "/zones/{zone_id}/email/routing/enable",
    "/zones/{zone_id}/email/routing/unlock",
    "/zones/{zone_id}/email/routing/disable",
    "/zones/{zone_id}/email/routing/rules",
    "/zones/{zone_id}/email/routing/rules/catch_all",
    "/zones/{zone_id}/email/routing/rules/{rule_identifier}",
    "/accounts/{account_id}/email/routing/rules",
    "/accounts/{account_id}/email/routing/addresses",
    "/accounts/{account_id}/email/routing/addresses/{destination_address_identifier}",
    "/accounts/{account_id}/cfd_tunnel",
    "/accounts/{account_id}/cfd_tunnel/{tunnel_id}",
    "/accounts/{account_id}/cfd_tunnel/{tunnel_id}/configurations",
    "/accounts/{account_id}/cfd_tunnel/{tunnel_id}/connections",
    "/accounts/{account_id}/cfd_tunnel/{tunnel_id}/token",
    "/accounts/{account_id}/access/apps",
    "/accounts/{account_id}/access/apps/{app_id}",
    "/accounts/{account_id}/access/organizations",
    "/accounts/{account_id}/access/policies",
    "/accounts/{account_id}/access/policies/{policy_id}",
    "/accounts/{account_id}/access/service_tokens",
    "/accounts/{account_id}/access/service_tokens/{service_token_id}",
    "/accounts/{account_id}/access/service_tokens/{service_token_id}/refresh",
    "/accounts/{account_id}/access/service_tokens/{service_token_id}/rotate",
    "/accounts/{account_id}/workers/domains",
    "/accounts/{account_id}/workers/domains/{domain_id}",
    "/accounts/{account_id}/workers/scripts",
    "/accounts/{account_id}/workers/scripts/{script_name}",
    "/accounts/{account_id}/workers/scripts/{script_name}/settings",
    "/accounts/{account_id}/logs/audit",
    "/accounts/{account_id}/audit_logs",
    "/accounts/{account_id}/email/sending/suppressions",
    "/accounts/{account_id}/email/sending/suppressions/{suppression_id}",
    "/zones/{zone_id}/email/sending/subdomains",
    "/zones/{zone_id}/email/sending/subdomains/preview",
    "/zones/{zone_id}/email/sending/subdomains/{subdomain_id}",
    "/zones/{zone_id}/email/sending/subdomains/{subdomain_id}/dns",
    "/zones/{zone_id}/email/sending/subdomains/{subdomain_id}/dns/status",
    "/graphql",
    "/accounts/{account_id}/dns_records/usage",
    "/accounts/{account_id}/tokens/verify",
    "/accounts/{account_id}/tokens/permission_groups",
    "/user/tokens/verify",
    "/user/tokens/permission_groups",
)
METHODS = ("get", "post", "put", "patch", "delete")
#: Said about a value, not required of it.
SILENT = frozenset(
    [
        *("description", "title", "example", "examples", "default", "deprecated"),
        *("readOnly", "writeOnly", "discriminator", "externalDocs", "xml"),
    ]
)
#: Names of properties stand under these keys: they are kept whatever they are called.
NAMED = frozenset(["properties", "patternProperties"])


def convert(schema: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema 2020-12: ``nullable``, exclusive bounds and references have other forms."""
    if isinstance(schema, list):
        return [convert(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: {name: convert(value) for name, value in item.items()} if key in NAMED else convert(item)
        for key, item in schema.items()
        if key not in SILENT and not key.startswith("x-") and key not in ("nullable", "$ref")
    }
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if out.get(exclusive) is True:
            out[exclusive] = out.pop(bound)
        elif out.get(exclusive) is False:
            del out[exclusive]
    if "$ref" in schema:
        out["$ref"] = "#/$defs/" + component(schema["$ref"])
    return {"anyOf": [out, {"type": "null"}]} if schema.get("nullable") is True else out


def component(reference: str) -> str:
    """The name behind ``#/components/schemas/<name>``. Raises ValueError for a reference elsewhere."""
    prefix = "#/components/schemas/"
    if not reference.startswith(prefix):
        raise ValueError(f"{reference} is no schema of this description")
    return reference.removeprefix(prefix)


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a converted schema uses."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/$defs/")
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)


def answer_schema(status: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer. Refusals are described as a success and a failure at once, which nothing can be: the part
    that says failure is the one meant."""
    failures = [part for part in schema.get("allOf", ()) if str(part.get("$ref", "")).endswith("-failure")]
    return {"allOf": failures} if failures and not status.startswith("2") else schema


def shape(path: str) -> str:
    """A path whatever its parameters are called, which differs between parts of the description."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def trim(document: dict[str, Any]) -> dict[str, Any]:
    """``{source, license, answers: {"GET /zones": {"200": schema}}, missing, $defs}``. missing: paths it does not have.

    Statuses are as in the description: a number or a class in either case (``4XX``, ``4xx``).
    """
    described = {shape(path): operations for path, operations in document["paths"].items()}
    answers: dict[str, dict[str, Any]] = {}
    for path in PATHS:
        for method, operation in described.get(shape(path), {}).items():
            if method not in METHODS:
                continue
            found = {
                status: convert(answer_schema(status, answer["content"]["application/json"]["schema"]))
                for status, answer in operation["responses"].items()
                if "application/json" in answer.get("content", {})
            }
            if found:
                answers[f"{method.upper()} {path}"] = found
    components = document["components"]["schemas"]
    definitions: dict[str, Any] = {}
    due = list(references(list(answers.values())))
    while due:
        name = due.pop()
        if name not in definitions:
            definitions[name] = convert(components[name])
            due += references(definitions[name])
    info = document["info"]
    return {
        "source": f"{info.get('title', '')} {info.get('version', '')}".strip(),
        "license": info.get("license", {}),
        "answers": answers,
        "missing": [path for path in PATHS if shape(path) not in described],
        "$defs": dict(sorted(definitions.items())),
    }


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        sys.stderr.write(f"usage: python -m tools.api_schema OPENAPI.json [OUTPUT.json, {TARGET.name} by default]\n")
        return 2
    source, target = Path(arguments[0]), Path(arguments[1]) if len(arguments) == 2 else TARGET
    trimmed = trim(json.loads(source.read_text(encoding="utf-8")))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(trimmed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(trimmed['answers'])} operations, {len(trimmed['$defs'])} definitions, {target.stat().st_size} bytes")
    for path in trimmed["missing"]:
        print(f"not described: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
