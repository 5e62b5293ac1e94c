"""The server of ivshmem-doorbell, as QEMU's docs/specs/ivshmem-spec.rst has it: gives each guest the shared memory, an id,
and for each vector of each other guest the eventfd that raises it. Debian has none.

    with Server(path, memory, vectors=2) as server:
        Guest(..., qemu=server.device())

A guest connects when its QEMU starts; ids count from 0 in that order. Messages are signed 64-bit numbers, little-endian,
with or without a descriptor beside them.
"""

import array
import os
import socket
import struct
import threading

VERSION = 0
MEMORY = -1


class Server:
    def __init__(self, path, memory, vectors=2):
        self.path, self.memory, self.vectors = str(path), memory, vectors
        self.peers, self.lock, self.next_id = {}, threading.Lock(), 0

    def device(self):
        """What QEMU is asked for."""
        return ("-chardev", f"socket,path={self.path},id=ivshmem",
                "-device", f"ivshmem-doorbell,vectors={self.vectors},chardev=ivshmem")

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        with self.lock:
            for connection, events in self.peers.values():
                connection.close()
                for event in events:
                    os.close(event)
            self.peers.clear()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                own, self.next_id = self.next_id, self.next_id + 1
                events = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(self.vectors)]
                self._introduce(connection, own, events)
                self.peers[own] = connection, events
            threading.Thread(target=self._until_gone, args=(connection, own), daemon=True).start()

    def _introduce(self, connection, own, events):
        send(connection, VERSION)
        send(connection, own)
        with open(self.memory, "r+b") as memory:
            send(connection, MEMORY, memory.fileno())
        for peer, (there, theirs) in self.peers.items():
            for event in theirs:
                send(connection, peer, event)
            for event in events:
                send(there, own, event)
        # Its own come last: with them it is complete.
        for event in events:
            send(connection, own, event)

    def _until_gone(self, connection, own):
        # A guest says nothing; the end of its QEMU is the end of the connection.
        try:
            while connection.recv(1):
                pass
        except OSError:
            pass
        with self.lock:
            if own in self.peers:
                _, events = self.peers.pop(own)
                for event in events:
                    os.close(event)
                for there, _ in self.peers.values():
                    send(there, own)


def send(connection, number, descriptor=None):
    rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    try:
        connection.sendmsg([struct.pack("<q", number)], rights)
    except OSError:
        pass  # Gone; its own thread notices.
