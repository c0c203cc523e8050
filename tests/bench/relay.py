#!/usr/bin/env python3
"""The relay beside coturn and beside the least a forwarder can do: interleaved rounds, one core for the load, one for
the relays. Prints `name value unit`; ratios are medians of the rounds; `must` says what reference/relay.md asks for.

The lines named xdp are of two network namespaces and a veth cable between them, with checksums on the wire, and all
relays are measured once more there: what the kernel does for `relay.xdp` is done in soft interrupts, and these run on
behalf of whoever sent. So the cost of a relay is there the time of the load, the relay and both ksoftirqd together
(schedstat), a delivered packet, less the same of the load's clients sending to each other (in their own namespace).

usage: relay.py LOAD FLOOR ITO      ROUNDS=3 SECONDS=2.5 ONLY=regex      (the xdp lines as root)
"""
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

LOAD, FLOOR, ITO = sys.argv[1:4]
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = os.environ.get("SECONDS", "2.5")
ONLY = re.compile(os.environ.get("ONLY", ""))
PORT = int(os.environ.get("PORT", "24310"))
CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE, RELAY_CORE = CORES[0], CORES[-1]

# name, arguments, relays, the most the ratio to coturn may be (None: only shown), the most to the floor
RATIOS = [
    ("flat_out_1_call", ["-m", "flood", "-c", "1"], ("coturn", "ito", "floor"), None, None),
    ("flat_out_100_calls", ["-m", "flood", "-c", "100"], ("coturn", "ito", "floor"), 0.33, 1.20),
    ("flat_out_1000_calls", ["-m", "flood", "-c", "1000"], ("coturn", "ito", "floor"), 0.33, 1.20),
    ("at_50_pps_50_calls", ["-m", "rate", "-c", "50"], ("coturn", "ito", "floor"), 0.40, None),
    ("at_50_pps_100_calls", ["-m", "rate", "-c", "100"], ("coturn", "ito", "floor"), 0.40, None),
    ("at_50_pps_200_calls", ["-m", "rate", "-c", "200"], ("coturn", "ito", "floor"), 0.40, None),
    ("plain_peer_100_calls", ["-m", "flood", "-c", "100", "-P"], ("coturn", "ito"), 0.75, None),
]


def say(name, value, unit, must=None, good=True):
    text = f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value:.0f}"
    print(f"relay_{name} {text} {unit}" + (f"   (must {must}{'' if good else ', MISSED'})" if must else ""), flush=True)


# The same by the cable; to coturn, to the floor.
XDP_RATIOS = [
    ("xdp_flat_out_100_calls", ["-m", "flood", "-c", "100"], 0.15, 0.5),
    ("xdp_flat_out_1000_calls", ["-m", "flood", "-c", "1000"], 0.15, 0.5),
    ("xdp_at_50_pps_100_calls", ["-m", "rate", "-c", "100"], None, None),
    ("xdp_plain_peer_100_calls", ["-m", "flood", "-c", "100", "-P"], None, None),
]
CHECKSUMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "net", "checksums.py")


class Cable:
    """Two namespaces: the relays are at 10.77.0.1 in one, all clients are addresses of the other."""
    SERVER, NEAR, CLIENTS, BASE = "10.77.0.1", "10.77.0.2", "10.78.0.0/16", "10.78.0.1"

    def __init__(self):
        name = f"itobench{secrets.token_hex(2)}"
        self.ends = [name + "-relays", name + "-load"]
        for end in self.ends:
            self.ip("netns", "add", end)
        self.ip("link", "add", "eth0", "netns", self.ends[0], "type", "veth", "peer", "name", "eth0", "netns", self.ends[1])
        for end, address in zip(self.ends, (self.SERVER, self.NEAR)):
            subprocess.run(self.there(end) + [CHECKSUMS, "eth0"], check=True)
            self.ip("-n", end, "addr", "add", address + "/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                self.ip("-n", end, "link", "set", device, "up")
        self.ip("-n", self.ends[0], "route", "add", self.CLIENTS, "via", self.NEAR)
        self.ip("-n", self.ends[1], "route", "add", "local", self.CLIENTS, "dev", "lo")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    @staticmethod
    def there(end):
        return ["ip", "netns", "exec", end]

    def close(self):
        for end in self.ends:
            self.ip("netns", "del", end)


class Relay:
    def __init__(self, name, port, args, bare=False, cable=None):
        self.name, self.port, self.bare, self.cable = name, port, bare, cable
        self.process = subprocess.Popen((cable.there(cable.ends[0]) if cable else []) + args,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.sched_setaffinity(self.process.pid, {RELAY_CORE})
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), {RELAY_CORE})

    def load(self, args):
        pids, server, there, more = [self.process.pid], "127.0.0.1", [], []
        if self.cable:
            pids += KSOFTIRQD + [0]
            server, there, more = self.cable.SERVER, self.cable.there(self.cable.ends[1]), ["-b", self.cable.BASE]
        command = there + ["taskset", "-c", str(LOAD_CORE), LOAD, "-t", SECONDS, "-p", ",".join(map(str, pids))] + more
        command += args + (["-F"] if self.bare else []) + [f"{server}:{self.port}"]
        out = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if out.returncode != 0:
            raise RuntimeError(f"{self.name}: {out.stderr.strip()}")
        return {k: float(v) for k, v in (line.split() for line in out.stdout.splitlines())}

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nobody(Relay):
    """The clients send to each other."""

    def __init__(self, cable):
        super().__init__("nobody", 9, ["sleep", "86400"], cable=cable)

    def load(self, args):
        return super().load(args + ["-D"])


