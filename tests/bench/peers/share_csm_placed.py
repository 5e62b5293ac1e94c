"""libcsm, built in the region: nothing is copied."""

from share_csm import Placed as Writer, Reader  # noqa: F401
