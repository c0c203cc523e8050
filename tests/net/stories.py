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


def world(kind, second_relay=False):
    """Two homes of one kind, a relay, two more nodes (the third is a relay as well if so wanted); everybody joins."""
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
            people[name] = Phone(lab, ITO, name, **settings(**({"net__peers": []} if name == "boot" else {})))
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
        relays = people[name].wait(lambda r: r["relays"], "relays", seconds=30)
        check(relays is not None, f"{name} knows a relay")


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

    def __init__(self, lab, host):
        self.lab, self.path = lab, os.path.join(lab.folder, host + ".pcap")
        self.child = lab.start(host, "tcpdump", "-i", "eth0", "-U", "-w", self.path, "-s", "0", "-Z", "root",
                               log=host + "-tcpdump.log")
        until = time.monotonic() + 10
        while not (os.path.exists(self.path) and os.path.getsize(self.path)) and time.monotonic() < until:
            time.sleep(0.05)

    def check(self, least_packets):
        self.lab.end(self.child, signal.SIGINT)
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


STORIES = [punched, symmetric, stranger, blocked, blocked_but_tls, warm, upgrade, cable]


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
