# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendors whose accounts can be asked over HTTP, put together from their parts."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, NamedTuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.http import HttpTransport
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import aws, hcloud, linode, vultr
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import DONE_WITHIN, Account, AccountPtr
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.sigv4 import Keys

#: The settings of a provider by their names, see options.PROVIDERS.
Given = Mapping[str, str]


class Vendor(NamedTuple):
    """usual: the API's own URL; api: the dialect, from the settings and the URL that is used."""

    usual: Callable[[Given], str]
    api: Callable[[Given, str], Api]
    account: Callable[[Client], Account]


VENDORS: Dict[str, Vendor] = {
    "hcloud": Vendor(
        lambda given: hcloud.URL, lambda given, url: hcloud.HcloudApi(given["token"]), hcloud.HcloudAccount
    ),
    "linode": Vendor(
        lambda given: linode.URL, lambda given, url: linode.LinodeApi(given["token"]), linode.LinodeAccount
    ),
    "vultr": Vendor(lambda given: vultr.URL, lambda given, url: vultr.VultrApi(given["token"]), vultr.VultrAccount),
    "aws": Vendor(
        lambda given: aws.endpoint(given["region"]),
        lambda given, url: aws.Ec2Api(
            Keys(given["access_key"], given["secret_key"], given.get("session_token", "")), given["region"], url
        ),
        aws.AwsAccount,
    ),
}


def account_ptr(provider: str, given: Given, timeout: float = 30.0, deadline: float = DONE_WITHIN) -> AccountPtr:
    """The provider of reverse records of an account, speaking to the real API unless base_url is given.

    timeout: seconds of one exchange; deadline: seconds for accepted changes. Raises MailsteadError.
    """
    vendor = VENDORS[provider]
    usual = vendor.usual(given)
    transport = HttpTransport(given.get("base_url") or usual, timeout, "MS-PTR-003", usual)
    return AccountPtr(vendor.account(Client(vendor.api(given, transport.url), transport)), deadline)
