#!/usr/bin/python3
"""The overlay beside libtorrent and OpenDHT, in the same minutes: beds of NODES nodes of each kind, one process a bed,
on one wire that holds every packet DELAY ms back. Prints `name value unit`. Run by overlay.sh.

A round trip (rtt) is 2 x DELAY. What an operation costs in packets and bytes is all that the asking node sent and got
from its start to its end, upkeep included, with IP and UDP headers; gets that the asking node answered from what it
holds itself are counted apart. Idle traffic and CPU are means over all nodes of a
bed after the operations; memory is what the process grew by, a node. The beds work at the same time, each one
operation at a time, so what else this machine does hits all alike.

usage: overlay.py WIRE NODES     NODES=64 DELAY=25 OPS=40 COLD=8 SETTLE=25 IDLE=60 BYTES=361 SEED=1 README=
"""
import mmap
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

WIRE, OURS = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))


def number(name, default):
    return int(os.environ.get(name, default))


NODES, DELAY, OPS, COLD = number("NODES", 64), number("DELAY", 25), number("OPS", 40), number("COLD", 8)
SETTLE, IDLE, BYTES = number("SETTLE", 25), number("IDLE", 60), number("BYTES", 361)
OPS_S = 60  # operations of one bed stop after this, however many there were
OUTSIDE, PORT = 100, 6881
RTT = 2 * DELAY
PEERS = os.path.join(HERE, "overlay_peers.py")
KINDS = {
    "ito_zone": [OURS, "zone", str(NODES + COLD), str(BYTES)],
    "ito_mainline": [OURS, "mainline", str(NODES + COLD), str(BYTES)],
    "libtorrent": ["/usr/bin/python3", PEERS, "libtorrent", str(BYTES)],
    "opendht": ["/usr/bin/python3", PEERS, "opendht", str(BYTES)],
}
random.seed(number("SEED", 1))


said = {}


