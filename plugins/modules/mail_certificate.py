#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_certificate
short_description: Keep the mail server's certificate, through the distribution's ACME client
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Has certbot obtain one certificate for all names when there is none, when a name is missing, when the authority
    changed, or when less than a third of its life is left; renewal in between is certbot's own timer.
  - The key is kept across renewals, so that TLSA records stay true (RFC 7671 section 8).
  - Reports the digest of the key that TLSA records carry.
requirements:
  - certbot
  - python3-cryptography
attributes:
  check_mode:
    description: Predicts whether a certificate would be obtained.
    support: full
  diff_mode:
    description: Shows the names before and after.
    support: full
  idempotent:
    description: A certificate that is good enough is left alone.
    support: full
options:
  name:
    description: Name of the certificate's lineage at certbot.
    type: str
    default: mailstead
  names:
    description: Host names; the first becomes the subject.
    type: list
    elements: str
    required: true
  directory:
    description: URL of the ACME directory.
    type: str
    required: true
  email:
    description: Contact of the ACME account.
    type: str
    required: true
  challenge:
    description:
      - How the names are proved. V(http-01) on port 80 of O(http_address), V(dns-01) by records that certbot's plugin
        O(dns_plugin) makes; needed where the world cannot reach port 80.
      - A certificate that certbot would renew by another challenge or plugin is obtained anew, for that renewal would fail.
    type: str
    choices: [http-01, dns-01]
    default: http-01
  http_address:
    description: Address on which the http-01 challenge is answered, on port 80.
    type: str
  dns_plugin:
    description: certbot's plugin for the host of the zone.
    type: str
    choices: [cloudflare, rfc2136]
  dns_credentials:
    description: The plugin's credentials file.
    type: path
  dns_propagation:
    description: Seconds that the plugin waits until all name servers have the record.
    type: int
    default: 30
  deploy_hook:
    description: Program that puts the files where the mail server reads them; run after every renewal, too.
    type: path
    required: true
  target:
    description: Directory into which the hook copies C(fullchain.pem) and C(privkey.pem).
    type: path
    required: true
  live:
    description: Directory where certbot keeps what it obtained.
    type: path
    default: /etc/letsencrypt
"""

EXAMPLES = r"""
- name: Keep the certificate
  mailstead.stack.mail_certificate:
    names: [mail.example.com, mta-sts.example.com]
    directory: https://acme-v02.api.letsencrypt.org/directory
    email: postmaster@example.com
    http_address: 172.29.25.1
    deploy_hook: /usr/local/lib/mailstead/deploy-certificate
    target: /etc/mailstead/tls

- name: Keep the certificate of a host that the world cannot reach
  mailstead.stack.mail_certificate:
    names: [notify.example.com]
    directory: https://acme-v02.api.letsencrypt.org/directory
    email: postmaster@example.com
    challenge: dns-01
    dns_plugin: cloudflare
    dns_credentials: /etc/mailstead/tls-dns/cloudflare.ini
    deploy_hook: /usr/local/lib/mailstead/deploy-certificate
    target: /etc/mailstead/tls
"""

RETURN = r"""
spki_sha256:
  description: SHA-256 of the certificate's SubjectPublicKeyInfo, hexadecimal; the data of a TLSA 3 1 1 record.
  returned: when there is a certificate
  type: str
not_after:
  description: End of validity, ISO 8601.
  returned: when there is a certificate
  type: str
reason:
  description: Why a certificate was (or would be) obtained; empty when nothing had to be done.
  returned: always
  type: str
"""

import configparser
import datetime
import traceback
from pathlib import Path
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
except ImportError:
    HAS_CRYPTOGRAPHY = False
    CRYPTOGRAPHY_ERROR = traceback.format_exc()
else:
    HAS_CRYPTOGRAPHY = True
    CRYPTOGRAPHY_ERROR = ""

UTC = datetime.timezone.utc
#: What most often keeps an authority from giving a certificate.
FIXES = {
    "http-01": "port 80 of the edge must reach this host through the tunnel and every name must resolve to the edge",
    "dns-01": "the zone's credentials must be allowed to write TXT records under _acme-challenge, and its name servers must"
    " have them within dns_propagation seconds",
}


class Lineage:
    """What certbot keeps under one name; absent parts read as nothing."""

    def __init__(self, live: Path, name: str) -> None:
        self.certificate_path = live / "live" / name / "fullchain.pem"
        self._renewal = live / "renewal" / f"{name}.conf"
        self.certificate: Optional[Any] = None
        if self.certificate_path.exists():
            self.certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())

    def names(self) -> List[str]:
        if self.certificate is None:
            return []
        extension = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return sorted(extension.value.get_values_for_type(x509.DNSName))

    def not_before(self) -> Any:
        assert self.certificate is not None
        # Debian 12's cryptography (38) has the naive attributes only.
        found = getattr(self.certificate, "not_valid_before_utc", None)
        return found or self.certificate.not_valid_before.replace(tzinfo=UTC)

    def not_after(self) -> Any:
        assert self.certificate is not None
        found = getattr(self.certificate, "not_valid_after_utc", None)
        return found or self.certificate.not_valid_after.replace(tzinfo=UTC)

    def renewal(self, option: str) -> str:
        """How it was obtained and will be renewed, as certbot recorded it; empty where that is not known."""
        if not self._renewal.exists():
            return ""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        # certbot's file begins without a section.
        parser.read_string("[top]\n" + self._renewal.read_text(encoding="utf-8").replace("[[", "[").replace("]]", "]"))
        return parser.get("renewalparams", option, fallback="")

    def server(self) -> str:
        """The directory it was obtained from."""
        return self.renewal("server")

    def authenticator(self) -> str:
        """certbot's plugin that proves the names."""
        return self.renewal("authenticator")

    def spki(self) -> str:
        assert self.certificate is not None
        info = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(info)
        return digest.finalize().hex()


