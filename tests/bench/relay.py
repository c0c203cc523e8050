#!/usr/bin/env python3
"""The relay beside coturn and beside the least a forwarder can do: interleaved rounds, one core for the load, one for
the relays. Prints `name value unit`; ratios are medians of the rounds; `must` says what reference/relay.md asks for.

usage: relay.py LOAD FLOOR ITO      ROUNDS=3 SECONDS=2.5 ONLY=regex
"""
import json
import os
import re
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


class Relay:
    def __init__(self, name, port, args, bare=False):
        self.name, self.port, self.bare = name, port, bare
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.sched_setaffinity(self.process.pid, {RELAY_CORE})
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), {RELAY_CORE})

    def load(self, args):
        command = ["taskset", "-c", str(LOAD_CORE), LOAD, "-t", SECONDS, "-p", str(self.process.pid)]
        command += args + (["-F"] if self.bare else []) + [f"127.0.0.1:{self.port}"]
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


def ito(folder, name, verb, port, relay):
    home = os.path.join(folder, name)
    os.mkdir(home)
    with open(os.path.join(home, "config.json"), "w") as f:
        json.dump({"net": {"port": port, "peers": [], "mainline": "off", "lan_discovery": False,
                           "port_mapping": False},
                   "relay": relay}, f)
    if verb == "daemon":
        subprocess.run([ITO, "--dir", home, "init", "--name", "bare", "--no-passphrase"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Relay(name, port, [ITO, "--dir", home] + ([verb] if verb == "relay" else [verb, "--foreground"]))


def main():
    folder = tempfile.mkdtemp(prefix="ito-bench-relay-")
    missed = 0
    relays = {}
    try:
        users = {"ito": "secret"}
        bare = ito(folder, "bare", "daemon", PORT + 3, {"on": False})
        relays["ito"] = ito(folder, "ito", "relay", PORT, {
            "port": PORT, "turn_users": users, "max_calls": 10000, "max_kbps": 10000000, "allow_local": True})
        relays["floor"] = Relay("floor", PORT + 2, [FLOOR, str(PORT + 2)], bare=True)
        if shutil.which("turnserver"):
            relays["coturn"] = Relay("coturn", PORT + 1, [
                "turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(PORT + 1), "-a", "-u", "ito:secret",
                "-r", "bench", "--min-port=30000", "--max-port=49000", "--relay-threads=0", "--no-tls", "--no-dtls",
                "--no-tcp", "--no-cli", "--allow-loopback-peers", "--log-file=/dev/null"])
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
        if "coturn" not in relays:
            print("relay: coturn is not installed: no ratios to it")
        say("musts_missed", missed, "of those printed")
    finally:
        for r in relays.values():
            r.stop()
        shutil.rmtree(folder)


main()
