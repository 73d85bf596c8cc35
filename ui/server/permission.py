"""What visitors may start and stop that is everybody's: sweeps, and searches that are kept."""

from __future__ import annotations

import os

from streamlit import config

from ui.server.door import loopback, operators_hosts

STUDIES = "LACUNA_STUDIES"
"""The environment variable that says whether visitors may: yes or no."""
STUDIES_ARE_THE_OPERATORS = (
    "Here only whoever runs the app starts and stops sweeps and searches: on the command line, or for all with "
    "`make run STUDIES=yes`.")


def visitors_may() -> bool:
    """Whether they may: as the operator has said, and else only where the app is served to its own machine alone.

    Nobody logs in, so all visitors may or none. A host name of the operator's means that others come, through a proxy.
    """
    said = os.environ.get(STUDIES, "").lower()
    if said in ("yes", "no"):
        return said == "yes"
    return loopback(config.get_option("server.address") or "") and not operators_hosts()