def authenticator(params: Dict[str, Any]) -> str:
    """The plugin of certbot that proves the names as it is wanted."""
    return f"dns-{params['dns_plugin']}" if params["challenge"] == "dns-01" else "standalone"


def why(lineage: Lineage, names: List[str], directory: str, now: datetime.datetime, proof: str = "standalone") -> str:
    """The reason for obtaining a certificate; empty when the present one will do."""
    if lineage.certificate is None:
        return "there is none"
    missing = sorted(set(names) - set(lineage.names()))
    if missing:
        return f"it lacks {', '.join(missing)}"
    surplus = sorted(set(lineage.names()) - set(names))
    if surplus:
        return f"it names {', '.join(surplus)}, which are no longer wanted"
    if lineage.server() and lineage.server() != directory:
        return f"it is from {lineage.server()}"
    if lineage.authenticator() and lineage.authenticator() != proof:
        return f"it would be renewed by {lineage.authenticator()}"
    left = lineage.not_after() - now
    if left * 3 < lineage.not_after() - lineage.not_before():
        return f"it ends on {lineage.not_after():%Y-%m-%d}"
    return ""


def command(params: Dict[str, Any], lineage: Lineage) -> List[str]:
    words = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--email", params["email"]]
    words += ["--server", params["directory"], "--cert-name", params["name"], "--config-dir", params["live"]]
    if params["challenge"] == "dns-01":
        plugin = f"--dns-{params['dns_plugin']}"
        words += [plugin, f"{plugin}-credentials", params["dns_credentials"]]
        words += [f"{plugin}-propagation-seconds", str(params["dns_propagation"])]
    else:
        words += ["--standalone", "--preferred-challenges", "http", "--http-01-address", params["http_address"]]
    # P-256 is what every mail client and server speaks; the same key again keeps TLSA records true.
    words += ["--key-type", "ecdsa", "--elliptic-curve", "secp256r1", "--reuse-key"]
    words += ["--deploy-hook", params["deploy_hook"]]
    for name in params["names"]:
        words += ["--domain", name]
    if lineage.certificate is not None:
        words += ["--force-renewal", "--renew-with-new-domains"]
    return words


def deployed(lineage: Lineage, target: Path) -> bool:
    """Whether the mail server's copy is the one that certbot holds; a run may have died in between."""
    copy = target / "fullchain.pem"
    source = lineage.certificate_path
    return copy.exists() and (target / "privkey.pem").exists() and copy.read_bytes() == source.read_bytes()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "mailstead"},
            "names": {"type": "list", "elements": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "email": {"type": "str", "required": True},
            "challenge": {"type": "str", "choices": ["http-01", "dns-01"], "default": "http-01"},
            "http_address": {"type": "str"},
            "dns_plugin": {"type": "str", "choices": ["cloudflare", "rfc2136"]},
            "dns_credentials": {"type": "path"},
            "dns_propagation": {"type": "int", "default": 30},
            "deploy_hook": {"type": "path", "required": True},
            "target": {"type": "path", "required": True},
            "live": {"type": "path", "default": "/etc/letsencrypt"},
        },
        required_if=[
            ("challenge", "http-01", ("http_address",)),
            ("challenge", "dns-01", ("dns_plugin", "dns_credentials")),
        ],
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=CRYPTOGRAPHY_ERROR)
    params = module.params
    live, names = Path(params["live"]), list(params["names"])
    lineage = Lineage(live, params["name"])
    before = lineage.names()
    reason = why(lineage, names, params["directory"], datetime.datetime.now(UTC), authenticator(params))
    result: Dict[str, Any] = {
        "changed": bool(reason),
        "reason": reason,
        "diff": {"before": "\n".join(before) + "\n", "after": "\n".join(sorted(names)) + "\n"},
    }
    if reason and not module.check_mode:
        if module.get_bin_path("certbot") is None:
            module.fail_json(
                msg=f"[MS-TLS-003] {names[0]}: certbot is not installed\n    Fix: apt-get install certbot (role tls does)",
                **result,
            )
        rc, out, err = module.run_command(command(params, lineage))
        if rc != 0:
            module.fail_json(
                msg=f"[MS-TLS-001] {names[0]}: certbot got no certificate: {(err or out).strip()[-1500:]}\n"
                f"    Fix: {FIXES[params['challenge']]}; see /var/log/letsencrypt/letsencrypt.log",
                **result,
            )
        lineage = Lineage(live, params["name"])
    if lineage.certificate is not None and not deployed(lineage, Path(params["target"])):
        result["changed"] = True
        result["reason"] = reason or "the mail server's copy is another one"
        if not module.check_mode:
            environment = {"RENEWED_LINEAGE": str(live / "live" / params["name"])}
            rc, out, err = module.run_command([params["deploy_hook"]], environ_update=environment)
            if rc != 0:
                module.fail_json(
                    msg=f"[MS-TLS-002] {names[0]}: the certificate could not be handed to the mail server: "
                    f"{(err or out).strip()[-800:]}\n    Fix: see that {params['target']} exists, then run again",
                    **result,
                )
    if lineage.certificate is not None:
        result.update(spki_sha256=lineage.spki(), not_after=lineage.not_after().isoformat())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
