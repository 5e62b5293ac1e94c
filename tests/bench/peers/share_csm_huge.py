"""libcsm, built in a region of huge pages, whose readers map all of it at once when they open the region."""

from share_csm import Placed, Reader as _Reader


class Writer(Placed):
    options = "&hugepages=thp"


class Reader(_Reader):
    options = "?prefault=yes"
