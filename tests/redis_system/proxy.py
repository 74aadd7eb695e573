"""A TCP proxy that cuts or stalls, and says that it did."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self


class Proxy:
    """Forwards connections to a port of 127.0.0.1; one link that carries the bulk is cut or stalled.

    Bytes are counted from the server to the client, on each link alone. `wrap` makes TLS of accepted sockets.
    """

    def __init__(
        self,
        port: int,
        *,
        cut_after_bytes: int = 0,
        stall_after_bytes: int = 0,
        backwards: bool = False,
        wrap: Callable[[socket.socket], socket.socket] = lambda sock: sock,
    ) -> None:
        self.aimed_at = port
        self.cut_after_bytes = cut_after_bytes
        self.stall_after_bytes = stall_after_bytes
        self.backwards = backwards
        self.wrap = wrap
        self.cuts = 0
        self.links = 0
        self.stalled = threading.Event()
        self.closed = threading.Event()
        self.sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])

    def aim(self, port: int) -> None:
        self.aimed_at = port

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        for sock in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            try:
                near = self.wrap(plain)
                far = socket.create_connection(("127.0.0.1", self.aimed_at))
            except OSError:
                plain.close()
                continue
            self.links += 1
            self.sockets += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                passed += len(piece)
                if counted and self.cut_after_bytes and passed > self.cut_after_bytes:
                    self.cuts += 1
                    break
                if counted and self.stall_after_bytes and passed > self.stall_after_bytes:
                    # Taken and kept, until the source goes: a target that loads waits for more meanwhile.
                    self.stalled.set()
                    continue
                sink.sendall(piece)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
