#!/usr/bin/python3
"""Calls between real processes on the hosts of lab.py. Ends with `N passed, N failed`; exit 1 when one failed.

usage: stories.py [--keep] [STORY...]      (as root; --keep leaves the folder with logs and recordings)
"""
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time

import tone
from lab import PORT, Lab, Phone

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
ITO = os.environ.get("ITO", os.path.join(TOP, "build", "ito"))
SPEECH = os.path.join(TOP, "tests", "sounds", "speech.wav")
LISTEN = os.path.join(TOP, "tests", "net", "listen.py")
CHECKSUMS = os.path.join(TOP, "tests", "net", "checksums.py")
LOAD = os.path.join(TOP, "build", "release", "bench", "relay_load")
BOOT = f"203.0.113.40:{PORT}"
LEAST_ESTOI = "0.90"

results = {"passed": 0, "failed": 0}


def check(is_true, what, told=""):
    results["passed" if is_true else "failed"] += 1
    print(f"  {'ok  ' if is_true else 'FAIL'}  {what}" + (f"  ({told})" if told else ""), flush=True)
    return is_true


def settings(**more):
    """Of every host: this laboratory is the whole world."""
    return {"net__peers": [BOOT], "net__port": PORT, "net__port_mapping": False, "net__lan_discovery": False,
            "net__mainline": "off", **more}


def world(kind, second_relay=False, **of_relay):
    """Two homes of one kind, a relay with these settings, two more nodes (the third is a relay as well if so wanted);
    everybody joins."""
    lab = Lab(f"ito{secrets.token_hex(2)}-")
    try:
        lab.public("relay", "203.0.113.30")
        lab.public("boot", "203.0.113.40")
        lab.public("third", "198.51.100.50")
        lab.public("carol", "198.51.100.60")
        lab.home("home-a", "203.0.113.10", kind)
        lab.home("home-b", "198.51.100.20", kind)
        lab.inside("alice", "192.168.1.2", "home-a")
        lab.inside("bob", "192.168.1.3", "home-b")
        people = {}
        for name in ("boot", "third", "relay"):
            more = {"boot": {"net__peers": []}, "relay": of_relay}.get(name, {})
            people[name] = Phone(lab, ITO, name, **settings(**more))
        for name in ("alice", "bob", "carol"):
            people[name] = Phone(lab, ITO, name, **settings(
                audio__input="wav:" + SPEECH, audio__output=f"wav:{lab.folder}/{name}-heard.wav"))
        alice, bob = people["alice"], people["bob"]
        alice.ito("contacts", "add", bob.id, "Bob")
        bob.ito("contacts", "add", alice.id, "Alice")
        bob.ito("config", "set", "call.auto_answer", '["Alice"]')
        people["boot"].up()
        time.sleep(0.3)
        people["relay"].up("relay")
        people["third"].up("relay" if second_relay else "daemon")
        for name in ("alice", "bob"):
            people[name].up()
        return lab, people
    except BaseException:
        lab.close()
        raise


def everybody_joined(people, names):
    for name in names:
        began = time.monotonic()
        status = people[name].joined()
        check(status is not None, f"{name} joins the overlay", f"{time.monotonic() - began:.1f} s")
    for name in ("alice", "bob"):
        relays = people[name].wait(lambda r: [x for x in r["relays"] if x["role"] in ("standby", "active")], "relays", seconds=30)
        check(relays is not None, f"{name} is linked with a relay")  # until its advert is found it is a node, a proxy at most


def call(caller, to, seconds, record):
    return caller.ito("call", to, "--play", SPEECH, "--record", record, "--for", str(seconds), code=None,
                      seconds=seconds + 60)


def heard(recording, what):
    done = subprocess.run([sys.executable, LISTEN, SPEECH, recording, LEAST_ESTOI], capture_output=True, text=True,
                          check=False)
    check(done.returncode == 0, what, (done.stdout or done.stderr).strip().splitlines()[-1])


def lines(done):
    """What `ito call` printed, without the clock."""
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in done.stdout.splitlines()]


def tell(done):
    return f"exit {done.returncode}: " + " / ".join(lines(done)) + done.stderr[-200:]


def check_call(done, name="Bob"):
    said = lines(done)
    check(done.returncode == 0, "the call ends with exit 0", tell(done))
    wanted = [f"Looking up {name}", "Connecting", "Ringing"]
    check([line for line in said if line in wanted] == wanted, "it is looked up, connected, rings")
    check(bool(said) and said[-1].startswith("Ended: You hung up."), "it ends by our hanging up")
    return said


