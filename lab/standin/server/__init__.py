# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled stand-in for a Stalwart 0.16.18 mail server, for the lab when the real image cannot be had.

The management API is held to the recorded answers in ``lab/standin/data`` (``tests/contract`` replays every one); the
mail side is made of real parts. ``lab/standin/README.md`` says what is held to recordings and what is not.
"""
