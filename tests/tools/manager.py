#!/usr/bin/python3
"""A service manager's descriptor store, as systemd has it, for tests.

    manager.py SOCKET [--listen DIR] COMMAND...

Runs COMMAND with NOTIFY_SOCKET=SOCKET and FDSTORE, stores what it sends, and
starts it again with all that is stored whenever it is killed, or ends with
success after `again` was read from standard input.  Prints a line for each
thing that happens, and for the word `count` how many descriptors are stored, for
`alive` how often the command said that it lives.  With --listen it listens on
the three sockets in DIR, as systemd does for socket units, and hands them over,
too.  Like systemd's, the store gives descriptors back in the
reverse order.  Ends when the command ends otherwise, with its status.
"""
import array
import os
import select
import signal
import socket
import sys

FIRST_FD = 3  # SD_LISTEN_FDS_START


def say(*words):
    print(*words, flush=True)


class Store:
    def __init__(self):
        self.entries = []  # (name, fd)
        self.listeners = []
        self.n_alive = 0

    def listen(self, folder):
        for name in "attach", "control", "control-ro":
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(os.path.join(folder, name))
            listener.listen()
            self.listeners.append((name, listener.fileno(), listener))

    def all(self):
        return [(n, fd) for n, fd, _ in self.listeners] + self.entries

    def add(self, name, fds):
        self.entries[:0] = [(name, fd) for fd in fds]

    def remove(self, name):
        for entry in [e for e in self.entries if e[0] == name]:
            os.close(entry[1])
            self.entries.remove(entry)


def message_handle(store, data, fds):
    fields = dict(line.split("=", 1) for line in data.decode().splitlines())
    if fields.get("FDSTORE") == "1":
        assert fields["FDPOLL"] == "0", fields
        assert len(fields["FDNAME"]) <= 255 and ":" not in fields["FDNAME"]
        store.add(fields["FDNAME"], fds)
        return
    for fd in fds:
        os.close(fd)
    if fields.get("FDSTOREREMOVE") == "1":
        store.remove(fields["FDNAME"])
    elif "WATCHDOG" in fields:
        store.n_alive += 1
    else:
        say(*fields)


def messages_take(store, sock):
    while True:
        try:
            data, control, _, _ = sock.recvmsg(
                4096, socket.CMSG_SPACE(64 * 4), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        fds = array.array("i")
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload)
        message_handle(store, data, list(fds))


def start(store, path, command):
    pid = os.fork()
    if pid != 0:
        return pid
    # Clear of where they go.
    given = store.all()
    fds = [os.dup(fd) for _, fd in given]
    high = [os.dup2(fd, 1000 + i) for i, fd in enumerate(fds)]
    for i, fd in enumerate(high):
        os.dup2(fd, FIRST_FD + i, inheritable=True)
    os.closerange(FIRST_FD + len(high), 1000 + len(high))
    environment = dict(os.environ, NOTIFY_SOCKET=path, FDSTORE="512")
    if high:
        environment["LISTEN_FDS"] = str(len(high))
        environment["LISTEN_FDNAMES"] = ":".join(n for n, _ in given)
        environment["LISTEN_PID"] = str(os.getpid())
    os.execvpe(command[0], command, environment)


def main():
    path, command = sys.argv[1], sys.argv[2:]
    store, is_again = Store(), False
    if command[0] == "--listen":
        store.listen(command[1])
        command = command[2:]
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    inputs = [sock, sys.stdin]
    pid = start(store, path, command)
    say("started", pid)
    while True:
        ready, _, _ = select.select(inputs, [], [], 0.02)
        messages_take(store, sock)
        if sys.stdin in ready:
            word = sys.stdin.readline().strip()
            if word in ("again", "stop"):
                is_again = word == "again"
                os.kill(pid, signal.SIGTERM)
            elif word == "count":
                say("count", len(store.entries))
            elif word == "alive":
                say("alive", store.n_alive)
            elif word == "":
                inputs.remove(sys.stdin)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == 0:
            continue
        messages_take(store, sock)
        code = os.waitstatus_to_exitcode(status)
        say("ended", code)
        if code != -signal.SIGKILL and not is_again:
            sys.exit(code if code >= 0 else 1)
        is_again = False
        pid = start(store, path, command)
        say("started", pid)


main()