class Capture:
    """What goes over a host's cable, from now to check()."""

    def __init__(self, lab, host, device="eth0"):
        self.lab, self.path = lab, os.path.join(lab.folder, host + ".pcap")
        self.child = lab.start(host, "tcpdump", "-i", device, "-U", "--immediate-mode", "-w", self.path, "-s", "0", "-Z", "root",
                               log=host + "-tcpdump.log")
        until = time.monotonic() + 10
        while not (os.path.exists(self.path) and os.path.getsize(self.path)) and time.monotonic() < until:
            time.sleep(0.05)

    def is_past(self, when):
        """Has anything been written that came after that moment?"""
        at, newest = 24, 0.0
        with open(self.path, "rb") as f:
            raw = f.read()
        while at + 16 <= len(raw):
            second, micro, n = (int.from_bytes(raw[at + i:at + i + 4], "little") for i in (0, 4, 8))
            newest, at = second + micro / 1e6, at + 16 + n
        return newest > when

    def end(self):
        """With all that went over it until now: what the kernel still holds is lost when tcpdump is told to stop."""
        now = time.time()
        until(lambda: self.is_past(now), 10)
        self.lab.end(self.child, signal.SIGINT)

    def check(self, least_packets):
        self.end()
        with open(self.path, "rb") as f:
            raw = f.read()
        packets = subprocess.run(["tcpdump", "-nr", self.path], capture_output=True, check=False).stdout.count(b"\n")
        check(packets >= least_packets, "the relay's cable carried the call", f"{packets} packets")
        leaks = [word for word in (b"INVITE", b"SIP/2.0", b"m=audio", b"a=candidate", b"Alice")
                 if word in raw]
        check(not leaks, "no plain text on the relay's cable", " ".join(map(repr, leaks)))


def totals_agree(people, when):
    """What the relay gave is what the two phones used, each by its own book."""
    def books():
        rows = people["relay"].json("ledger")["peers"]
        given = sorted((p["seq"], p["given_s"], p["given"]) for p in rows if p.get("seq"))
        rows = [p for name in ("alice", "bob") for p in people[name].json("ledger")["peers"]]
        used = sorted((p["seq"], p["used_s"], p["used"]) for p in rows if p.get("seq"))
        return given, used

    until = time.monotonic() + 15
    given, used = books()
    while (given != used or given == 0) and time.monotonic() < until:
        time.sleep(0.5)
        given, used = books()
    check(given == used and len(given) > 0, f"the ledgers agree {when}", f"relay gave {given}, phones used {used}")
    return given


# ---- stories ----

def punched():
    """Two ordinary homes: over the relay first, then direct; and again without the node they joined by."""
    lab, people = world("restricted")
    try:
        alice, bob = people["alice"], people["bob"]
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        capture = Capture(lab, "relay")
        out = os.path.join(lab.folder, "out.wav")
        done = call(alice, "Bob", 3, out)
        check(done.returncode == 0, "a first call", tell(done))
        # Cables without delay: only a relay that is in use already is faster than the punch.
        done = call(alice, "Bob", 12, out)
        said = check_call(done)
        check(any(line.startswith("In call, relayed") for line in said), "it is up over the relay at first")
        check("Path changed: now direct." in said, "it moves to the direct path", tell(done))
        row = alice.json("history")["calls"][0]
        check(row["path"] in ("direct_punched", "direct"), "the path is a punched one", str(row["path"]))
        heard(out, "alice hears what bob says")
        heard(os.path.join(lab.folder, "bob-heard.wav"), "bob hears what alice says")
        capture.check(50)

        people["boot"].down(signal.SIGKILL)
        done = call(alice, "Bob", 8, out)
        check_call(done)
        heard(out, "without the first node, alice hears bob")
    finally:
        finish(lab)


def symmetric():
    """Two symmetric homes: the relay carries the whole call, and both books say how much."""
    lab, people = world("symmetric")
    try:
        alice, relay = people["alice"], people["relay"]
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        capture = Capture(lab, "relay")
        out = os.path.join(lab.folder, "out.wav")
        done = call(alice, "Bob", 12, out)
        said = check_call(done)
        check(any(line.startswith("In call, relayed") for line in said), "it is up over the relay")
        check(not any("direct" in line for line in said), "it stays there", tell(done))
        heard(out, "alice hears what bob says")
        heard(os.path.join(lab.folder, "bob-heard.wav"), "bob hears what alice says")
        capture.check(1000)
        before = totals_agree(people, "after the call")
        relay.down(signal.SIGKILL)
        relay.up("relay")
        check(relay.joined() is not None, "the relay is back after kill -9")
        check(totals_agree(people, "after kill -9 of the relay") == before, "nothing was lost")
    finally:
        finish(lab)


