"""Arrow Flight over a UNIX domain socket."""

from share_flight import Reader, Writer as _Writer  # noqa: F401


class Writer(_Writer):
    def location(self):
        return self.address()

    def address(self):
        return f"grpc+unix:///tmp/{self.place}.sock"