def say(name, value, unit):
    text = said[name] = f"{value:.2f}" if isinstance(value, float) and abs(value) < 100 else f"{value:.0f}"
    print(f"overlay_{name} {text} {unit}", flush=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


class Wire:
    """The device, and what it counted."""

    def __init__(self, folder, n_beds):
        for words in (["link", "set", "lo", "up"], ["tuntap", "add", "dev", "wire", "mode", "tun"],
                      ["link", "set", "wire", "txqueuelen", "10000", "up"]):
            subprocess.run(["ip", *words], check=True)
        lines = "".join(f"addr add 10.{b}.{i}.1/32 dev wire\n" for b in range(n_beds + 1) for i in range(NODES + COLD))
        # The default route is for libtorrent: no DHT on an interface that leads nowhere.
        lines += "route add default dev wire\n"
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
        path = os.path.join(folder, "counts")
        self.process = subprocess.Popen([WIRE, "wire", str(DELAY * 1000), path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the wire did not start")
        with open(path, "r+b") as f:
            self.counts = mmap.mmap(f.fileno(), 0)

    def node(self, bed, i):
        """Packets and bytes sent, packets and bytes got."""
        return struct.unpack_from("4Q", self.counts, (bed * 256 + i) * 32)

    def bed(self, bed):
        return [sum(column) for column in zip(*(self.node(bed, i) for i in range(NODES)))]

    def rtt_ms(self, bed):
        """Measured between two sockets of a bed of their own."""
        a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        a.bind((f"10.{bed}.0.1", PORT))
        b.bind((f"10.{bed}.1.1", PORT))
        took = []
        for _ in range(20):
            began = time.monotonic()
            a.sendto(b"?", (f"10.{bed + OUTSIDE}.1.1", PORT))
            b.sendto(b"!", b.recvfrom(16)[1])
            a.recv(16)
            took.append((time.monotonic() - began) * 1e3)
        return statistics.median(took)

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


class Bed:
    def __init__(self, wire, number_, kind):
        self.wire, self.b, self.kind = wire, number_, kind
        self.process = subprocess.Popen(KINDS[kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.puts, self.gets, self.colds, self.values = [], [], [], []
        self.local = self.failed = 0
        self.random = random.Random(number("SEED", 1))

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.kind}: ended with {self.process.wait()}")
        return line.split()

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        return self.answer()

    def inside(self, i):
        return f"10.{self.b}.{i}.1:{PORT}"

    def outside(self, i):
        return f"10.{self.b + OUTSIDE}.{i}.1:{PORT}"

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start(self):
        """Each node knows one of those before it."""
        self.answer()
        self.rss_before = self.rss()
        for i in range(NODES):
            self.ask("node", self.inside(i), self.outside(self.random.randrange(i)) if i else "-")
            time.sleep(0.05)
        self.started_at = time.monotonic()

    def measured(self, i, *words):
        """Answer, and packets and bytes, both directions, of node i meanwhile."""
        before = self.wire.node(self.b, i)
        a = [float(x) for x in self.ask(*words)]
        after = self.wire.node(self.b, i)
        d = [y - x for x, y in zip(before, after)]
        return a, d[0] + d[2], d[1] + d[3]

    def operate(self):
        """Puts, each read a little later by another node."""
        end = time.monotonic() + OPS_S
        for v in range(OPS):
            if time.monotonic() > end:
                break
            i, j = self.random.sample(range(NODES), 2)
            (took, stored), packets, size = self.measured(i, "put", i, v)
            if took < 0 or stored < 1:
                self.failed += 1
                continue
            self.puts.append((took, stored, packets, size))
            self.values.append(v)
            time.sleep(0.2)
            (first, done), packets, size = self.measured(j, "get", j, v)
            if first < 0 or done < 0:
                self.failed += 1
                continue
            if first < DELAY:
                self.local += 1
                continue
            self.gets.append((first, done, packets, size))
            time.sleep(0.2)

    def idle(self):
        before, cpu, began = self.wire.bed(self.b), self.cpu(), time.monotonic()
        time.sleep(IDLE)
        took = time.monotonic() - began
        d = [(y - x) / took / NODES for x, y in zip(before, self.wire.bed(self.b))]
        self.idle_sent, self.idle_got = d[:2], d[2:]
        self.idle_cpu = (self.cpu() - cpu) / took / NODES
        self.rss_node = (self.rss() - self.rss_before) / NODES

    def join_cold(self):
        for n in range(COLD if self.values else 0):
            i, v = NODES + n, self.random.choice(self.values)
            first = float(self.ask("cold", self.inside(i), self.outside(self.random.randrange(NODES)), v)[0])
            if first < 0:
                self.failed += 1
            else:
                self.colds.append(first)

    def report(self):
        def figures(name, rows, column):
            took = [r[column] / RTT for r in rows]
            say(f"{self.kind}_{name}", statistics.median(took), "rtt")
            say(f"{self.kind}_{name}_p90", percentile(took, 90), "rtt")

        say(f"{self.kind}_contacts_min", self.contacts, "nodes")
        say(f"{self.kind}_get_from_itself", self.local, "operations")
        if self.gets:
            figures("get_first_value", self.gets, 0)
            figures("get_done", self.gets, 1)
            say(f"{self.kind}_get_packets", statistics.mean(r[2] for r in self.gets), "packets")
            say(f"{self.kind}_get_bytes", statistics.mean(r[3] for r in self.gets), "bytes")
        if self.puts:
            figures("put_done", self.puts, 0)
            say(f"{self.kind}_put_stored", statistics.mean(r[1] for r in self.puts), "nodes")
            say(f"{self.kind}_put_packets", statistics.mean(r[2] for r in self.puts), "packets")
            say(f"{self.kind}_put_bytes", statistics.mean(r[3] for r in self.puts), "bytes")
        if self.colds:
            figures("cold_first_value", [(c,) for c in self.colds], 0)
        say(f"{self.kind}_idle_sent", self.idle_sent[1], "bytes/s")
        say(f"{self.kind}_idle_got", self.idle_got[1], "bytes/s")
        say(f"{self.kind}_idle_packets_sent", self.idle_sent[0] * 60, "packets/min")
        say(f"{self.kind}_idle_cpu", self.idle_cpu * 1e6, "us/s")
        say(f"{self.kind}_memory", self.rss_node / 1024, "KiB")
        say(f"{self.kind}_process", self.rss_before / 1048576, "MiB")
        say(f"{self.kind}_operations", len(self.puts) + len(self.gets) + self.local + len(self.colds), "done")
        say(f"{self.kind}_failed", self.failed, "operations")

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()


def together(beds, method):
    """One thread a bed; the first error is ours."""
    errors = []

    def run(bed):
        try:
            getattr(bed, method)()
        except Exception as e:
            errors.append(e)
    threads = [threading.Thread(target=run, args=(bed,)) for bed in beds]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def write_readme():
    """The row of this bench in README.md, from what was printed."""
    def four(name, under="-"):
        return " / ".join(said.get(f"{kind}_{name}", under) for kind in KINDS)

    path = os.path.join(HERE, "..", "..", "README.md")
    begin = "| `make bench-overlay`"
    row = (f"{begin} (root; `README=1` writes this row) | {NODES} nodes of each kind, one process a kind, {DELAY} ms each "
           f"way, values of {BYTES} bytes, a busy machine; ours in a zone / ours on mainline / libtorrent / OpenDHT: first "
           f"value {four('get_first_value')} RTT (90 of 100: {four('get_first_value_p90')}), from a cold join "
           f"{four('cold_first_value')}; put {four('put_done')} (90 of 100: {four('put_done_p90')}) at {four('put_stored')} "
           f"nodes; packets, both ways, a get {four('get_packets')}, a put {four('put_packets')}; bytes {four('get_bytes')} "
           f"and {four('put_bytes')}; idle for {IDLE} s, a node: {four('idle_sent')} bytes/s sent, {four('idle_cpu')} µs "
           f"of CPU a second (ours speak less often than that: over an hour `make sim-overlay` says 13 bytes/s); memory "
           f"{four('memory')} KiB a node; operations done {four('operations')}, failed {four('failed')} |\n")
    with open(path) as f:
        lines = [line for line in f if not line.startswith(begin)]
    at = max(n for n, line in enumerate(lines) if line.startswith("| `make bench"))
    lines.insert(at + 1, row)
    with open(path, "w") as f:
        f.writelines(lines)


def main():
    beds = []
    with tempfile.TemporaryDirectory() as folder:
        wire = Wire(folder, len(KINDS))
        try:
            say("delay_each_way", DELAY, "ms")
            say("rtt_measured", wire.rtt_ms(0), "ms")
            say("nodes_each", NODES, "nodes")
            say("value", BYTES, "bytes")
            beds += [Bed(wire, n + 1, kind) for n, kind in enumerate(KINDS)]
            together(beds, "start")
            time.sleep(SETTLE)
            for bed in beds:
                bed.contacts = int(float(bed.ask("contacts")[0]))
            together(beds, "operate")
            time.sleep(5)
            together(beds, "idle")
            together(beds, "join_cold")
            for bed in beds:
                bed.report()
            if os.environ.get("README"):
                write_readme()
            return 1 if any(bed.failed for bed in beds if bed.kind.startswith("ito")) else 0  # what others fail is theirs
        finally:
            for bed in beds:
                bed.close()
            wire.close()


sys.exit(main())