def stranger():
    """Carol is not on bob's list: a request, no ring; once allowed, she gets through."""
    lab, people = world("restricted")
    try:
        bob, carol = people["bob"], people["carol"]
        bob.ito("config", "set", "call.auto_answer", '["Alice", "Carol"]')
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        carol.ito("contacts", "add", bob.id, "Bob")
        carol.up()
        check(carol.joined() is not None, "carol joins the overlay")
        done = carol.ito("call", "Bob", code=None, seconds=60)
        check(done.returncode == 13, "carol's call ends with exit 13", tell(done))
        check("Request sent. You can call once they allow you." in done.stdout, "she is told that a request was sent")
        check("Ringing" not in done.stdout, "nothing rings")
        box = bob.wait(lambda b: [r for r in b["in"] if r["id"] == carol.id], "requests", seconds=40)
        check(box is not None, "bob's requests list her")
        check(not [c for c in bob.json("history")["calls"] if c["peer"] == carol.id], "bob's history knows no call")
        if box is None:
            return
        number = next(r["n"] for r in box["in"] if r["id"] == carol.id)
        bob.ito("requests", "allow", str(number))
        done = None
        until = time.monotonic() + 60
        while (done is None or done.returncode != 0) and time.monotonic() < until:
            done = carol.ito("call", "Bob", "--for", "3", code=None, seconds=60)
        check(done.returncode == 0 and "Ringing" in done.stdout, "allowed, her call rings and is answered", tell(done))
    finally:
        finish(lab)


def blocked(kind="blocked", way="TCP"):
    """Alice's office lets no UDP out: she reaches the relays by TCP, and bob through them."""
    lab = Lab(f"ito{secrets.token_hex(2)}-")
    try:
        lab.public("relay", "203.0.113.30")
        lab.public("boot", "203.0.113.40")
        lab.home("office", "203.0.113.10", kind)
        lab.home("home-b", "198.51.100.20", "restricted")
        lab.inside("alice", "192.168.1.2", "office")
        lab.inside("bob", "192.168.1.3", "home-b")
        people = {}
        relays = [BOOT, f"203.0.113.30:{PORT}"]
        for name in ("boot", "relay"):
            people[name] = Phone(lab, ITO, name, **settings(**({"net__peers": []} if name == "boot" else {})))
        for name in ("alice", "bob"):
            people[name] = Phone(lab, ITO, name, **settings(
                net__peers=relays, audio__input="wav:" + SPEECH, audio__output=f"wav:{lab.folder}/{name}-heard.wav"))
        alice, bob = people["alice"], people["bob"]
        alice.ito("contacts", "add", bob.id, "Bob")
        bob.ito("contacts", "add", alice.id, "Alice")
        for phone in (alice, bob):
            phone.ito("config", "set", "call.auto_answer", '["Alice", "Bob"]')
        people["boot"].up("relay")
        time.sleep(0.3)
        people["relay"].up("relay")
        for name in ("alice", "bob"):
            people[name].up()
        everybody_joined(people, ("relay", "alice", "bob"))
        with open(os.path.join(alice.folder, "ito.log"), encoding="utf-8") as f:
            said = [line for line in f if "no UDP here" in line]
        check(bool(said) and said[0].rstrip().endswith("by " + way), f"alice's phone goes by {way}", "".join(said[:1]).strip())
        out = os.path.join(lab.folder, "out.wav")
        done = call(alice, "Bob", 2, out)  # a first look-up may come before his record
        done = call(alice, "Bob", 8, out)
        said = check_call(done)
        check(any(line.startswith("In call, relayed") for line in said), "the call is relayed", tell(done))
        heard(out, "alice hears what bob says")
        heard(os.path.join(lab.folder, "bob-heard.wav"), "bob hears what alice says")
        done = bob.ito("call", "Alice", "--for", "3", code=None, seconds=60)
        check(done.returncode == 0 and "Ringing" in done.stdout, "bob's call reaches her, too", tell(done))
    finally:
        finish(lab)


