# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail products of the API twin: Email Routing, Email Sending, Workers, mail statistics, audit logs.

Held to Cloudflare's description of its API (SDK cloudflare-typescript 7.1, api-schemas of 2026), its documentation tree
``email-service/`` and, where those are silent or disagree, to answers that people published. Each refusal says in errors.py
which of the three it rests on; where reports contradict each other, EmailOptions chooses.
"""
