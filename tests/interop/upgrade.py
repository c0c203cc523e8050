#!/usr/bin/python3
"""`ito relay upgrade` while coturn's client talks through it: the relay becomes the program that lies at its path, and
loses no packet, with two threads that carry calls, with one more, and with fewer. Ends with `N passed, N failed`; exit 1 when one failed.

usage: upgrade.py [ITO]      (default build/ito; needs turnutils_uclient of coturn)
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
ITO = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build", "ito"))
PACKETS, CLIENTS = 1000, 12  # enough that the kernel gives some to each socket

results = {"passed": 0, "failed": 0}


def check(is_true, what):
    results["passed" if is_true else "failed"] += 1
    print(f"  {'ok  ' if is_true else 'FAIL'}  {what}", flush=True)


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    def __init__(self, folder):
        self.folder, self.program = folder, os.path.join(folder, "ito")
        self.port, self.metrics = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        shutil.copy(ITO, self.program)  # so that another program can come to lie there
        self.configure(2)
        self.err = open(os.path.join(folder, "err"), "w+")
        self.child = subprocess.Popen([self.program, *self.words("relay")], stderr=self.err,
                                      stdin=subprocess.DEVNULL)

    def configure(self, workers):
        with open(os.path.join(self.folder, "config.json"), "w") as f:
            json.dump({"net": {"port": self.port, "ipv6": False, "port_mapping": False, "lan_discovery": False,
                               "mainline": "off"},
                       "relay": {"allow_local": True, "max_calls": 100, "max_kbps": 100000, "workers": workers,
                                 "metrics": f"127.0.0.1:{self.metrics}", "turn_users": {"ito": "secret"}}}, f)

    def words(self, *args):
        return ["--dir", os.path.join(self.folder, "d"), "--config", os.path.join(self.folder, "config.json"), *args]

    def ito(self, *args):
        return subprocess.run([ITO, *self.words(*args)], capture_output=True, text=True, timeout=30, check=False)

    def lay(self, text=None):
        """Another file comes to lie at its path, as when a package is installed."""
        new = self.program + ".new"
        if text is None:
            shutil.copy(ITO, new)
        else:
            with open(new, "w") as f:
                f.write(text)
        os.chmod(new, 0o755)
        os.rename(new, self.program)

    def page(self):
        try:
            with socket.create_connection(("127.0.0.1", self.metrics), 5) as s:
                s.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
                text = b""
                while more := s.recv(65536):
                    text += more
                return text.decode()
        except OSError:
            return ""

    def number(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.page(), re.M)
        return float(found[1]) if found else -1.0

    def log(self):
        self.err.flush()
        with open(self.err.name) as f:
            return f.read()


def wait(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def main():
    if shutil.which("turnutils_uclient") is None:
        print("  FAIL  coturn is not installed (contrib/deps.sh --ci)")
        print("0 passed, 1 failed")
        sys.exit(1)
    folder = tempfile.mkdtemp(prefix="ito-upgrade-")
    relay = Relay(folder)
    client = None
    try:
        check(wait(lambda: relay.number("ito_relay_on") == 1), "one command brings up a relay")
        client = subprocess.Popen(["turnutils_uclient", "-u", "ito", "-w", "secret", "-p", str(relay.port), "-y", "-c",
                                   "-m", str(CLIENTS), "-n", str(PACKETS), "-l", "100", "127.0.0.1"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait(lambda: relay.number("ito_relay_packets_total") > 400)
        n = relay.number("ito_relay_allocations")
        for turn, workers in ((1, 3), (2, 1)):  # of two: one more, then none but the loop
            check(wait(lambda: relay.number("ito_relay_kernel_packets_total") > 50), "a thread carries packets")
            relay.configure(workers)
            relay.lay()
            done = relay.ito("relay", "upgrade")
            check(done.returncode == 0 and wait(lambda: relay.log().count("took over") == turn),
                  f"upgrade {turn}: {done.stderr.strip()}")
            check(wait(lambda: relay.number("ito_relay_packets_total") > 100), "packets go on")
            check(relay.number("ito_relay_allocations") == n, f"{n:.0f} allocations as before")
        said, _ = client.communicate(timeout=60)
        lost = re.findall(r"Total lost packets (\d+)", said)
        check(bool(lost) and int(lost[-1]) == 0, f"lost {lost[-1] if lost else '?'} of {CLIENTS * PACKETS} packets")
        jitter = re.findall(r"Average jitter.*", said)
        print(f"        {jitter[-1] if jitter else said[-300:]}")
        check(relay.child.poll() is None, f"it is process {relay.child.pid} as before")

        relay.lay("#!/bin/sh\nexit 1\n")
        done = relay.ito("relay", "upgrade")
        check(done.returncode == 1 and done.stderr == f"{relay.program} does not run. Nothing was changed.\n",
              f"a program that does not run is refused: {done.stderr.strip()}")
        done = relay.ito("relay", "drain")
        check(done.returncode == 0 and json.loads(relay.ito("--json", "status").stdout)["relay"]["draining"], "it drains")
        refused = subprocess.run(["turnutils_uclient", "-u", "ito", "-w", "secret", "-p", str(relay.port), "-y", "-c", "-n",
                                  "5", "127.0.0.1"], capture_output=True, text=True, timeout=60, check=False)
        check(refused.returncode != 0, "and takes no new allocation then")
        relay.child.send_signal(signal.SIGTERM)
        check(relay.child.wait(10) == 0, "it ends when told to")
    finally:
        for child in (client, relay.child):
            if child is not None and child.poll() is None:
                child.kill()
                child.wait()
        if results["failed"]:
            print(relay.log()[-2000:])
        relay.err.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{results['passed']} passed, {results['failed']} failed")
    sys.exit(1 if results["failed"] else 0)


if __name__ == "__main__":
    main()