def warm():
    """Two symmetric homes, two relays: the one that carries the call is killed, and hardly anything is missed."""
    lab, people = world("symmetric", second_relay=True)
    try:
        alice, bob = people["alice"], people["bob"]
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        both = [alice.wait(lambda r: len([x for x in r["relays"] if x["role"] != "known"]) >= 2, "relays",
                           seconds=40), bob.wait(lambda r: len([x for x in r["relays"] if x["role"] != "known"]) >= 2,
                                                 "relays", seconds=40)]
        check(None not in both, "both phones hold two relays")
        steady, out = os.path.join(lab.folder, "tone.wav"), os.path.join(lab.folder, "out.wav")
        tone.write(steady, 40)
        for phone in (alice, bob):
            for what in ("echo_cancel", "noise_suppress"):
                phone.ito("config", "set", "audio." + what, "false")
        bob.ito("config", "set", "audio.input", "wav:" + steady)
        child = lab.start("alice", *alice.words("call", "Bob", "--play", steady, "--record", out, "--for", "20"),
                          log="alice-call.log")
        up = alice.wait(lambda s: s["calls"] and s["calls"][0]["state"] == "in_call", "status")
        check(up is not None, "the call is up")
        time.sleep(6)
        loads = {name: people[name].json("status")["relay"]["kbps_in"] for name in ("relay", "third")}
        carrier = max(loads, key=loads.get)
        check(loads[carrier] > 5, "one of the relays carries it", str(loads))
        people[carrier].down(signal.SIGKILL)
        code = child.wait(60)
        with open(os.path.join(lab.folder, "alice-call.log")) as f:
            said = f.read()
        check(code == 0 and "You hung up." in said, "the call ends by our hanging up", said.replace("\n", " / ")[-200:])
        check("Reconnecting" not in said, "nobody is told of a reconnection")
        for who, path in (("alice", out), ("bob", os.path.join(lab.folder, "bob-heard.wav"))):
            hole, sound = tone.longest_hole(path)
            check(hole < 0.3 and sound > 12, f"{who} misses less than 300 ms when the relay is killed",
                  f"{1000 * hole:.0f} ms of {sound:.1f} s")
    finally:
        finish(lab)


def blocked_but_tls():
    """Only what looks like TLS gets out of her office: a call goes by TLS."""
    blocked("tls", "TLS")


def upgrade():
    """Two symmetric homes and one relay, whose program is replaced under the call: nobody hears it."""
    lab, people = world("symmetric")
    try:
        alice, bob, relay = people["alice"], people["bob"], people["relay"]
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        steady, out = os.path.join(lab.folder, "tone.wav"), os.path.join(lab.folder, "out.wav")
        tone.write(steady, 60)
        for phone in (alice, bob):
            for what in ("echo_cancel", "noise_suppress"):
                phone.ito("config", "set", "audio." + what, "false")
        bob.ito("config", "set", "audio.input", "wav:" + steady)
        child = lab.start("alice", *alice.words("call", "Bob", "--play", steady, "--record", out, "--for", "25"),
                          log="alice-call.log")
        up = alice.wait(lambda s: s["calls"] and s["calls"][0]["state"] == "in_call", "status")
        check(up is not None, "the call is up")
        time.sleep(4)
        done = relay.ito("relay", "upgrade", code=None)
        check(done.returncode == 0, "the relay is told to become the program at its path", done.stderr.strip())
        code = child.wait(60)
        with open(os.path.join(lab.folder, "relay.log")) as f:
            check("took over" in f.read(), "it did")
        with open(os.path.join(lab.folder, "alice-call.log")) as f:
            said = f.read()
        check(code == 0 and "You hung up." in said and "Reconnecting" not in said, "the call ends by our hanging up",
              said.replace("\n", " / ")[-160:])
        for who, path in (("alice", out), ("bob", os.path.join(lab.folder, "bob-heard.wav"))):
            hole, sound = tone.longest_hole(path)
            check(hole < 0.2 and sound > 20, f"{who} hears no hole", f"{1000 * hole:.0f} ms of {sound:.1f} s")
        totals_agree(people, "after it")
    finally:
        finish(lab)


