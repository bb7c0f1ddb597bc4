"""The raw limit: what sockets and files give, with no log in between.

    python load/peers/raw_server.py PORT DIRECTORY

A connection opens with a line, VERB and NAME. `write` and `sync`: frames follow, each 4 bytes of
length and as many bytes; each is answered by the file's length, 8 bytes, once it is in the page
cache or, with `sync`, on disk. `read`: the file as it is, then the end. `follow`: what is written
from now on, after one byte that says that it listens. `delete`: one byte once the file is gone.
"""

import os
import socket
import struct
import sys
import threading

FRAME_BYTES_MAX = 8 << 20
LENGTH, ANSWER = struct.Struct("<I"), struct.Struct("<Q")

_grown = threading.Condition()


def serve(connection: socket.socket, directory: str) -> None:
    """One connection, in a thread of its own."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        verb, name = _line(connection).split()
        path = os.path.join(directory, name)
        if verb == "delete":
            os.unlink(path)
            connection.sendall(b".")
            return
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if verb == "read":
                _send(connection, file, 0)
            elif verb == "follow":
                _follow(connection, file)
            else:
                _write(connection, file, synced=verb == "sync")
        except ConnectionError:
            pass  # who followed has gone
        finally:
            os.close(file)


def _line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError
        line += byte
    return line.decode()


def _write(connection: socket.socket, file: int, synced: bool) -> None:
    head, body = memoryview(bytearray(LENGTH.size)), memoryview(bytearray(FRAME_BYTES_MAX))
    end = os.fstat(file).st_size
    while fill(connection, head):
        frame = body[: LENGTH.unpack(head)[0]]
        if not fill(connection, frame):
            return
        end += os.pwrite(file, frame, end)
        if synced:
            os.fdatasync(file)
        connection.sendall(ANSWER.pack(end))
        with _grown:
            _grown.notify_all()


def _send(connection: socket.socket, file: int, start: int) -> int:
    """From `start` to the end as it is; the end."""
    end = os.fstat(file).st_size
    while start < end:
        start += os.sendfile(connection.fileno(), file, start, end - start)
    return end


def _follow(connection: socket.socket, file: int) -> None:
    at = os.fstat(file).st_size
    connection.sendall(b".")
    while True:
        with _grown:
            while os.fstat(file).st_size == at:
                _grown.wait()
        at = _send(connection, file, at)


def fill(connection: socket.socket, view: memoryview) -> bool:
    """Receive all of `view`; False where the connection ended before."""
    while view:
        count = connection.recv_into(view)
        if not count:
            return False
        view = view[count:]
    return True


def main() -> None:
    port, directory = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)))
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, directory), daemon=True).start()


if __name__ == "__main__":
    main()
