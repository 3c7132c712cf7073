#!/usr/bin/python3
"""Speak to a daemon's sockets byte by byte, well or badly.

    wire.py attach DIR [NAME=VALUE...]   attach, say what came, obey stdin
    wire.py send DIR SOCKET HEX...       send these bytes, say what happens
    wire.py fds DIR SOCKET N             send a request with N descriptors
    wire.py open DIR SOCKET N            open N connections, ask over each
    wire.py hold DIR SOCKET N            open N connections, begin a message
                                         over each, wait for a line
    wire.py kill DIR N                   kill N clients, each when attached
    wire.py ask DIR SOCKET VERB          status, trim, create or set: the error
    wire.py walks DIR N                  ask for N walks at once; the errors
    wire.py heir DIR                     be who takes over: take all, say "end",
                                         obey stdin: ready, await
    wire.py former DIR on|gone           be who is taken over from: give a
                                         socket, END, then go on, or end

With WIRE_UID and WIRE_GID in the environment root becomes that user first.

attach takes segment=, read_only=1, protocol=, layout=, label=, id=, and pidfd=
(self, or the PID whose pidfd goes with the request).  On stdin it obeys one word a line, and says "done" after each:

    map      map the segment          write    try to get it for writing
    close    close the socket         detach   give the slot back
    fork     a child keeps the socket exec     become `sleep 60` in place
    misuse   report a double free     bad      send the attach request again
    pins     write over all pins
"""
import array
import mmap
import os
import random
import resource
import signal
import socket
import struct
import sys
import time


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """A field of a message: an int, or bytes (a string or a message)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """The fields of a message, the last of each number."""
    at, found = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        elif key & 7 == 1:
            found[key >> 3] = struct.unpack_from("<Q", data, at)[0]
            at += 8
        else:
            size = number()
            found[key >> 3] = data[at:at + size]
            at += size
    return found


def signed(number):
    return number >> 1 ^ -(number & 1)


PR_SET_DUMPABLE = 4


def become(directory):
    """Be the user of the environment, in DIRECTORY, whose parents that user
    need not reach; and dumpable again, or /proc/self would stay root's."""
    os.chdir(directory)
    if "WIRE_UID" in os.environ:
        os.setgroups([])
        gid = int(os.environ.get("WIRE_GID", os.environ["WIRE_UID"]))
        os.setresgid(gid, gid, gid)
        uid = int(os.environ["WIRE_UID"])
        os.setresuid(uid, uid, uid)
        import ctypes  # takes long, and most runs do without

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def connect(directory, name):
    become(directory)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    try:
        sock.connect(name)
    except PermissionError:
        say("no access to the socket")
        sys.exit(1)
    return sock


def frame(message):
    return struct.pack("<I", len(message)) + message


def receive(sock):
    """One frame and its descriptors; None if the daemon hung up."""
    data, fds = b"", array.array("i")
    while len(data) < 4 or len(data) < 4 + struct.unpack("<I", data[:4])[0]:
        try:
            part, control, _, _ = sock.recvmsg(
                65536, socket.CMSG_SPACE(4 * fds.itemsize))
        except ConnectionError:
            return None
        if not part:
            return None
        data += part
        for _, _, content in control:
            fds.frombytes(content)
    return fields(data[4:]), list(fds)


def say(*words):
    print(*words, flush=True)


# ---- attach ----------------------------------------------------------------

NUMBERS = {"protocol": 1, "layout": 2, "segment": 3, "label": 4,
           "read_only": 5}


def attach_request(options):
    values = {"protocol": "1", "layout": "1"} | options
    body = b""
    for name, value in values.items():
        if name == "id":
            body += b"\x39" + struct.pack("<Q", int(value))
        elif name in ("segment", "label"):
            body += field(NUMBERS[name], value.encode())
        else:
            body += field(NUMBERS[name], int(value))
    return frame(field(1, body))


def writable(fd):
    """How the descriptor of a read-only attachment can be written."""
    ways = []
    for way, attempt in (
            ("store", lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED,
                                        mmap.PROT_WRITE)),
            ("write", lambda: os.write(fd, b"x")),
            ("reopen", lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR)),
            ("chmod", lambda: os.fchmod(fd, 0o777)),
            ("truncate", lambda: os.ftruncate(fd, 0))):
        try:
            attempt()
            ways.append(way)
        except (OSError, ValueError, PermissionError):
            pass
    return " ".join(ways) or "no way"