def at_home(by, *of_router):
    """A volunteer's relay behind a router that maps ports by that protocol; two symmetric homes talk through it."""
    lab = Lab(f"ito{secrets.token_hex(2)}-")
    try:
        lab.public("boot", "203.0.113.40")
        lab.home("home-r", "11.22.33.10", "restricted")
        lab.inside("relay", "192.168.1.2", "home-r")
        lab.maps_ports("home-r", *of_router)
        lab.home("home-a", "203.0.113.10", "symmetric")
        lab.inside("alice", "192.168.1.2", "home-a")
        lab.home("home-b", "198.51.100.20", "symmetric")
        lab.inside("bob", "192.168.1.3", "home-b")
        people = {name: Phone(lab, ITO, name, **settings(**more)) for name, more in {
            "boot": {"net__peers": []}, "relay": {"net__port_mapping": True},
            **{name: {"audio__input": "wav:" + SPEECH, "audio__output": f"wav:{lab.folder}/{name}-heard.wav"}
               for name in ("alice", "bob")}}.items()}
        alice, bob, relay = people["alice"], people["bob"], people["relay"]
        alice.ito("contacts", "add", bob.id, "Bob")
        bob.ito("contacts", "add", alice.id, "Alice")
        bob.ito("config", "set", "call.auto_answer", '["Alice"]')
        people["boot"].up()
        time.sleep(0.3)
        relay.up("relay")
        found = relay.wait(lambda s: s["network"]["reach_by"] == "mapped port", "status", seconds=40)
        port = (found or relay.json("status"))["network"]["ports"][0]
        check(port["by"] == by and len(lab.mapped("home-r")) == 1, f"the router maps the relay's port by {by}",
              f"{port} {lab.mapped('home-r')}")
        for name in ("alice", "bob"):
            people[name].up()
        everybody_joined(people, ("relay", "alice", "bob"))
        out = os.path.join(lab.folder, "out.wav")
        done = call(alice, "Bob", 12, out)
        said = check_call(done)
        check(any(line.startswith("In call, relayed") for line in said), "the call is relayed", tell(done))
        heard(out, "alice hears what bob says")
        relay.down()
        check(until(lambda: not lab.mapped("home-r"), 5), "the relay gives the port back when it ends", str(lab.mapped("home-r")))
    finally:
        finish(lab)


def mapped_by_pcp():
    """The volunteer's relay stands behind a router of his own, which is asked for the port."""
    at_home("pcp", "enable_natpmp=yes")


def mapped_by_upnp():
    """The same, and the router knows UPnP only."""
    at_home("upnp", "enable_natpmp=no")


def one_cable(addresses, what):
    lab = Lab(f"ito{secrets.token_hex(2)}-")
    try:
        lab.cable("anna", "ben", addresses)
        people = {name: Phone(lab, ITO, name, net__peers=[], net__port=PORT, net__port_mapping=False, net__mainline="off",
                              audio__input="wav:" + SPEECH, audio__output=f"wav:{lab.folder}/{name}-heard.wav")
                  for name in ("anna", "ben")}
        anna, ben = people["anna"], people["ben"]
        anna.ito("contacts", "add", ben.id, "Ben")
        ben.ito("contacts", "add", anna.id, "Anna")
        ben.ito("config", "set", "call.auto_answer", '["Anna"]')
        anna.up()
        ben.up()
        lab.plug("anna", "ben")
        began = time.monotonic()
        check(anna.joined(seconds=10) is not None, f"{what}: they find each other", f"{time.monotonic() - began:.1f} s")
        out, rang, done = os.path.join(lab.folder, "out.wav"), None, None
        caller = subprocess.Popen(["ip", "netns", "exec", lab.name("anna"), *anna.words(
            "call", "Ben", "--wait", "--play", SPEECH, "--record", out, "--for", "5")], stdout=subprocess.PIPE, text=True)
        try:
            said = []
            for line in caller.stdout:
                said.append(line.strip())
                if "Ringing" in line and rang is None:
                    rang = time.monotonic() - began
            done = caller.wait(60)
        finally:
            if caller.poll() is None:
                caller.kill()
        check(rang is not None and rang <= 10, f"{what}: it rings within 10 s of the cable", f"{rang} s; " + " / ".join(said))
        check(done == 0, f"{what}: the call ends with exit 0", f"exit {done}")
        heard(out, f"{what}: anna hears what ben says")
    finally:
        finish(lab)


def cable():
    """Two phones joined by a cable and nothing else: IPv4 without a route, and IPv6 link-local only."""
    one_cable(("169.254.7.1/16", "169.254.9.2/16"), "169.254")
    one_cable(None, "fe80")


def metrics(relay):
    """The relay's own counters, by name."""
    page = relay.lab.run_in(relay.host, sys.executable, "-c", "import sys, urllib.request as u\n"
                            "sys.stdout.write(u.urlopen('http://127.0.0.1:9300/metrics').read().decode())").stdout
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")}


def until(is_so, seconds):
    """Has it become so by then?"""
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    return is_so()


def calls_of_kernel(relay, n, seconds=5):
    return until(lambda: metrics(relay)["ito_relay_kernel_calls"] == n, seconds)


