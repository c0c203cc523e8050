#!/usr/bin/env python3
"""Layout of the sources: rows, foreign headers, contracts, guards, lengths.

usage: check.py [FILE...]      (default: every .c and .h that git knows or would add)

Prints `file:line: what` for each violation of STYLE.md §1, §2 and §4; exit 1 when there is one.
"""
import fnmatch
import os
import re
import subprocess
import sys

FUNCTION_MAX = 100  # lines, braces included
FILE_MAX = 1200  # lines

# Folder -> room. src/*.c and src/*.h themselves are the programs.
FOLDERS = {
    "src/base": "base", "src/io": "io", "src/dht": "dht", "src/nat": "nat", "src/sip": "sip",
    "src/media": "media", "src/store": "store", "src/call": "call", "src/app": "app",
    "crypto": "crypto", "relay": "relay", "ui": "ui", "src": "program", "tests": "test", "contrib": "test",
}
PARTS = ["sip", "media", "store", "nat", "dht"]
ALL = ["base", "crypto", "io", *PARTS, "relay", "call", "app", "ui", "program"]

# Room -> the rooms it may include, itself apart.
ROWS = {
    "base": [],
    "crypto": ["base"],
    "io": ["base", "crypto"],
    **{part: ["base", "crypto"] for part in PARTS},
    "relay": ["base", "crypto", "dht"],
    "call": ["base", "crypto", *PARTS, "relay"],
    "app": ["base", "crypto", *PARTS, "relay", "call"],
    "ui": ["base"],
    "program": ALL,
    "test": ALL + ["test"],
}

# Single files a room may reach beyond its rows: (who, what).
DOORS = [
    ("relay/*", "src/nat/stun.h"),
    ("relay/fastpath_*", "src/io/*"),
    ("ui/*", "src/app/command.h"),
    ("ui/*", "src/app/event.h"),
    ("ui/*", "src/app/model.h"),
]

# Foreign header -> the files that may include it. Tests and programs are no exception unless named.
HOMES = [
    ("cjson/*", ["src/base/json.h"]),
    ("sodium.h", ["crypto/*", "src/base/mem.*", "src/io/random.*", "tests/*"]),
    ("sodium/*", ["crypto/*", "tests/*"]),
    ("uv.h", ["src/io/*", "src/*.c"]),
    ("*curses*.h", ["ui/screen_curses.c"]),
    ("term.h", ["ui/screen_curses.c"]),
    ("sqlite3.h", ["*_db.c", "tests/*"]),
    ("opus/*", ["src/media/opus_codec.c", "tests/bench/*"]),
    ("alsa/*", ["src/media/audio_alsa.c"]),
    ("openssl/*", ["crypto/digest.c", "src/io/tls.c"]),
    ("osip*", ["src/sip/*", "tests/*"]),
    ("srtp*/*", ["src/media/srtp.c"]),
    ("speex/*", ["src/media/*"]),
    ("qrencode.h", ["ui/qr.c"]),
    ("miniupnpc*", ["src/nat/*", "src/io/*"]),
    ("natpmp*", ["src/nat/*", "src/io/*"]),
    ("pthread.h", ["src/media/*", "src/io/*", "relay/fastpath_*", "tests/*"]),
    # The operating system (STYLE.md §1: only these call it).
    ("unistd.h", "OS"), ("fcntl.h", "OS"), ("sys/stat.h", "OS"), ("sys/file.h", "OS"), ("sys/wait.h", "OS"),
    ("sys/socket.h", "OS"), ("sys/un.h", "OS"), ("sys/ioctl.h", "OS"), ("sys/mman.h", "OS"),
    ("sys/random.h", "OS"), ("sys/epoll.h", "OS"), ("ifaddrs.h", "OS"), ("net/if.h", "OS"), ("pwd.h", "OS"),
    ("termios.h", "OS"), ("dirent.h", "OS"), ("netdb.h", "OS"), ("spawn.h", "OS"),
]
OS = ["src/io/*", "src/*.c", "src/base/file.c", "src/base/addr.c", "crypto/keystore.c", "relay/fastpath_*",
      "*_db.c", "*_alsa.c", "*_wav.c", "*_curses.c", "src/media/media_thread.c", "tests/*", "contrib/*"]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def match(path, pattern):
    """fnmatch, except that `*` of a folder pattern such as src/*.c stays in the folder."""
    if "/" in pattern and pattern.split("/")[0] != "tests":
        return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
    return fnmatch.fnmatchcase(path, pattern)


def room(path):
    folder = os.path.dirname(path)
    while folder:
        if folder in FOLDERS:
            return FOLDERS[folder]
        folder = os.path.dirname(folder)
    return None


def resolve(path, name):
    """The file of the tree that `#include "name"` in path names, or None."""
    roots = [os.path.dirname(path), "src", "."]
    if room(path) == "test":
        roots.append("tests")
    for root in roots:
        found = os.path.normpath(os.path.join(root, name))
        if os.path.exists(found):
            return found
    return None


def check_include(path, name, is_foreign, say):
    if is_foreign:
        for header, homes in HOMES:
            if fnmatch.fnmatchcase(name, header):
                homes = OS if homes == "OS" else homes
                if not any(match(path, home) for home in homes):
                    say(f"<{name}> is at home in {', '.join(homes)} only")
                return
        return
    target = resolve(path, name)
    if target is None:
        say(f'"{name}" is not in the tree')
        return
    here, there = room(path), room(target)
    if here is None or there == here or there in ROWS[here]:
        return
    if any(match(path, who) and match(target, what) for who, what in DOORS):
        return
    say(f"{here} includes {target}: {there} is not in a row below it")


def check_header(path, lines, say):
    """The first comment is the contract, `/* path - one line`; a guard follows."""
    short = path[len("src/"):] if path.startswith("src/") else path
    shorts = (short, path, os.path.basename(path), path[len("tests/"):] if path.startswith("tests/") else path)
    first = lines[0] if lines else ""
    if not any(first.startswith(f"/* {s} - ") for s in shorts):
        say(1, f"a header begins with its contract: /* {short} - one line")
    code = [(n, l) for n, l in enumerate(lines, 1) if l.startswith("#")]
    if len(code) < 2 or not code[0][1].startswith("#ifndef ") or \
            code[1][1].split()[:2] != ["#define", code[0][1].split()[1]]:
        say(code[0][0] if code else 1, "no include guard")


def check_lengths(path, lines, say):
    if len(lines) > FILE_MAX:
        say(FILE_MAX + 1, f"file has {len(lines)} lines, at most {FILE_MAX}")
    start = None
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n
        elif line.startswith("}") and start is not None:
            if n - start + 1 > FUNCTION_MAX:
                say(start - 1, f"function has {n - start + 1} lines, at most {FUNCTION_MAX}")
            start = None


def check(path):
    found = []
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    for n, line in enumerate(lines, 1):
        m = INCLUDE.match(line)
        if m:
            check_include(path, m.group(2), m.group(1) == "<", lambda what, n=n: found.append((n, what)))
    say = lambda n, what: found.append((n, what))
    if path.endswith(".h"):
        check_header(path, lines, say)
    check_lengths(path, lines, say)
    for n, what in sorted(found):
        print(f"{path}:{n}: {what}")
    return len(found)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    files = sys.argv[1:] or subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
        check=True, capture_output=True, text=True).stdout.split("\n")
    files = sorted(f for f in set(files) if f and os.path.exists(f))
    bad = sum(check(f) for f in files)
    print(f"layout: {len(files)} files, {bad} violations")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