def pins_write(fd):
    """What a thread of anybody's could say, over every pin and the count."""
    size = os.fstat(fd).st_size
    pins = mmap.mmap(fd, size)
    owners = [0, 2 | 1 << 16, 3 | 1 << 16, 4 | 1 << 16, 4000 | 1 << 16]
    struct.pack_into("<Q", pins, 24, random.choice([0, 1, 5, 1 << 40]))
    for at in range(128, size - 64, 64):
        struct.pack_into("<QQ", pins, at, random.choice(owners),
                         random.choice([0, 1, 2, 1 << 60]))
        if at > 128 + 64 * 64:
            break
    pins.close()


def fork_keeping(sock):
    child = os.fork()
    if child == 0:
        os.set_inheritable(sock.fileno(), True)
        os.execvp("sleep", ["sleep", "60"])
    say("child", child)


def obey(word, sock, fds, request, kept):
    if word == "map":
        kept.append(mmap.mmap(fds[0], 4096, mmap.MAP_SHARED, mmap.PROT_READ))
    elif word == "write":
        say("writable:", writable(fds[0]))
    elif word == "pins":
        pins_write(fds[1])
    elif word == "close":
        sock.close()
    elif word == "fork":
        fork_keeping(sock)
    elif word == "exec":
        os.execvp("sleep", ["sleep", "60"])
    elif word == "misuse":
        sock.sendall(frame(field(3, field(1, 2) + field(2, 4096))))
    elif word in ("detach", "bad"):
        try:
            sock.sendall(frame(field(2, b"")) if word == "detach" else request)
            reply = receive(sock)
        except ConnectionError:
            reply = None
        if reply is None:
            say("closed")
        else:
            say("detached", signed(fields(reply[0][2]).get(1, 0)))
    say("done")


def pidfds(options):
    """The descriptor that pidfd=self or pidfd=PID asks for, if any."""
    pid = options.pop("pidfd", None)
    if pid is None:
        return []
    return [os.pidfd_open(os.getpid() if pid == "self" else int(pid))]


def send_with(sock, request, fds):
    """Send REQUEST with FDS, or without where the kernel refuses them for the
    daemon; whether they went."""
    try:
        socket.send_fds(sock, [request], fds)
        return True
    except PermissionError:
        sock.sendall(request)
        return False


def attach(directory, *options):
    options = dict(o.split("=", 1) for o in options)
    sent = pidfds(options)
    request = attach_request(options)
    sock = connect(directory, "attach")
    send_with(sock, request, sent)
    reply = receive(sock)
    if reply is None:
        say("closed")
        return
    message, fds = reply
    body = fields(message[1])
    say("error", signed(body.get(1, 0)), "fds", len(fds),
        "slot", body.get(5, 0), body.get(2, b"").decode())
    kept = []
    if not fds:
        return
    for line in sys.stdin:
        obey(line.strip(), sock, fds, request, kept)


# ---- Badly -----------------------------------------------------------------

def control_error(reply):
    return signed(reply[0].get(2, 0)), reply[0].get(3, b"").decode()


def send(directory, name, *chunks):
    """The word `wait` among the bytes pauses, `end` ends our side."""
    sock = connect(directory, name)
    try:
        for chunk in chunks:
            if chunk == "wait":
                time.sleep(0.3)
            elif chunk == "end":
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.sendall(bytes.fromhex(chunk))
    except ConnectionError:
        pass
    reply = receive(sock)
    if reply is None:
        say("closed")
    else:
        say("answered", *(control_error(reply)))


def kinds(n):
    """N descriptors of many kinds, the lingering and the circular among them."""
    pair = socket.socketpair()
    made = [os.open("/dev/null", os.O_RDONLY), os.pidfd_open(os.getpid()),
            os.pidfd_open(1), os.memfd_create("wire"), pair[0].detach(),
            os.open("/", os.O_RDONLY | os.O_DIRECTORY), *os.pipe(),
            os.open("/proc/self/maps", os.O_RDONLY)]
    return [made[i % len(made)] for i in range(n)]


def fds(directory, name, n):
    sock = connect(directory, name)
    request = attach_request({}) if name == "attach" else \
        frame(field(1, 1) + field(24, b""))
    went = send_with(sock, request, kinds(int(n)))
    say("closed" if receive(sock) is None else "answered",
        "sent" if went else "refused")