def load(lab, calls, seconds, *more):
    """TURN clients at 203.0.113.200 and up; what relay_load says."""
    done = subprocess.run(["ip", "netns", "exec", lab.name("load"), LOAD, "-m", "rate", "-c", str(calls), "-t",
                           str(seconds), "-b", "203.0.113.200", "-p", "0", *more, f"203.0.113.30:{PORT}"],
                          capture_output=True, text=True, check=False, timeout=seconds + 30)
    return {k: float(v) for k, v in (line.split() for line in done.stdout.splitlines())} or {"failed": done.stderr}


def on_the_wire(path, server):
    """Both ways of the relay's cable, ChannelData only: [(is_out, frame)]; how many Data indications left, and Send
    indications came; the frames with a wrong checksum."""
    frames, indications, wrong, at = [], [0, 0], 0, 24
    with open(path, "rb") as f:
        raw = f.read()
    while at + 16 <= len(raw):
        n = int.from_bytes(raw[at + 8:at + 12], "little")
        frame, at = raw[at + 16:at + 16 + n], at + 16 + n
        if frame[12:15] != b"\x08\x00\x45" or frame[23] != 17:
            continue
        ip, udp = frame[14:34], frame[34:14 + int.from_bytes(frame[16:18], "big")]
        is_out = ip[12:16] == server
        if PORT != int.from_bytes(udp[0:2] if is_out else udp[2:4], "big"):
            continue
        indications[0] += is_out and udp[8:10] == b"\x00\x17"
        indications[1] += not is_out and udp[8:10] == b"\x00\x16"
        if not 0x40 <= udp[8] < 0x50:
            continue
        pseudo = ip[12:20] + b"\x00\x11" + udp[4:6]
        for words in (ip, pseudo + udp + b"\x00" * (len(udp) % 2)):
            total = sum(int.from_bytes(words[i:i + 2], "big") for i in range(0, len(words), 2))
            wrong += total % 0xffff != 0
        frames.append((is_out, frame))
    return frames, indications, wrong


def xdp_call(lab, people, where):
    """A call that the kernel carries, as everybody sees it."""
    alice, relay = people["alice"], people["relay"]
    capture = Capture(lab, "core", where)
    before, out = metrics(relay), os.path.join(lab.folder, "out.wav")
    child = subprocess.Popen(["ip", "netns", "exec", lab.name("alice"), *alice.words(
        "call", "Bob", "--play", SPEECH, "--record", out, "--for", "14")], stdout=subprocess.PIPE, text=True)
    try:
        check(alice.wait(lambda s: s["calls"] and s["calls"][0]["state"] == "in_call", "status") is not None, "the call is up")
        check(calls_of_kernel(relay, 1), "the kernel carries it")
        said = child.communicate(timeout=60)[0]
    finally:
        if child.poll() is None:
            child.kill()
    check(child.returncode == 0 and "In call, relayed" in said and "You hung up." in said, "it ends by our hanging up", said[-200:])
    check(calls_of_kernel(relay, 0), "the kernel carries it no longer")
    heard(out, "alice hears what bob says")
    heard(os.path.join(lab.folder, "bob-heard.wav"), "bob hears what alice says")
    capture.end()
    after = metrics(relay)
    moved = {k: after[k] - before[k] for k in after if k in before}
    frames, indications, wrong = on_the_wire(capture.path, bytes([203, 0, 113, 30]))
    outs = [f for is_out, f in frames if is_out]
    kernels = [f for f in outs if f[18:20] == b"\0\0"]  # identification: the stack counts, the program does not
    share = len(kernels) / max(1, len(outs))
    check(share > 0.7, "most of it by the kernel", f"{len(kernels)} of {len(outs)}")
    check(wrong == 0, "every checksum on the relay's cable is right", f"{len(frames)} frames")
    check(moved["ito_relay_kernel_packets_total"] == len(kernels) and
          moved["ito_relay_packets_total"] == len(outs) + indications[0],
          "the counters say what the cable says",
          f"{moved['ito_relay_packets_total']:.0f} and {len(outs) + indications[0]}, by the kernel {moved['ito_relay_kernel_packets_total']:.0f} and {len(kernels)}")
    came, left = ([f[44:] for is_out, f in frames if is_out == way] for way in (False, True))  # length, what is encrypted
    dropped = sum(v for k, v in moved.items() if k.startswith("ito_relay_dropped_packets_total"))
    lost = len(came) + indications[1] - len(left) - indications[0]
    check(len(set(left) - set(came)) <= indications[1] and 0 <= lost <= dropped,
          "what came in went out, no byte of it changed", f"{lost} lost, {dropped:.0f} dropped")
    # MACs, TOS, DF, TTL, addresses, ports, channel: all that does not change from packet to packet
    looks = lambda some: {f[:16] + f[20:24] + f[26:38] + f[42:44] for f in some}
    users = [f for f in outs if f[18:20] != b"\0\0"]
    check(len(users) >= 9 and looks(users) == looks(kernels), "user space and kernel send the same headers", f"{len(looks(outs))} flows")
    totals_agree(people, "after the call")


