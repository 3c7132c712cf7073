#!/usr/bin/python3
"""Run the sessions of a guide, and compare their shape, or write them anew.

    guide.py [-w] FILE

A session is a block of ```console: lines that begin with "$ " are commands, run
by the shell, and what follows each is what it prints (both streams).  Numbers, and
how many lines of a table or a map there are, may differ; the words of the first
line, the headings and the exit status (a line "[N]", absent for 0) may not.
With -w the file is written with what the commands print now.

A comment <!-- scene WORD --> has $GUIDE_SCENE WORD run where it stands, for what
a session is about to meet.  /etc/shmalloc is below the folder $GUIDE_ROOT, which
is not shown.
"""
import os
import re
import subprocess
import sys

BLOCK = re.compile(r"(```console\n)(.*?)(```\n)|<!-- scene (\w+) -->", re.S)


def run(command):
    root = os.environ["GUIDE_ROOT"]
    command = command.replace("/etc/shmalloc", root + "/etc/shmalloc")
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    text = done.stdout.decode().replace(root, "")
    return text + (f"[{done.returncode}]\n" if done.returncode else "")


def shape(text):
    """The first line without its numbers, all headings, the exit status."""
    lines = text.splitlines()
    found = []
    for i, line in enumerate(lines):
        words = re.sub(r"[0-9][0-9.,]*[KMGT%]?|\b(running|stopped)\b", "N", line)
        words = " ".join(words.split())
        is_heading = re.fullmatch(r"[A-Z][A-Z@0-9 ]+", line.strip())
        if i == 0 or is_heading or re.fullmatch(r"\[\d+\]", line):
            found.append(words if not re.fullmatch(r"\[\d+\]", line) else line)
    return found


def sessions(block):
    """Pairs of a command and what was printed."""
    for part in re.split(r"^(?=\$ )", block, flags=re.M):
        if part.startswith("$ "):
            command, _, output = part.partition("\n")
            yield command[2:], output


def main():
    is_writing = sys.argv[1] == "-w"
    path = sys.argv[-1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    n = n_bad = 0

    def renew(match):
        nonlocal n, n_bad
        if match[4]:
            subprocess.run([os.environ["GUIDE_SCENE"], match[4]], check=True,
                           stdin=subprocess.DEVNULL)
            return match[0]
        out = ""
        for command, before in sessions(match[2]):
            now = run(command)
            n += 1
            if shape(now) != shape(before):
                n_bad += 1
                print(f"$ {command}\nin the guide: {shape(before)}\n"
                      f"         now: {shape(now)}\n{now}")
            out += f"$ {command}\n{now}"
        return match[1] + out + match[3]

    renewed = BLOCK.sub(renew, text)
    if is_writing:
        with open(path, "w", encoding="utf-8") as file:
            file.write(renewed)
        return 0
    print(f"{n} commands, {n_bad} otherwise than the guide says")
    return 1 if n_bad or n < 25 else 0


sys.exit(main())
