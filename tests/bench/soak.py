#!/usr/bin/env python3
"""A relay in real time: CALLS calls at 50 packets a second and direction, taken down and set up anew every ROUND
seconds, for MINUTES. After each round all allocations must be gone, every payload byte that came must have gone out or
be counted as dropped, and in the end memory and descriptors must be what they were after the second round. Prints a
line a round, then `name value unit`; a miss says MISSED, exit 1.

usage: soak.py LOAD ITO      MINUTES=60 CALLS=500 ROUND=60 PORT=24350
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

LOAD, ITO = sys.argv[1:3]
MINUTES, CALLS, ROUND, PORT = (int(os.environ.get(k, d)) for k, d in (
    ("MINUTES", "60"), ("CALLS", "500"), ("ROUND", "60"), ("PORT", "24350")))
DATA_BYTES = 88  # of relay_load: what each of its packets carries
SLACK = 256 * 1024  # pages the allocator may keep or give back between rounds
DROPPED = "ito_relay_dropped_packets_total"

missed = 0


def say(name, value, unit, good=True):
    global missed
    missed += not good
    print(f"soak_{name} {value:.6g} {unit}" + ("" if good else "   MISSED"), flush=True)


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return {k: float(v) for k, v in (line.split() for line in page.read().decode().splitlines() if line[0] != "#")}


def descriptors(pid):
    """How many are open; a relay shows them to root only: else 0, and it is said."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        if not descriptors.is_said:
            print("  SKIP  descriptors: shown to root only", flush=True)
        descriptors.is_said = True
        return 0


descriptors.is_said = False


def memory(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def settle(port):
    """The page once the last round's allocations are gone; the clients gave them back."""
    end = time.monotonic() + 20
    page = metrics(port)
    while page["ito_relay_allocations"] > 0 and time.monotonic() < end:
        time.sleep(0.2)
        page = metrics(port)
    return page


def a_round(relay, number):
    began = time.monotonic()
    out = subprocess.run([LOAD, "-m", "rate", "-c", str(CALLS), "-t", str(ROUND), "-p", str(relay.pid),
                          f"127.0.0.1:{PORT}"], capture_output=True, text=True, timeout=ROUND + 120, check=False)
    if out.returncode != 0:
        raise RuntimeError(f"round {number}: {out.stderr.strip()}")
    told = {k: float(v) for k, v in (line.split() for line in out.stdout.splitlines())}
    page = settle(PORT + 1)
    told["rss"], told["fds"] = memory(relay.pid), descriptors(relay.pid)
    told["left"] = page["ito_relay_allocations"] + page["ito_relay_ports_open"]
    told["dropped"] = sum(v for k, v in page.items() if k.startswith(DROPPED))
    told["in"], told["out"] = page["ito_relay_received_bytes_total"], page["ito_relay_bytes_total"]
    told["unexplained"] = told["in"] - told["out"] - DATA_BYTES * told["dropped"]
    print(f"round {number}: {time.monotonic() - began:.0f} s, {told['received']:.0f} of {told['sent']:.0f} packets, "
          f"p99 {told.get('p99_us', 0):.0f} us, {told['cpu_ns_per_packet']:.0f} ns a packet, rss {told['rss'] / 1024:.0f} KiB, "
          f"{told['fds']} descriptors, {told['left']:.0f} allocations left, in {told['in']:.0f} out {told['out']:.0f} bytes, "
          f"{told['dropped']:.0f} packets dropped", flush=True)
    return told


def main():
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, "config.json"), "w", encoding="ascii") as f:
            json.dump({"net": {"port": PORT, "peers": [], "mainline": "off", "lan_discovery": False, "port_mapping": False},
                       "relay": {"port": PORT, "turn_users": {"ito": "secret"}, "max_calls": 2 * CALLS, "max_kbps": 10000000,
                                 "allow_local": True, "metrics": f"127.0.0.1:{PORT + 1}"}}, f)
        with open(os.path.join(home, "said"), "w", encoding="ascii") as said:
            relay = subprocess.Popen([ITO, "--dir", home, "relay"], stdout=said, stderr=said)
        rounds, end = [], time.monotonic() + 60 * MINUTES
        try:
            time.sleep(2)
            while len(rounds) < 3 or time.monotonic() < end:
                rounds.append(a_round(relay, len(rounds) + 1))
                if relay.poll() is not None:
                    raise RuntimeError("the relay has ended")
        finally:
            if relay.poll() is None:
                relay.send_signal(signal.SIGTERM)
                relay.wait(20)
    warm, last = rounds[1], rounds[-1]
    grown = max(r["rss"] for r in rounds[-3:]) - max(r["rss"] for r in rounds[:2])
    lost = 100 * sum(r["sent"] - r["received"] for r in rounds) / sum(r["sent"] for r in rounds)
    say("rounds", len(rounds), f"of {CALLS} calls")
    say("bytes_in", last["in"], "bytes")
    say("bytes_unexplained", max(abs(r["unexplained"]) for r in rounds), "bytes", all(r["unexplained"] == 0 for r in rounds))
    say("allocations_left", max(r["left"] for r in rounds), "allocations", all(r["left"] == 0 for r in rounds))
    say("loss", lost, "%", lost <= 0.1)
    say("rss_growth", grown / 1024, "KiB", grown <= SLACK)
    say("descriptors_growth", last["fds"] - warm["fds"], "descriptors", last["fds"] <= warm["fds"])
    say("ended_with", relay.returncode, "exit code", relay.returncode == 0)
    return missed != 0


sys.exit(main())
