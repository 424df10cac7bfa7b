# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the host itself: its addresses, its clock, the tunnel's peers, the public half of a key file."""

from __future__ import annotations

import socket
import stat
import struct
from pathlib import Path
from typing import Any, Dict, List

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.egress import own_addresses
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.keys import public_half

ESTABLISHED = "01"


def probe_clock(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """data: epoch, reference (the controller's clock when it started this probe run, 0 when not given), offset (s).

    The offset includes the time it took to start the run, so it is judged with that much tolerance upwards.
    """
    now = ctx.clock.now()
    return {"epoch": now, "reference": ctx.reference, "offset": now - ctx.reference if ctx.reference else None}


def probe_addresses(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Addresses of this host: those it would use towards the targets, and every IPv6 one. args: targets."""
    found = own_addresses([str(t) for t in args.get("targets") or ()])
    found += [a for a in _all_ipv6(str(args.get("if_inet6", "/proc/net/if_inet6"))) if a not in found]
    return {"addresses": sorted(found)}


def _all_ipv6(path: str) -> List[str]:
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = [str(addresses.parse(":".join(ln[i : i + 4] for i in range(0, 32, 4)))) for ln in lines if len(ln) > 32]
    return [a for a in found if not addresses.is_private(a)]


def probe_tunnel_peers(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Remote addresses of established connections to the tunnel's port: the home's address on the Internet.

    args: port. data: peers.
    """
    port = int(args["port"])
    peers: List[str] = []
    for path in args.get("tables") or ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(str(path)).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 3 and fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
                peers.append(kernel_address(fields[2].rpartition(":")[0]))
    return {"peers": sorted(set(peers))}


def kernel_address(text: str) -> str:
    """An address as /proc/net/tcp prints it: words of 32 bits in the host's byte order."""
    words = struct.pack(f"={len(text) // 8}I", *(int(text[i : i + 8], 16) for i in range(0, len(text), 8)))
    found = addresses.parse(socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words))
    return str(found)


def probe_dkim_file(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """The public half of a private key file and who may read it; the key itself never leaves this function.

    args: path. data: path, mode (octal text), uid, gid, kind (rsa or ed25519), bits, public (base64 of p=).
    """
    path = Path(str(args["path"]))
    try:
        status = path.stat()
        content = path.read_bytes()
    except OSError as error:
        raise ProbeError("file", f"{path}: {error.strerror}") from error
    data = {
        "path": str(path),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
    data.update(public_half(content, str(path)))
    return data
