# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Cloudflare Email Routing's mail exchangers: mail really flows by the rules of the API twin.

One message goes: recipient looked up → SPF, DKIM and DMARC judged → rule's action → envelope rewritten (SRS), trace and two
signatures added → handed to the destination's MX within the sender's session, whose answer is given back. Workers run for
real, in workerd. ``python3 -m lab.email_routing --config FILE``.

What it is held to is the reference's section on Email Routing and Cloudflare's "Postmaster" page; texts of answers and the
form of headers are as they are seen in public copies of mails and bounces of 2024 to 2026, or marked as chosen.
Not modelled: ARC seals (whoever trusts ARC sees none), block lists, the spam score (always 0), rate limits, IPv6-only or
internationalised addresses.
"""