def open_many(directory, name, n):
    """Open all, then ask over each; how many were answered, refused, cut."""
    socks = [connect(directory, name)]
    socks += [connect(".", name) for _ in range(int(n) - 1)]
    answered = refused = cut = 0
    for sock in socks:
        try:
            sock.sendall(frame(field(1, 1) + field(24, b"")))
            reply = receive(sock)
        except ConnectionError:
            reply = None
        if reply is None:
            cut += 1
        elif control_error(reply)[0] == 0:
            answered += 1
        else:
            refused += 1
    say("answered", answered, "refused", refused, "cut", cut)


def hold(directory, name, n):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socks = [connect(directory, name)]
    for _ in range(int(n) - 1):
        socks.append(socket.socket(socket.AF_UNIX))
        socks[-1].connect(name)
    for sock in socks:
        try:
            sock.sendall(struct.pack("<I", 4000) + bytes(100))
        except ConnectionError:
            pass
    say("holding", len(socks))
    sys.stdin.readline()


VERBS = {
    "status": field(10, b""),
    "trim": field(17, b""),
    "takeover": field(40, b""),
    "create": field(21, field(1, b"made") + field(2, 8 << 20)),
    "set": field(15, field(1, field(1, b"decay_ms") + field(2, b"1s"))),
}


def ask(directory, name, verb):
    sock = connect(directory, name)
    sock.sendall(frame(field(1, 1) + VERBS[verb]))
    reply = receive(sock)
    say("closed" if reply is None else "error %d %s" % control_error(reply))


def kill(directory, n):
    for _ in range(int(n)):
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            sock = connect(directory, "attach")
            sock.sendall(attach_request({}))
            os.write(told, b"y" if receive(sock) else b"n")
            time.sleep(60)
        os.close(told)
        if os.read(ready, 1) != b"y":
            sys.exit("a client was not attached")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)


def walks(directory, n):
    socks = [connect(directory, "control-ro")]
    for _ in range(int(n) - 1):
        socks.append(socket.socket(socket.AF_UNIX))
        socks[-1].connect("control-ro")
    for sock in socks:
        sock.sendall(frame(field(1, 1) + field(11, field(1, 1))))
    for sock in socks:
        say("error %d %s" % control_error(receive(sock)))


KEPT_ADD, KEPT_REMOVE, KEPT_READY, KEPT_END = 1, 2, 3, 4
KEPT_MESSAGE = struct.Struct("I192s")


def kept_receive(link):
    """The kind of one message, with its descriptors closed; 0: no more come."""
    try:
        data, fds, _, _ = socket.recv_fds(link, KEPT_MESSAGE.size, 4)
    except ConnectionResetError:
        return 0
    for fd in fds:
        os.close(fd)
    return KEPT_MESSAGE.unpack(data)[0] if data else 0


def heir(directory):
    sock = connect(directory, "control")
    sock.sendall(frame(field(1, 1) + VERBS["takeover"]))
    _, (fd,) = receive(sock)
    link = socket.socket(fileno=fd)
    kind = KEPT_ADD
    while kind == KEPT_ADD:
        kind = kept_receive(link)
    say("end" if kind == KEPT_END else "nothing")
    for word in sys.stdin:
        if word == "ready\n":
            try:
                link.send(KEPT_MESSAGE.pack(KEPT_READY, b""))
                say("done sent")
            except BrokenPipeError:
                say("done refused")
        else:
            say("done", {0: "closed", KEPT_REMOVE: "goes on"}.get(
                kept_receive(link)))


def former(directory, what):
    become(directory)
    signal.alarm(60)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("begins")
    sock.listen()
    os.rename("begins", "control")
    # Others may look whether somebody answers.
    asked = {}
    while 40 not in asked:
        peer, _ = sock.accept()
        asked = (receive(peer) or [{}])[0]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(peer, [frame(field(1, 1) + field(2, 0))],
                    [theirs.fileno()])
    theirs.close()
    ours.send(KEPT_MESSAGE.pack(KEPT_END, b""))
    if what == "on":
        ours.shutdown(socket.SHUT_RD)
        ours.send(KEPT_MESSAGE.pack(KEPT_REMOVE, b""))
    ours.close()


COMMANDS = {"walks": walks, "attach": attach, "send": send, "fds": fds, "open": open_many,
            "ask": ask, "heir": heir, "former": former, "hold": hold, "kill": kill}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
