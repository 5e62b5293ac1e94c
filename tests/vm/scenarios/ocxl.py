"""ThymesisFlow through the ocxl interface, two x86-64 guests, a stand-in for the card: attach, tables, counters, detach."""

import thymesisflow


def scenario(lab):
    lender, borrower = thymesisflow.boot(lab, "x86", base=0x4000_0000_0000)
    thymesisflow.refusals(lender, borrower)
    thymesisflow.failures(lender, borrower)
    thymesisflow.everyday(lender, borrower)
