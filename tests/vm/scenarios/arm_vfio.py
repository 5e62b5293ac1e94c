"""An aarch64 guest, VFIO behind an SMMUv3: the device is set up; its uncached memory takes no region. The suite on file:."""

import uncached


def scenario(lab):
    uncached.scenario(lab, "arm-vfio")
