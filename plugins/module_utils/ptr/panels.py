# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hosters let their customers set a reverse record: the clicks, and what to know before them.

Panels change; every entry names where its steps come from, so that they can be compared. A hoster without a panel for it,
or one that is not known here, gets the words that panels use and a text for a ticket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple


@dataclass(frozen=True)
class Panel:
    """A hoster. steps: with {address}, {name}, {host} and {reverse} to be filled in; source: the vendor's page.

    forward: the hoster checks the address record (A, AAAA) of the name first; ipv4_only: no reverse records for IPv6;
    ticket: the way there is to write to the support.
    """

    title: str
    steps: Tuple[str, ...]
    source: str
    forward: bool = False
    ipv4_only: bool = False
    ticket: bool = False


PANELS: Dict[str, Panel] = {
    "aws": Panel(
        "AWS EC2",
        (
            "Open the EC2 console (https://console.aws.amazon.com/ec2/) in the region of {host} and choose 'Elastic IPs'.",
            "Select {address}, choose 'Actions' > 'Update reverse DNS'.",
            "'Reverse DNS domain name': {name}; type 'update' to confirm, choose 'Update'.",
            "If the address is not in the list it is no Elastic IP: allocate one and associate it with {host} first.",
        ),
        "EC2 User Guide, Use reverse DNS for email applications",
        forward=True,
        ipv4_only=True,
    ),
    "azure": Panel(
        "Microsoft Azure",
        (
            "The portal has no field for it. Find the resource group and the name of the public IP resource of {address}.",
            "Run: az network public-ip update --resource-group GROUP --name PUBLIC_IP --reverse-fqdn {name}. "
            "--dns-name LABEL (the dot at the end of the name belongs to it; LABEL is any name free in the region, needed "
            "the first time)",
        ),
        "Azure DNS documentation, Configure reverse DNS for services hosted in Azure",
        forward=True,
        ipv4_only=True,
    ),
    "contabo": Panel(
        "Contabo",
        (
            "Log in at https://my.contabo.com and open 'Reverse DNS Management'.",
            "Edit the entry of {address} (an IPv6 address without one is added): {name}",
        ),
        "Contabo Customer Control Panel",
    ),
    "digitalocean": Panel(
        "DigitalOcean",
        (
            "There is no field: the reverse record follows the Droplet's name. Open the Droplet of {host} in the Control "
            "Panel, click its name at the top and rename it to {name}",
            "Only the Droplet's own addresses follow its name, Reserved IPs do not.",
        ),
        "DigitalOcean documentation, PTR records",
    ),
    "gcp": Panel(
        "Google Cloud",
        (
            "Verify the domain of {name} in Google Search Console with the account that manages the project.",
            "Run: gcloud compute instances update-access-config INSTANCE --zone=ZONE --public-ptr "
            "--public-ptr-domain={name}. (for IPv6: --ipv6-public-ptr-domain={name}.); INSTANCE and ZONE are those of {host}",
            "Or in the console: VM instances > the instance of {host} > 'Edit' > the network interface > "
            "'Public DNS PTR Record' > 'Enable', and enter {name}.",
        ),
        "gcloud reference, compute instances update-access-config",
    ),
    "hetzner-cloud": Panel(
        "Hetzner Cloud",
        (
            "Open the project in https://console.hetzner.com, the server of {host}, tab 'Networking'.",
            "At {address}: the menu at its right > 'Edit Reverse DNS'. For IPv6 the form proposes '::', the network itself: "
            "enter the rest of the address first.",
            "Enter {name} and save. (The provider hcloud does this for you.)",
        ),
        "Hetzner Cloud Console",
    ),
    "linode": Panel(
        "Akamai Cloud (Linode)",
        (
            "Open https://cloud.linode.com > 'Linodes' > the one of {host} > tab 'Network'.",
            "In the row of {address}: menu > 'Edit RDNS'. Enter {name} and 'Save'. (The provider linode does this for you.)",
        ),
        "Akamai guide, Configure rDNS (reverse DNS) on Linode",
        forward=True,
    ),
    "oracle": Panel(
        "Oracle Cloud",
        ("There is no field: the support sets it on request ('Help' > 'Create support request' in the console).",),
        "Oracle Cloud Infrastructure support",
        ticket=True,
    ),
    "ovh": Panel(
        "OVHcloud",
        (
            "Log in to the OVHcloud Control Panel, section 'Bare Metal Cloud', open 'Network' > 'IP'.",
            "In the row of {address}: '...' > 'Modify the reverse path'. Enter {name} and 'Confirm'.",
        ),
        "OVHcloud guide, Configuring the reverse DNS of an IP address",
        forward=True,
    ),
    "scaleway": Panel(
        "Scaleway",
        (
            "Open https://console.scaleway.com/instance/servers, choose the Availability Zone of {host}, tab 'Flexible IPs'.",
            "At {address}: menu > 'Edit reverse'. Enter {name} and 'Edit reverse'. Single addresses of an IPv6 /64 can only "
            "be named by the IPAM API.",
        ),
        "Scaleway documentation, How to configure reverse DNS of an Instance",
        forward=True,
    ),
    "vultr": Panel(
        "Vultr",
        (
            "Open https://my.vultr.com, the server of {host}, 'Settings' > 'IPv4' (or 'IPv6').",
            "Click the 'Reverse DNS' of {address} and enter {name}. (The provider vultr does this for you.)",
        ),
        "Vultr Customer Portal",
    ),
}

#: The words of the interface; generic is for every other hoster.
NAMES = ("generic", *sorted(PANELS))
