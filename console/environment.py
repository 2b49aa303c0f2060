"""Which environment this is, and how it looks: the band on every page, and whether to be careful."""

from __future__ import annotations

from . import conf

PRODUCTION_COLOR = "red"


def name() -> str:
    """What it is called; empty where nobody said."""
    return str(conf.get("ENVIRONMENT"))


def color() -> str:
    """The colour of the band: as set, else red where the name begins with "prod", else plain."""
    chosen = str(conf.get("ENVIRONMENT_COLOR"))
    return chosen or (PRODUCTION_COLOR if name().lower().startswith("prod") else "plain")


def is_production() -> bool:
    """Whether it is one in which a mistake is dear: its band is red."""
    return color() == PRODUCTION_COLOR


def band() -> dict[str, str]:
    """What the template of the band needs."""
    return {"environment": name(), "environment_color": color()}