def ksoftirqd():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().startswith("ksoftirqd/"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


KSOFTIRQD = ksoftirqd()


def coturn(port, address, cable=None):
    return Relay("coturn", port, [
        "turnserver", "-n", "-L", address, "-E", address, "-p", str(port), "-a", "-u", "ito:secret", "-r", "bench",
        "--min-port=30000", "--max-port=49000", "--relay-threads=0", "--no-tls", "--no-dtls", "--no-tcp", "--no-cli",
        "--allow-loopback-peers", "--log-file=/dev/null"], cable=cable)


def ito(folder, name, verb, port, relay, cable=None):
    home = os.path.join(folder, name)
    os.mkdir(home)
    with open(os.path.join(home, "config.json"), "w") as f:
        json.dump({"net": {"port": port, "peers": [], "mainline": "off", "lan_discovery": False,
                           "port_mapping": False},
                   "relay": relay}, f)
    if verb == "daemon":
        subprocess.run([ITO, "--dir", home, "init", "--name", "bare", "--no-passphrase"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Relay(name, port, [ITO, "--dir", home] + ([verb] if verb == "relay" else [verb, "--foreground"]), cable=cable)


def kernel_packets(cable, metrics):
    """Of the relay with xdp: what the kernel carried of all packets, in %."""
    page = subprocess.run(cable.there(cable.ends[0]) + [sys.executable, "-c", "import urllib.request, sys\n"
                          f"sys.stdout.write(urllib.request.urlopen('http://{metrics}/metrics').read().decode())"],
                          check=True, capture_output=True, text=True).stdout
    values = dict(line.split() for line in page.splitlines() if not line.startswith("#"))
    return 100 * float(values["ito_relay_kernel_packets_total"]) / float(values["ito_relay_packets_total"])


def xdp_lines(folder, relay):
    """The number of musts missed."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        print("relay: the xdp lines need root and ip(8)")
        return 0
    missed, relays, cable, metrics = 0, {}, Cable(), "127.0.0.1:9300"
    try:
        relays["nobody"] = Nobody(cable)
        relays["xdp"] = ito(folder, "xdp", "relay", PORT, {**relay, "port": PORT, "xdp": True, "metrics": metrics}, cable)
        relays["ito"] = ito(folder, "user-space", "relay", PORT + 1, {**relay, "port": PORT + 1}, cable)
        relays["floor"] = Relay("floor", PORT + 2, [FLOOR, str(PORT + 2), cable.BASE], bare=True, cable=cable)
        if shutil.which("turnserver"):
            relays["coturn"] = coturn(PORT + 3, cable.SERVER, cable)
        time.sleep(3)
        for name, args, most, most_floor in XDP_RATIOS:
            if not ONLY.search(name):
                continue
            rounds, who = [], [n for n in relays if n != "floor" or "-P" not in args]  # the floor knows channels only
            for _ in range(ROUNDS):
                r = {n: relays[n].load(args) for n in who}
                alone = r["nobody"]["cpu_ns_per_packet"]
                rounds.append({"loss": r["xdp"]["loss_pct"],
                               **{n: r[n]["cpu_ns_per_packet"] - alone for n in r if n != "nobody"}})
            mid = lambda f: statistics.median(f(r) for r in rounds)
            for n, called in (("xdp", "_cpu"), ("ito", "_user_space_cpu"), ("coturn", "_coturn_cpu"), ("floor", "_floor_cpu")):
                if n in who:
                    say(name + called, mid(lambda r: r[n]), "ns/packet")
            say(name + "_loss", mid(lambda r: r["loss"]), "%")
            for other, limit in (("coturn", most), ("floor", most_floor), ("ito", None)):
                if other in who:
                    x = mid(lambda r: r["xdp"] / r[other])
                    say(f"{name}_to_{'user_space' if other == 'ito' else other}", x, "x", limit and f"<= {limit}", not limit or x <= limit)
                    missed += bool(limit) and x > limit
        say("xdp_carried_by_kernel", kernel_packets(cable, metrics), "%")
    finally:
        for r in relays.values():
            r.stop()
        cable.close()
    return missed


def worker_lines(folder, relay):
    """One core beside two (`relay.workers`), both free to run on any; the load has one of these."""
    relays = {}
    try:
        for n in (1, 2):
            relays[n] = ito(folder, f"workers-{n}", "relay", PORT + 4 + n, {**relay, "port": PORT + 4 + n, "workers": n})
            time.sleep(2)  # threads begin at the first turn
            for task in os.listdir(f"/proc/{relays[n].process.pid}/task"):
                os.sched_setaffinity(int(task), set(CORES))
        rounds = [{n: r.load(["-m", "flood", "-c", "100"]) for n, r in relays.items()} for _ in range(ROUNDS)]
        for key, called in (("cpu_ns_per_packet", "cpu"), ("packets_per_s", "throughput")):
            say(f"workers_2_{called}_to_1", statistics.median(r[2][key] / r[1][key] for r in rounds), "x")
        say("workers_2_loss", statistics.median(r[2]["loss_pct"] for r in rounds), "%")
        say("workers_cores", len(CORES), "cores, one of them the load's")
    finally:
        for r in relays.values():
            r.stop()


def main():
    folder = tempfile.mkdtemp(prefix="ito-bench-relay-")
    missed = 0
    relays = {}
    try:
        users = {"ito": "secret"}
        bare = ito(folder, "bare", "daemon", PORT + 3, {"on": False})
        relay = {"turn_users": users, "max_calls": 10000, "max_kbps": 10000000, "allow_local": True}
        relays["ito"] = ito(folder, "ito", "relay", PORT, {**relay, "port": PORT})
        relays["floor"] = Relay("floor", PORT + 2, [FLOOR, str(PORT + 2)], bare=True)
        if shutil.which("turnserver"):
            relays["coturn"] = coturn(PORT + 1, "127.0.0.1")
        time.sleep(3)  # both have settled: idle memory is taken now
        if ONLY.search("idle_rss"):
            more = (relays["ito"].rss() - bare.rss()) / 1e6
            say("idle_rss_over_bare_core", more, "MB", "<= 3", more <= 3)
            missed += more > 3
        bare.stop()
        if ONLY.search("allocation"):
            rows = {n: [] for n in relays if n != "floor"}
            for _ in range(max(1, ROUNDS // 2)):
                for name in rows:
                    rows[name].append(relays[name].load(["-m", "alloc", "-c", "2500"]))
            for key, unit, most in (("cpu_us_per_allocation", "us", 60), ("rss_bytes_per_allocation", "bytes", 1024),
                                    ("fds_per_allocation", "fds", 0)):
                if key not in rows["ito"][0]:
                    print(f"  SKIP  {key}: the relay's descriptors are shown to root only", flush=True)
                    continue
                # memory and descriptors: the first round, before places are used again
                mine = [r[key] for r in rows["ito"]]
                value = statistics.median(mine) if key.startswith("cpu") else mine[0]
                say(key, value, unit, f"<= {most}", value <= most)
                missed += value > most
                if "coturn" in rows:
                    theirs = [r[key] for r in rows["coturn"]]
                    say("coturn_" + key, statistics.median(theirs) if key.startswith("cpu") else theirs[0], unit)
        for name, args, who, most, most_floor in RATIOS:
            if not ONLY.search(name):
                continue
            rounds = []
            for _ in range(ROUNDS):
                rounds.append({n: relays[n].load(args) for n in who if n in relays})
            mid = lambda f: statistics.median(f(r) for r in rounds)
            say(name + "_cpu", mid(lambda r: r["ito"]["cpu_ns_per_packet"]), "ns/packet")
            if "rate" in args:
                say(name + "_p99", mid(lambda r: r["ito"]["p99_us"]), "us")
            say(name + "_loss", mid(lambda r: r["ito"]["loss_pct"]), "%")
            for other, limit in (("coturn", most), ("floor", most_floor)):
                if other not in relays or other not in who:
                    continue
                x = mid(lambda r: r["ito"]["cpu_ns_per_packet"] / r[other]["cpu_ns_per_packet"])
                say(f"{name}_to_{other}", x, "x", limit and f"<= {limit}", not limit or x <= limit)
                missed += bool(limit) and x > limit
        if ONLY.search("hostile"):
            before = relays["ito"].rss()
            rounds = [relays["ito"].load(["-m", "rate", "-c", "100", "-x"]) for _ in range(ROUNDS)]
            loss = statistics.median(r["loss_pct"] for r in rounds)
            say("hostile_packets", sum(r["hostile_packets"] for r in rounds) / ROUNDS / float(SECONDS), "packets/s")
            say("hostile_100_calls_loss", loss, "%", "<= 0.1", loss <= 0.1)
            say("hostile_100_calls_p99", statistics.median(r["p99_us"] for r in rounds), "us")
            say("hostile_rss_growth", (relays["ito"].rss() - before) / 1e6, "MB")
            missed += loss > 0.1
        if ONLY.search("workers"):
            worker_lines(folder, relay)
        if any(ONLY.search(name) for name, *_ in XDP_RATIOS):
            missed += xdp_lines(folder, relay)
        if "coturn" not in relays:
            print("relay: coturn is not installed: no ratios to it")
        say("musts_missed", missed, "of those printed")
    finally:
        for r in relays.values():
            r.stop()
        shutil.rmtree(folder)


main()
