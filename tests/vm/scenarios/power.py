"""Two POWER9 guests, 64 KiB pages: ThymesisFlow through the stand-in at 0x900000000000, where the reference work has it."""

import thymesisflow


def scenario(lab):
    lender, borrower = thymesisflow.boot(lab, "ppc", base=0x9000_0000_0000)
    thymesisflow.everyday(lender, borrower)
