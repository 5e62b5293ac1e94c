"""A POWER9 guest, VFIO behind an SPAPR TCE IOMMU: the device is set up; its uncached memory takes no region. The suite on file:."""

import uncached


def scenario(lab):
    uncached.scenario(lab, "ppc-vfio")