def xdp():
    """The relay's kernel carries a call and nobody notices: phones, books, the wire; caps hold and it ends with all."""
    lab, people = world("symmetric", relay__xdp=True, relay__metrics="127.0.0.1:9300", relay__turn_users={"ito": "secret"},
                        relay__hairpin_only=True)
    try:
        relay = people["relay"]
        for host in ("alice", "bob", "relay"):
            lab.run_in(host, CHECKSUMS, "eth0")
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        call(people["alice"], "Bob", 2, os.path.join(lab.folder, "out.wav"))  # they have found the relay then
        xdp_call(lab, people, "p1")

        relay.ito("config", "set", "relay.hairpin_only", "false")  # then one of them has no use for an allocation of its own
        before, out = metrics(relay), os.path.join(lab.folder, "out.wav")
        check_call(call(people["alice"], "Bob", 12, out))
        after = metrics(relay)
        inner, kernel, packets = (after[k] - before[k] for k in ("ito_relay_inner_packets_total", "ito_relay_kernel_packets_total",
                                                                 "ito_relay_packets_total"))
        check(inner < 0.2 * packets and kernel > 0.7 * packets, "the kernel carries a call to a peer outside, too",
              f"{kernel:.0f} of {packets:.0f}")
        heard(out, "alice hears what bob says")
        heard(os.path.join(lab.folder, "bob-heard.wav"), "bob hears what alice says")
        totals_agree(people, "after that one")

        lab.public("load", "203.0.113.70")
        lab.run_in("load", CHECKSUMS, "eth0")
        lab.run_in("load", "ip", "route", "add", "local", "203.0.113.192/26", "dev", "lo")

        before = metrics(relay)
        told = load(lab, 10, 4)
        after = metrics(relay)
        kernel, packets = (after[k] - before[k] for k in ("ito_relay_kernel_packets_total", "ito_relay_packets_total"))
        check(told.get("loss_pct") == 0, "ten calls of TURN clients: nothing is lost", str(told))
        check(kernel > 0.6 * packets, "the kernel carries them", f"{kernel:.0f} of {packets:.0f}")
        check(calls_of_kernel(relay, 0, 1), "and lets go when they leave")

        relay.ito("config", "set", "relay.max_kbps", "200")
        told = load(lab, 10, 5)  # they want 704 kbit/s
        kbps = told.get("received", 0) * 88 * 8 / 1000 / 5
        check(160 < kbps < 200 * 5.5 / 5, "relay.max_kbps holds", f"{kbps:.0f} kbit/s")
        relay.ito("config", "set", "relay.max_kbps", "5000")

        child = lab.start("load", LOAD, "-m", "rate", "-c", "10", "-t", "90", "-b", "203.0.113.200", "-p", "0",
                          f"203.0.113.30:{PORT}", log="load.log")
        check(calls_of_kernel(relay, 10), "ten calls again")
        relay.ito("relay", "upgrade")
        check(until(lambda: open(os.path.join(lab.folder, "relay.log")).read().count("relay.xdp: eth0") == 2, 10) and
              calls_of_kernel(relay, 10), "after an upgrade under them the kernel carries them again")
        sent = lambda: int(lab.run_in("relay", "cat", "/sys/class/net/eth0/statistics/tx_packets").stdout)

        def is_still():
            n = sent()
            time.sleep(0.5)
            return sent() - n < 50  # of the 500 of ten calls; ARP goes on
        pid = int(lab.run_in("relay", "cat", os.path.join(relay.folder, "lock")).stdout or 0)
        os.kill(pid, signal.SIGSTOP)
        check(until(is_still, 5), "a relay that hangs takes the kernel with it: its leases run out")
        os.kill(pid, signal.SIGCONT)
        check(calls_of_kernel(relay, 10), "and goes on with it")
        attached = lambda: "xdp" in lab.run_in("relay", "ip", "link", "show", "eth0").stdout
        check(attached(), "the program is on the interface")
        relay.down(signal.SIGKILL)
        check(until(lambda: not attached(), 2), "kill -9: it is gone with the process")
        lab.end(child)

        relay.core = lab.start("relay", "setpriv", "--bounding-set", "-bpf,-sys_admin", *relay.words("relay"), log="bare.log")
        check(until(relay.listens, 10), "a relay without the right to bpf(2) starts")
        told = load(lab, 10, 2)
        with open(os.path.join(lab.folder, "bare.log")) as f:
            check("calls are carried without it" in f.read() and told.get("loss_pct") == 0, "says so, and relays", str(told))
    finally:
        finish(lab)


