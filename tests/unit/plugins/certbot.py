"""A stand-in for the certbot program: obtains nothing, but keeps its lineages exactly where certbot does.

It is copied onto PATH under the name ``certbot`` and run by the module under test. Environment: FAKE_CERTBOT_FAIL (a
text: print it and fail), FAKE_CERTBOT_NO_HOOK (die before the deploy hook), FAKE_CERTBOT_LOG (a file that gets argv).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAYS = 90


def certificate(
    key: ec.EllipticCurvePrivateKey, names: list[str], start: datetime.datetime, end: datetime.datetime
) -> str:
    """A self-signed certificate in PEM; the first name is the subject."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


def write_lineage(
    config: Path,
    name: str,
    names: list[str],
    server: str,
    start: datetime.datetime,
    end: datetime.datetime,
    authenticator: str = "standalone",
) -> None:
    """live/<name>/{fullchain,privkey}.pem and renewal/<name>.conf; an existing key is used again (--reuse-key)."""
    live = config / "live" / name
    live.mkdir(parents=True, exist_ok=True)
    (config / "renewal").mkdir(exist_ok=True)
    key_path = live / "privkey.pem"
    if key_path.exists():
        loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        key = loaded
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    (live / "fullchain.pem").write_text(certificate(key, names, start, end))
    # As certbot 2 writes it: keys before the first section, nested sections in double brackets.
    (config / "renewal" / f"{name}.conf").write_text(
        "# renew_before_expiry = 30 days\nversion = 2.1.0\n"
        f"archive_dir = {config}/archive/{name}\ncert = {live}/cert.pem\n"
        "# Options used in the renewal process\n[renewalparams]\naccount = 0123\n"
        f"server = {server}\nauthenticator = {authenticator}\nreuse_key = True\nhttp01_address = 127.0.0.1\n"
        "[[webroot_map]]\n"
    )


def main() -> None:
    if log := os.environ.get("FAKE_CERTBOT_LOG"):
        with Path(log).open("a") as stream:
            stream.write(json.dumps(sys.argv[1:]) + "\n")
    if text := os.environ.get("FAKE_CERTBOT_FAIL"):
        sys.exit(text)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("verb", choices=["certonly"])
    for flag in ("non-interactive", "agree-tos", "standalone", "force-renewal", "renew-with-new-domains"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--reuse-key", action="store_true", required=True)
    for option in ("email", "server", "cert-name", "config-dir"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("preferred-challenges", "http-01-address"):
        parser.add_argument(f"--{option}")
    for plugin in ("dns-cloudflare", "dns-rfc2136"):
        parser.add_argument(f"--{plugin}", action="store_true")
        for option in ("credentials", "propagation-seconds"):
            parser.add_argument(f"--{plugin}-{option}")
    for option in ("key-type", "elliptic-curve", "deploy-hook"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--domain", action="append", required=True)
    args = parser.parse_args()
    given = [
        plugin for plugin in ("standalone", "dns-cloudflare", "dns-rfc2136") if getattr(args, plugin.replace("-", "_"))
    ]
    if len(given) != 1:
        parser.error(f"Too many flags setting configurators/installers/authenticators {given}")
    if given == ["standalone"] and not (args.http_01_address and args.preferred_challenges == "http"):
        parser.error("no challenge")
    now = datetime.datetime.now(datetime.timezone.utc)
    config = Path(args.config_dir)
    end = now + datetime.timedelta(days=DAYS)
    write_lineage(config, args.cert_name, args.domain, args.server, now, end, given[0])
    if not os.environ.get("FAKE_CERTBOT_NO_HOOK"):
        environment = {**os.environ, "RENEWED_LINEAGE": str(config / "live" / args.cert_name)}
        subprocess.run([args.deploy_hook], env=environment, check=True)


if __name__ == "__main__":
    main()