def devices():
    """Bob's laptop is linked by a text; alice's call rings at home and there, and the laptop answers."""
    lab, people = world("restricted")
    try:
        alice, bob, laptop = people["alice"], people["bob"], people["carol"]
        bob.ito("config", "set", "call.auto_answer", "[]")
        everybody_joined(people, ("third", "relay", "alice", "bob"))
        os.remove(os.path.join(laptop.folder, "identity.key"))
        said = os.path.join(lab.folder, "link.log")
        linking = lab.start("bob", *bob.words("-y", "devices", "link"), log="link.log")
        text = until(lambda: re.search(r"^ito:\S+", open(said, encoding="utf-8").read(), re.M), 10)
        done = laptop.ito("devices", "link", "--no-passphrase", text[0], code=None, seconds=60)
        check(done.returncode == 0, "the laptop is linked", done.stderr.strip().replace("\n", " / "))
        check(linking.wait(timeout=20) == 0, "and home says so")
        check(laptop.ito("id").stdout.strip() == bob.id, "both have one ID")
        laptop.up()
        check(laptop.wait(lambda a: [d for d in a["devices"] if d["n"] == 1 and d["online"]], "devices", seconds=40) is not None,
              "the two are connected")
        check(laptop.wait(lambda a: [c for c in a["contacts"] if c["name"] == "Alice"], "contacts") is not None,
              "the laptop knows bob's contacts")
        laptop.ito("config", "set", "call.auto_answer", '["Alice"]')
        for phone in (bob, laptop):
            check(phone.wait(lambda s: s["network"]["record"]["read_back"], "status") is not None, "its record is there")
        out = os.path.join(lab.folder, "out.wav")
        check_call(call(alice, "Bob", 6, out))
        heard(out, "alice hears what the laptop says")
        causes = [c["cause"] for c in bob.json("history")["calls"]]
        check(causes == ["answered_elsewhere"], "at home the call was answered elsewhere", str(causes))
        check(bob.json("status")["missed"] == 0, "which is no missed call")
        bob.ito("-y", "devices", "remove", "2")
        check(laptop.wait(lambda a: a["removed"], "devices") is not None, "removed, the laptop says so")
    finally:
        finish(lab)


STORIES = [punched, devices, symmetric, stranger, blocked, blocked_but_tls, warm, upgrade, cable, mapped_by_pcp, mapped_by_upnp, xdp]


def finish(lab):
    lab.close()
    if "--keep" in sys.argv or results["failed"]:
        for name in sorted(os.listdir(lab.folder)):
            path = os.path.join(lab.folder, name)
            if name.endswith(".log") and results["failed"]:
                with open(path, errors="replace") as f:
                    last = f.read().splitlines()[-8:]
                print(f"    -- {name}", *last, sep="\n       ")
    if "--keep" in sys.argv:
        print(f"    kept: {lab.folder}")
    else:
        shutil.rmtree(lab.folder, ignore_errors=True)


def stop(signum, _frame):
    raise SystemExit(128 + signum)


def tell_story(story):
    began = time.monotonic()
    print(f"{story.__name__}: {story.__doc__.strip()}", flush=True)
    try:
        story()
    except Exception as e:  # a story that cannot go on is a failure, not the end of the others
        check(False, f"{story.__name__} goes to its end", f"{type(e).__name__}: {e}")
    print(f"  {time.monotonic() - began:.0f} s", flush=True)


def main():
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    for story in STORIES:
        if wanted and story.__name__ not in wanted:
            continue
        before = dict(results)
        tell_story(story)
        if results["failed"] > before["failed"] and os.environ.get("CI"):
            # Real time on a machine that others use too. Seen in the log, and twice is a failure.
            print(f"ONCE MORE {story.__name__}: it failed above", flush=True)
            results.update(before)
            tell_story(story)
    print(f"{results['passed']} passed, {results['failed']} failed")
    sys.exit(1 if results["failed"] or not results["passed"] else 0)


if __name__ == "__main__":
    main()
