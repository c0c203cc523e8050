#!/usr/bin/python3
"""bed.py - our mainline profile in a mixed bed of 44 real nodes, each on an address of its own: libtorrent, bittorrent-dht
and ours, in both directions. Run by run.sh in a network namespace with nothing but a loopback; the capture there sees
every packet. Ends with `N passed, N failed`.

Each `row` is a line of the table of what others do (THREATS.md and PROTOCOL.md §6 say what we make of it).
"""
import json, hashlib, os, random, select, socket, struct, subprocess, sys, threading, time

import libtorrent as lt

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
ITO = os.path.join(ROOT, "build", "ito")
SEED = int(os.environ.get("SEED", "1"))
N_LT, N_JS, N_OURS = 16, 16, 12
LT = [f"127.1.{i}.1" for i in range(N_LT)]
JS = [f"127.2.{i}.1" for i in range(N_JS)]
OURS = [f"127.3.{i}.1" for i in range(N_OURS)]
PORT = 6881
LIMIT = 20
RTT_MS = 100
random.seed(SEED)
passed = failed = 0


def row(name, is_ok, what=""):
    global passed, failed
    passed, failed = passed + bool(is_ok), failed + (not is_ok)
    print(f"  {'ok   ' if is_ok else 'FAIL '} {name}{'  ' + str(what) if what != '' else ''}", flush=True)
    return bool(is_ok)


# ---- bencoding, canonical, and raw queries from an address of our own

class Verbatim:
    """Bytes that stand for themselves, canonical or not."""

    def __init__(self, text):
        self.text = text


def ben(v):
    if isinstance(v, Verbatim):
        return bytes(v.text)
    if isinstance(v, bool):
        v = int(v)
    if isinstance(v, int):
        return b"i%de" % v
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        return b"%d:%s" % (len(v), v)
    if isinstance(v, list):
        return b"l" + b"".join(map(ben, v)) + b"e"
    return b"d" + b"".join(ben(k) + ben(v[k]) for k in sorted(v, key=lambda k: k.encode() if isinstance(k, str) else k)) + b"e"


def unben(b, at=0):
    c = b[at:at + 1]
    if c == b"i":
        end = b.index(b"e", at)
        return int(b[at + 1:end]), end + 1
    if c in (b"l", b"d"):
        at, items = at + 1, []
        while b[at:at + 1] != b"e":
            item, at = unben(b, at)
            items.append(item)
        return (items if c == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = b.index(b":", at)
    n = int(b[at:colon])
    return b[colon + 1:colon + 1 + n], colon + 1 + n


class Raw:
    """A stranger with a socket: one query, one answer; None is silence."""

    def __init__(self, host, port=PORT):
        self.host = host
        self.s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((host, port))
        self.id = hashlib.sha1(host.encode()).digest()
        self.n = 0
        self.times = {}

    def pace(self, to):
        """Three packets in 1.3 s to one node: ours answer no faster than they ask."""
        t = self.times.setdefault(to, [])
        if len(t) >= 3:
            time.sleep(max(0, t[-3] + 1.3 - time.monotonic()))
        t.append(time.monotonic())

    def send(self, to, q, a, **top):
        self.n += 1
        t = struct.pack(">H", self.n)
        self.s.sendto(ben({"t": t, "y": "q", "q": q, "a": {"id": self.id, **a}, "ro": 1, **top}), (to, PORT))
        return t

    def ask(self, to, q, a, wait=1.0, **top):
        self.pace(to)
        t = self.send(to, q, a, **top)
        end = time.monotonic() + wait
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.s], [], [], left)[0]:
                return None
            data, src = self.s.recvfrom(4096)
            m = unben(data)[0]
            if src[0] == to and m.get(b"t") == t:
                return m

    def fetch(self, to, q, a):
        """What it answers, asked again while it is silent: a busy machine, or libtorrent's budget."""
        for _ in range(5):
            m = self.ask(to, q, a)
            if m is not None:
                return m[b"r"]
        return {}

    def token(self, to, target):
        return self.fetch(to, "get", {"target": target})[b"token"]


def code(m):
    """Of an answer: 0, the code of an error, or None for silence."""
    return None if m is None else m[b"e"][0] if b"e" in m else 0


# ---- everything that passes the loopback

class Capture(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when the kernel had it
        self.s.bind(("lo", 0))
        self.packets = []  # (time, src ip, sport, dst ip, dport, bytes)
        self.is_on = True

    def run(self):
        while self.is_on:
            if not select.select([self.s], [], [], 0.2)[0]:
                continue
            data, more, _, info = self.s.recvmsg(2048, 64)
            if info[2] == 4 or data[23] != 17:  # each passes once in each direction; UDP
                continue
            at = 14 + (data[14] & 15) * 4
            sport, dport = struct.unpack(">HH", data[at:at + 4])
            s, ns = struct.unpack("qq", more[0][2][:16])
            self.packets.append((s + ns / 1e9, data[26:30], sport, data[30:34], dport, data[at + 8:]))


def densest(times, span):
    times, most, first = sorted(times), 0, 0
    for i, t in enumerate(times):
        while t - times[first] >= span:
            first += 1
        most = max(most, i - first + 1)
    return most


# ---- the three kinds

class Lines:
    """A program that answers one JSON line with one."""

    def __init__(self, args, **kw):
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **kw)
        self.n = 0
        self.answers = {}
        self.cond = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            answer = json.loads(line)
            with self.cond:
                self.answers[answer["id"]] = answer
                self.cond.notify_all()
        with self.cond:
            self.answers[None] = {}
            self.cond.notify_all()

    def send(self, op, **kw):
        self.n += 1
        self.p.stdin.write(json.dumps({"id": self.n, "op": op, **kw}) + "\n")
        return self.n

    def wait(self, n, limit=LIMIT):
        with self.cond:
            self.cond.wait_for(lambda: n in self.answers or None in self.answers, limit)
            return self.answers.pop(n, {})

    def __call__(self, op, **kw):
        return self.wait(self.send(op, **kw))

    def close(self):
        self.p.stdin.close()
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()


class Torrents:
    """Default sessions of libtorrent, but for what reaches beyond the bed."""

    def __init__(self, hosts=LT):
        mask = lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification
        self.s = [lt.session({"listen_interfaces": f"{a}:{PORT}", "enable_dht": True, "dht_bootstrap_nodes": "",
                              "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
                              "alert_mask": mask}) for a in hosts]
        self.kept = [[] for _ in hosts]

    def add(self, hosts):
        for s in self.s:
            if s is not None:
                for h in hosts:
                    s.add_dht_node((h, PORT))

    def wait(self, i, what, limit=LIMIT):
        """The first alert of node i that what() takes."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            self.kept[i] += [what_is(a) for a in self.s[i].pop_alerts()]
            for a in self.kept[i]:
                if a is not None and what(a):
                    self.kept[i].remove(a)
                    return a
            self.s[i].wait_for_alert(100)
        return None

    def get(self, i, key=None, salt=b"", target=None):
        if key is None:
            self.s[i].dht_get_immutable_item(lt.sha1_hash(target))
            a = self.wait(i, lambda a: a[0] == "immutable" and a[1] == target)
            return None if a is None else a[2]
        self.s[i].dht_get_mutable_item(key, salt)
        best, end = None, time.monotonic() + LIMIT
        while time.monotonic() < end:
            a = self.wait(i, lambda a: a[0] == "mutable" and a[1] == key and a[2] == salt, end - time.monotonic())
            if a is None:
                return best
            if a[3] is not None:
                best = (a[3], a[4])
            if a[5] or best:
                return best
        return best

    def put(self, i, seed, value, salt=b""):
        h = bytearray(hashlib.sha512(seed).digest())
        h[0] &= 248
        h[31] = h[31] & 63 | 64
        key = bytes.fromhex(ours("sign", seed=seed.hex(), value="")["k"])
        self.s[i].dht_put_mutable_item(bytes(h), key, value, salt)
        return key

    def put_immutable(self, i, value):
        return self.s[i].dht_put_immutable_item(value).to_bytes()

    def announce(self, i, h):
        """As for any torrent: with its own port."""
        p = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + h.hex())
        p.save_path = "/nonexistent"
        self.s[i].add_torrent(p)

    def peers(self, i, h):
        self.s[i].dht_get_peers(lt.sha1_hash(h))
        found, end = set(), time.monotonic() + 4
        while time.monotonic() < end and not found:
            a = self.wait(i, lambda a: a[0] == "peers" and a[1] == h, end - time.monotonic())
            found |= set(a[2]) if a else set()
        return found


def what_is(a):
    """An alert as plain values: alerts die with the next pop."""
    if isinstance(a, lt.dht_immutable_item_alert):
        return ("immutable", a.target.to_bytes(), plain(a.item))
    if isinstance(a, lt.dht_mutable_item_alert):
        return ("mutable", bytes(a.key), bytes(a.salt) if not isinstance(a.salt, str) else a.salt.encode("latin1"),
                plain(a.item), a.seq, a.authoritative)
    if isinstance(a, lt.dht_get_peers_reply_alert):
        return ("peers", a.info_hash.to_bytes(), [f"{p[0]}:{p[1]}" for p in a.peers()])
    return None


def plain(item):
    return item.get("value") if isinstance(item, dict) else item


def ito(*args, peer=None, limit=60):
    r = subprocess.run([ITO, "--dir", "/nonexistent", "--json", "dht", "--mainline", "--peer",
                        f"{peer or random.choice(OURS)}:{PORT}", *args], capture_output=True, text=True, timeout=limit)
    try:
        return r.returncode, json.loads(r.stdout) if r.stdout else {}, r.stderr
    except ValueError:
        return r.returncode, {}, r.stdout + r.stderr


def until(do, is_good, limit=12):
    """What do() gives, again and again until it is good: libtorrent's own puts take as long as its dead contacts."""
    end = time.monotonic() + limit
    while True:
        r = do()
        if is_good(r) or time.monotonic() > end:
            return r
        time.sleep(0.5)


def client(delay_ms=40):
    """A read-only client on an address of its own, so far from all others that a busy machine makes nobody late."""
    client.n += 1
    return ours("client", bind=f"127.200.{client.n}.1", peer=f"{random.choice(OURS)}:{PORT}", delay_ms=delay_ms)["client"]


client.n = 0


def sha1(b):
    return hashlib.sha1(b).digest()


def alive(kind):
    return [i for i in range(len(kind)) if kind[i] not in dead]


dead = set()
ours = js = torrents = None
capture = Capture()


# ---- the stories

def start():
    global ours, js, torrents
    capture.start()
    ours = Lines([os.environ["DHT_NODES"], *[f"{a}:{PORT}" for a in OURS]])
    js = Lines(["node", os.path.join(ROOT, "tests/interop/dht/peers.mjs"), *JS])
    torrents = Torrents()
    torrents.add(LT[:2] + OURS[:1])
    js("join", peers=[JS[0], LT[0], OURS[0]])
    for a in LT[:1] + JS[:1] + OURS[:1]:
        ours("add", peer=f"{a}:{PORT}")
    end = time.monotonic() + 25
    while time.monotonic() < end:
        js("populate")
        time.sleep(1)
        counts = (min(n["peers"] for n in ours("stats")["nodes"]), min(js("counts")["counts"]),
                  sorted(lt_nodes(s) for s in torrents.s)[2])
        if counts[0] >= 12 and counts[1] >= 12 and counts[2] >= 4:
            break
    row("44 nodes of three kinds joined", counts[0] >= 12 and counts[1] >= 12 and counts[2] >= 4,
        f"contacts at least {counts[0]} (ours), {counts[1]} (bittorrent-dht), {counts[2]} (libtorrent)")


def lt_nodes(s):
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return s.status().dht_nodes


def slowly():
    """What libtorrent takes its time for: 15 s when a dead client is near."""
    values["lt"] = (torrents.put(1, b"\x33" * 32, b"from libtorrent"), b"from libtorrent")
    for i in range(4):
        values[f"lt {i}"] = (torrents.put(2 + i, bytes([i]) * 32, b"more"), b"more")
    values["lt immutable"] = torrents.put_immutable(2, "immutable of lt")
    values["lt dictionary"] = torrents.put_immutable(7, {"a": 1, "b": ["x"]})
    torrents.announce(9, hash_of("libtorrent"))


def hash_of(name):
    return sha1(b"announced by " + name.encode())


values = {}  # what was put, for reading after half the bed died


def ours_to_theirs():
    c = client()
    seed = "11" * 32
    r = ours("put", client=c, seed=seed, value=b"from us".hex(), seq=7)
    key = bytes.fromhex(ours("sign", seed=seed, value="")["k"])
    row("put: at least 20 nodes stored it", r.get("stored", 0) >= 20, r)
    row("libtorrent gets our mutable item", torrents.get(3, key) == (b"from us", 7))
    got = js("get", node=3, target=sha1(key).hex())
    row("bittorrent-dht gets our mutable item", got.get("v") == b"from us".hex() and got.get("seq") == 7, got)
    values["ours"] = (key, b"from us")

    r = ours("put", client=c, seed=seed, value=b"salted".hex(), seq=3, salt="news")
    row("libtorrent gets our salted item", torrents.get(4, key, b"news") == (b"salted", 3), r.get("stored"))
    got = js("get", node=4, target=sha1(key + b"news").hex(), salt="news")
    row("bittorrent-dht gets our salted item", got.get("v") == b"salted".hex(), got)

    item = ours("item_put", client=c, seed="22" * 32, secret="55" * 32, epoch=20779, seq=1800000000, plain=b"record".hex())
    k = bytes.fromhex(item["k"])
    row("a blinded item: another key than its base, at 20 nodes", item["k"] != item["base"] and item["stored"] >= 20,
        item["stored"])
    row("libtorrent gets and verifies a blinded item", torrents.get(5, k) == (bytes.fromhex(item["value"]), 1800000000))
    got = js("get", node=5, target=item["target"])
    row("bittorrent-dht gets and verifies a blinded item", got.get("v") == item["value"], {k: got[k] for k in got if k != "v"})
    values["blind"] = (k, bytes.fromhex(item["value"]))

    exit, r, err = ito("put", "--value", "never changes")
    target = bytes.fromhex(r.get("target", ""))
    row("`ito dht put` without a key: immutable, read back", exit == 0 and r["stored"] >= 20 and r["read_back"], r or err)
    row("its target is the SHA-1 of the bencoded value", target == sha1(b"13:never changes"))
    row("libtorrent gets our immutable item", torrents.get(6, target=target) == b"never changes")
    got = js("get", node=6, target=target.hex())
    row("bittorrent-dht gets our immutable item", got.get("v") == b"never changes".hex(), got)
    values["immutable"] = (target, b"never changes")


def theirs_to_ours():
    c = client()
    r = until(lambda: ours("get", client=c, key=values["lt"][0].hex()), lambda r: "v" in r)
    row("we get libtorrent's mutable item", r.get("v") == b"15:from libtorrent".hex(), r.get("err"))
    put = js("put", node=1, seed="44" * 32, v=b"from js".hex(), seq=5)
    r = ours("get", client=c, key=put["k"])
    row("we get bittorrent-dht's mutable item", r.get("v") == b"7:from js".hex() and r["seq"] == 5, (put, r.get("err")))
    values["js"] = (bytes.fromhex(put["k"]), b"from js")
    r = until(lambda: ours("get", client=c, target=values["lt immutable"].hex()), lambda r: "v" in r)
    row("we get libtorrent's immutable item", r.get("v") == b"15:immutable of lt".hex(), r.get("err"))
    put = js("put", node=2, v=b"immutable of js".hex())
    exit, r, err = ito("get", put["target"])
    row("`ito dht get` has bittorrent-dht's immutable item", exit == 0 and r["value"] == "immutable of js", r or err)
    exit, r, err = ito("get", values["lt"][0].hex())
    row("`ito dht get` has libtorrent's mutable item", exit == 0 and r["value"] == "from libtorrent" and r["seq"] >= 1, r or err)
    r = until(lambda: ours("get", client=c, target=values["lt dictionary"].hex()), lambda r: "v" in r)
    row("a dictionary as value is found as it was put", r.get("v") == b"d1:ai1e1:bl1:xee".hex(), r.get("err"))
    item = ours("blind", seed="66" * 32, secret="77" * 32, epoch=20779, seq=1800000001, plain=b"by another".hex())
    js("put", node=7, v=item["value"], k=item["k"], sig=item["sig"], seq=1800000001)
    r = ours("item_get", client=c, seed="66" * 32, secret="77" * 32, epoch=20779)
    row("we get and open our blinded item that bittorrent-dht put", r.get("plain") == b"by another".hex(), r.get("err"))
    # What our own nodes hold of theirs, byte for byte.
    raw = Raw("127.210.1.1")
    n = {"lt": 0, "js": 0}
    for name, (k, v) in [(n, values[n]) for n in values if n[:2] in ("lt", "js") and n[3:4] not in ("i", "d")]:
        name = name[:2]
        for a in OURS:
            m = raw.ask(a, "get", {"target": sha1(k)})
            n[name] += m is not None and m.get(b"r", {}).get(b"v") == v and m[b"r"][b"k"] == k
    row("our serving nodes hold items of both", n["lt"] > 0 and n["js"] > 0, n)


def announced():
    c, h = client(), [hash_of(n) for n in ("us", "libtorrent", "bittorrent-dht")]
    r = ours("announce", client=c, hash=h[0].hex(), port=1234)
    mine = f"127.200.{client.n}.1:1234"
    row("announce_peer: at least 20 nodes took it", r.get("stored", 0) >= 20, r)
    row("libtorrent finds whom we announced", mine in torrents.peers(8, h[0]))
    row("bittorrent-dht finds whom we announced", mine in js("peers", node=8, hash=h[0].hex()).get("peers", []))
    js("announce", node=9, hash=h[2].hex(), port=5432)
    r = until(lambda: ours("peers", client=c, hash=h[1].hex()), lambda r: r.get("peers"))
    row("we find whom libtorrent announced", f"{LT[9]}:{PORT}" in r.get("peers", []), r.get("peers"))
    exit, r, err = ito("peers", h[2].hex())
    row("`ito dht peers` finds whom bittorrent-dht announced", exit == 0 and f"{JS[9]}:5432" in r["peers"], r or err)
    n = sum(x["announced"] > 0 for x in ours("stats")["nodes"][:N_OURS])
    row("our serving nodes hold announced peers", n > 0, n)


def sizes_and_codes():
    """What each says to a raw put: the codes of the table, and ours among them."""
    raw = Raw("127.210.2.1")
    kinds = {"libtorrent": LT[10], "bittorrent-dht": JS[10], "ours": OURS[10]}

    def put(to, seed, value, seq, salt="", token=None, bad=False, **more):
        s = ours("sign", seed=seed, value=value.hex(), seq=seq, salt=salt)
        k = bytes.fromhex(s["k"])
        sig = bytearray.fromhex(s["sig"])
        sig[0] ^= bad
        a = {"k": k, "sig": bytes(sig), "seq": seq, "v": value, **more}
        if salt:
            a["salt"] = salt
        a["token"] = raw.token(to, sha1(k + salt.encode())) if token is None else token
        return code(raw.ask(to, "put", a))

    def each(what, expected, **kw):
        got = {name: put(a, **kw) for name, a in kinds.items()}
        row(what, tuple(got.values()) == expected, got)

    v = b"x" * 996
    each("996 bytes are stored by all", (0, 0, 0), seed="a1" * 32, value=v, seq=10)
    each("997 bytes: 205, stored by bittorrent-dht only, 205", (205, 0, 205), seed="a2" * 32, value=v + b"x", seq=10)
    each("the same seq once more: success, 302, success", (0, 302, 0), seed="a1" * 32, value=v, seq=10)
    each("a lower seq: 302 by all", (302, 302, 302), seed="a1" * 32, value=v, seq=9)
    each("cas that does not match: 301 by all", (301, 301, 301), seed="a1" * 32, value=v, seq=11, cas=3)
    each("cas that matches: stored by all", (0, 0, 0), seed="a1" * 32, value=v, seq=11, cas=10)
    each("a salt of 65 bytes: 207, not checked, 207", (207, 0, 207), seed="a3" * 32, value=b"s", seq=1, salt="s" * 65)
    each("a negative seq: 203, stored by bittorrent-dht, 203", (203, 0, 203), seed="a4" * 32, value=b"n", seq=-1)
    each("a wrong signature: 206, silence, 206", (206, None, 206), seed="a5" * 32, value=b"b", seq=1, bad=True)
    each("a wrong token: 203 by all", (203, 203, 203), seed="a6" * 32, value=b"t", seq=1, token=b"tokn")
    hits = {n: raw.ask(a, "get", {"target": sha1(bytes.fromhex(ours("sign", seed="a1" * 32, value="")["k"]))})
            for n, a in kinds.items()}
    row("a hit brings the value; nodes too, but for bittorrent-dht",
        all(m[b"r"][b"v"] == v for m in hits.values()) and b"nodes" not in hits["bittorrent-dht"][b"r"] and
        b"nodes" in hits["libtorrent"][b"r"], {n: sorted(k.decode() for k in m[b"r"]) for n, m in hits.items()})
    t = hashlib.sha1(b"unknown").digest()
    row("our own methods are an unknown query to libtorrent, answered as find_node",
        code(raw.ask(LT[11], "drop_get", {"target": t})) == 0)
    row("our own keys at top level and in `a` disturb nobody",
        all(code(raw.ask(a, "find_node", {"target": t, "zz": 1}, zz=b"x")) == 0 for a in (LT[11], JS[11], OURS[11])))
    m = raw.ask(OURS[11], "find_node", {"target": t, "want": ["n4", "n6"]})
    row("want n4, n6 on a bed of IPv4: nodes", m and len(m[b"r"].get(b"nodes", b"")) >= 26 * 4)
    exit, _, err = ito("put", "--value", "x" * 997)
    row("`ito dht put` refuses 997 bytes", exit == 2 and "997" in err, err)


def strangers():
    """A new address for each: nobody's patience is used up by the row before."""
    for i in range(1, 250):
        yield Raw(f"127.211.{i}.1")


stranger = strangers()
KINDS = {"libtorrent": LT[12], "bittorrent-dht": JS[12], "ours": OURS[9]}


def signed(seed, value, seq, **more):
    s = ours("sign", seed=seed, value=value.hex(), seq=seq)
    return {"k": bytes.fromhex(s["k"]), "sig": bytes.fromhex(s["sig"]), "seq": seq, "v": value, **more}


def each(what, expected, do):
    got = {name: do(a) for name, a in KINDS.items()}
    row(what, tuple(got.values()) == expected, got)


def tokens():
    def from_elsewhere(to, port=None, target=None):
        """A put whose token was given to another address, port or target; its code."""
        item = signed(f"{0xe1 + (port is not None) + 2 * (target is not None):02x}" * 32, b"t", 1)
        giver = next(stranger)
        putter = giver if target is not None else Raw(giver.host, port) if port else next(stranger)
        token = giver.token(to, target or sha1(item["k"]))
        return code(putter.ask(to, "put", {**item, "token": token}))

    each("a token of another address: 203 by all", (203, 203, 203), from_elsewhere)
    each("a token of another port of the address is taken by all", (0, 0, 0), lambda to: from_elsewhere(to, port=PORT + 1))
    each("a token of another target: 203, taken, 203", (203, 0, 203), lambda to: from_elsewhere(to, target=sha1(b"else")))


def hits():
    def put(to, item):
        raw = next(stranger)
        return code(raw.ask(to, "put", {**item, "token": raw.token(to, sha1(item["k"]))}))

    def get(to, item, **more):
        return next(stranger).fetch(to, "get", {"target": sha1(item["k"]), **more})

    first, second = (signed("e8" * 32, v, 10) for v in (b"first", b"second"))
    each("the first value of a seq is stored by all", (0, 0, 0), lambda to: put(to, first))
    each("another value of that seq: success, 302, 302", (0, 302, 302), lambda to: put(to, second))
    each("and all of them keep the first", (b"first",) * 3, lambda to: get(to, first)[b"v"])
    each("asked for a later seq, a hit has no value; bittorrent-dht does not look at it", (False, True, False),
         lambda to: b"v" in get(to, first, seq=10))
    each("asked for an earlier one it has", (True, True, True), lambda to: b"v" in get(to, first, seq=9))


def values_of_all_kinds():
    def kept(to, v):
        raw, target = next(stranger), sha1(ben(v))
        return (code(raw.ask(to, "put", {"v": v, "token": raw.token(to, target)})),
                next(stranger).fetch(to, "get", {"target": target}).get(b"v"))

    for what, v, back in (("an integer", -7, -7), ("a list", [1, b"x", [b""]], [1, b"x", [b""]]),
                          ("a dictionary", {"a": {"b": 2}}, {b"a": {b"b": 2}}), ("no bytes at all", b"", b"")):
        each(f"{what} is stored by all as it came", ((0, back),) * 3, lambda to, v=v: kept(to, v))


    def says(to, text):
        raw = next(stranger)
        return code(raw.ask(to, "put", {"v": Verbatim(text), "token": raw.token(to, sha1(text))}))

    for what, text in (("keys out of order", b"d1:bi1e1:ai2ee"), ("a key twice", b"d1:ai1e1:ai2ee"),
                       ("zeros before a number", b"i007e"), ("zeros before a length", b"02:ab")):
        each(f"{what}: 203, stored by bittorrent-dht, silence of ours", (203, 0, None), lambda to, text=text: says(to, text))
    each("minus nothing is stored by libtorrent only", (0, None, None), lambda to: says(to, b"i-0e"))


def queries():
    t = sha1(b"anything")
    each("nodes in an answer: 8, 20 or more, 8", (8, True, 8), lambda to: (lambda n: n if n <= 8 else n >= 20)(
        len(next(stranger).fetch(to, "find_node", {"target": t})[b"nodes"]) // 26))
    each("an unknown query with a target: as find_node, silence, 204", (0, None, 204),
         lambda to: code(next(stranger).ask(to, "nonsense", {"target": t})))
    each("without one: 203, silence, 204", (203, None, 204), lambda to: code(next(stranger).ask(to, "nonsense", {})))
    each("an id that does not follow from the address is served by all (BEP 42)", (0, 0, 0),
         lambda to: code(next(stranger).ask(to, "ping", {})))

    def named(to):
        """A read-only asker (BEP 43): named to others, or asked back?"""
        raw, first = next(stranger), len(capture.packets)
        for q in ("ping", "find_node", "get"):
            raw.ask(to, q, {"target": t})
        found = next(stranger).fetch(to, "find_node", {"target": raw.id})[b"nodes"]
        asked = [p for p in capture.packets[first:] if p[1] == socket.inet_aton(to) and p[3] == socket.inet_aton(raw.host) and
                 unben(p[5])[0].get(b"y") == b"q"]
        return raw.id in [found[i:i + 20] for i in range(0, len(found), 26)], len(asked) > 0

    got = {name: named(a) for name, a in KINDS.items()}
    row("who says `ro` is neither named nor asked by libtorrent and ours; bittorrent-dht names it while it has room",
        got["libtorrent"] == got["ours"] == (False, False), got)

    def of_many(to):
        """Of 130 announced peers, those in one answer."""
        h = sha1(b"many" + to.encode())
        for i in range(130):
            raw = Raw(f"127.212.{i}.{KINDS_ORDER.index(to) + 1}")
            token = raw.fetch(to, "get_peers", {"info_hash": h})[b"token"]
            raw.fetch(to, "announce_peer", {"info_hash": h, "port": 1000 + i, "token": token})
            raw.s.close()
        return len(next(stranger).fetch(to, "get_peers", {"info_hash": h}).get(b"values", []))

    each("peers in an answer, of 130: 100, all, 30", (100, 130, 30), of_many)


KINDS_ORDER = list(KINDS.values())


def budget():
    """Thirty large answers asked for at once."""
    item = signed("ea" * 32, b"y" * 990, 1)
    target = sha1(item["k"])

    def answered(to):
        raw = next(stranger)
        raw.ask(to, "put", {**item, "token": raw.token(to, target)})
        raw, n = next(stranger), 0
        for _ in range(30):
            raw.send(to, "get", {"target": target})
        end = time.monotonic() + 2
        while n < 30 and select.select([raw.s], [], [], max(0, end - time.monotonic()))[0]:
            n += b"v" in unben(raw.s.recv(4096))[0].get(b"r", {})
        return n

    got = {name: answered(a) for name, a in zip(KINDS, (LT[13], JS[13], OURS[8]))}  # who have said little yet
    row("thirty large answers at once: libtorrent's budget ends before, bittorrent-dht has none, ours keeps its pace",
        10 <= got["libtorrent"] < 30 and got["bittorrent-dht"] == 30 and 1 <= got["ours"] < 30, got)


def ipv6():
    """The other address family (BEP 32). bittorrent-dht has none."""
    lt6, ours6, client6 = [f"fd00:1::{i}" for i in range(1, 5)], [f"fd00:3::{i}" for i in range(1, 5)], "fd00:200::1"
    for a in lt6 + ours6 + [client6, "fd00:210::1", "fd00:200::2", "fd00:200::3"]:
        subprocess.run(["ip", "-6", "addr", "add", a + "/128", "dev", "lo", "nodad"], check=True)
    there = Torrents([f"[{a}]" for a in lt6])
    for a in ours6[:3]:
        ours("client", bind=f"[{a}]", serves=True, peer=f"[{lt6[0]}]:{PORT}")
    there.add(lt6 + ours6[:3])
    until(lambda: min(lt_nodes(s) for s in there.s), lambda n: n >= 2)
    theirs = there.put(1, b"\xf2" * 32, b"of libtorrent")
    c = ours("client", bind=f"[{client6}]", peer=f"[{lt6[0]}]:{PORT}")["client"]
    n = stats_of(c)["peers"]
    row("IPv6: a client of ours joins by a libtorrent node", n >= 3, f"{n} contacts")
    r = ours("put", client=c, seed="f1" * 32, value=b"by IPv6".hex(), seq=3)
    key = bytes.fromhex(ours("sign", seed="f1" * 32, value="")["k"])
    row("IPv6: a put is stored by nodes of both kinds", r.get("stored", 0) >= 5, r)
    row("IPv6: libtorrent gets our item", there.get(2, key) == (b"by IPv6", 3))
    r = until(lambda: ours("get", client=c, key=theirs.hex()), lambda r: "v" in r)
    row("IPv6: we get libtorrent's item", r.get("v") == b"13:of libtorrent".hex(), r.get("err"))
    raw = Raw("fd00:210::1")
    got = {to: raw.fetch(to, "find_node", {"target": sha1(b"six")}) for to in (lt6[0], ours6[0])}
    row("IPv6: contacts are of 38 bytes, in nodes6", all(len(r.get(b"nodes6", b"")) >= 38 and len(r[b"nodes6"]) % 38 == 0
                                                       for r in got.values()), {a: sorted(r) for a, r in got.items()})
    # Two halves: who knows one address of IPv4 comes to contacts of IPv6 by asking for both.
    half = ours("client", bind="127.200.240.1", serves=True, peer=f"{OURS[0]}:{PORT}")["client"]
    ours("client", bind="[fd00:200::2]", serves=True, beside=half, peer=f"[{ours6[0]}]:{PORT}")
    m = Raw("127.211.251.1").fetch("127.200.240.1", "find_node", {"target": sha1(b"six"), "want": ["n4", "n6"]})
    row("want n4, n6: a node of two families gives both", len(m.get(b"nodes", b"")) >= 26 and len(m.get(b"nodes6", b"")) >= 38,
        {k: len(v) for k, v in m.items()})
    first = ours.send("client", bind="[fd00:200::3]", peer="[fd00:9::9]:1")  # nobody is there
    six = len(ours("stats")["nodes"]) - N_OURS - 1
    ours("client", bind="127.200.241.1", beside=six, peer=f"127.200.240.1:{PORT}")
    n = until(lambda: stats_of(six)["peers"], lambda n: n >= 3)
    ours.wait(first)
    row("and a client that began with one address of IPv4 has contacts of IPv6", n >= 3, f"{n} contacts")
    there.s.clear()


def stats_of(c):
    return ours("stats")["nodes"][N_OURS + c]


def conflicts():
    c, seed = client(), "b1" * 32
    r = [ours("put", client=c, seed=seed, value=b"one".hex(), seq=100) for _ in range(2)]
    row("an equal-seq refresh is a success at both kinds", r[1].get("stored", 0) >= 20 and r[1]["refused"] <= 2 and r[1]["inferred"] > 0,
        r[1])
    r = ours("put", client=c, seed=seed, value=b"two".hex(), seq=99)
    row("a lower seq: the caller learns of every 302", r.get("stale", 0) >= 15 and r["stale"] + r["stored"] >= 18, r)
    r = ours("put", client=c, seed=seed, value=b"two".hex(), seq=101, cas=55)
    row("cas: the caller learns of every 301; who holds nothing stores", r.get("cas", 0) >= 15 and r["stored"] <= 5, r)
    c = client()
    r = ours("put", client=c, seed=seed, value=b"two".hex(), seq=101, cas=100)
    row("cas that matches is stored, where it matches", r.get("stored", 0) >= 15 and r["stored"] + r["refused"] >= 20, r)
    r = ours("put", client=c, seed="b2" * 32, value=b"bad".hex(), seq=1, bad=True)
    row("silence counts as refusal", r.get("stored", 1) == 0 and r["refused"] >= 20 and r["last_error"] == 206, r)


def dead_neighbour():
    """A client that knew everybody and is gone, its id one bit from the target."""
    seed = "c1" * 32
    target = sha1(bytes.fromhex(ours("sign", seed=seed, value="")["k"]))
    near = bytearray(target)
    near[19] ^= 1
    n = js("open", host="127.9.0.1", node_id=bytes(near).hex())["node"]
    js("join", peers=[LT[0], JS[0], OURS[0]])
    c = client(RTT_MS)
    raw = Raw("127.210.3.1")

    def named():
        js("populate")
        time.sleep(2)
        answers = [raw.ask(a, "find_node", {"target": target}) for a in LT[:12:3] + JS[:12:3] + OURS[:12:3]]
        return sum(m is not None and bytes(near) in m[b"r"].get(b"nodes", b"") for m in answers)

    known = until(named, lambda n: n >= 2, 8)
    js("kill", node=n)
    row("a dead client is parked next to the target", known >= 2, f"named by {known} of 12 asked")
    first = len(capture.packets)
    r = ours("put", client=c, seed=seed, value=b"in time".hex(), seq=1)
    tried = sum(p[3] == socket.inet_aton("127.9.0.1") and p[1] == socket.inet_aton(f"127.200.{client.n}.1")
                for p in capture.packets[first:])
    rtts = r.get("took_ms", 1e9) / RTT_MS
    row("it delays a put by no more than 8 RTT in all", r.get("stored", 0) >= 20 and rtts <= 8 and tried > 0,
        f"{rtts:.1f} RTT of {RTT_MS} ms, the dead one was asked {tried} times, {r}")


def half_dies():
    for kind, kill in ((LT, lambda i: torrents.s.__setitem__(i, None)), (JS, lambda i: js("kill", node=i)),
                       (OURS, lambda i: ours("kill", node=i))):
        for i in sorted(random.sample(range(len(kind)), len(kind) // 2)):
            dead.add(kind[i])
            kill(i)
    c = client_of_living()
    a, b = alive(LT), alive(JS)
    for name in ("ours", "blind", "lt", "js"):
        key, v = values[name]
        r = ours("get", client=c, key=key.hex())
        ok = r.get("v") == (b"%d:" % len(v) + v).hex()
        row(f"half the bed is dead: we get `{name}`", ok, f"{r.get('took_ms', 0):.0f} ms, {r.get('err')}")
    row("half the bed is dead: libtorrent gets ours", torrents.get(a[-1], values["ours"][0]) is not None)
    got = js("get", node=b[-1], target=sha1(values["blind"][0]).hex())
    row("half the bed is dead: bittorrent-dht gets our blinded item", got.get("v") == values["blind"][1].hex())
    r = ours("get", client=c, target=values["immutable"][0].hex())
    row("half the bed is dead: we get the immutable item", r.get("v") == b"13:never changes".hex(), r.get("err"))
    r = ours("put", client=c, seed="d1" * 32, value=b"after".hex(), seq=1)
    row("half the bed is dead: a put is stored by the others", r.get("stored", 0) >= 15, r)


def client_of_living():
    client.n += 1
    return ours("client", bind=f"127.200.{client.n}.1", peer=f"{OURS[alive(OURS)[0]]}:{PORT}")["client"]


def manners():
    """Nobody heard more from one address of ours than a default libtorrent node stands, and none is deaf to us."""
    mine = {socket.inet_aton(f"127.200.{i}.1") for i in range(1, client.n + 1)} | {socket.inet_aton(a) for a in OURS}
    to_node, to_host = {}, {}
    for at, src, _, dst, dport, _ in list(capture.packets):
        if src in mine:
            to_node.setdefault((src, dst, dport), []).append(at)
            to_host.setdefault((src, dst), []).append(at)
    second = max(densest(t, 1) for t in to_node.values())
    ten = max(densest(t, 10) for t in to_host.values())
    row("at most 4 packets in a second to one node", second <= 4, second)
    row("fewer than 50 in 10 s to one address", ten < 50, ten)
    queries = [p for p in capture.packets if p[1] in mine and p[5][:1] == b"d"]
    bad = [p for p in queries if ben(unben(p[5])[0]) != p[5]]
    row("all we said is canonical bencoding", queries and not bad, f"{len(queries)} packets")
    ro = [p for p in queries if p[1][1] == 200 and unben(p[5])[0].get(b"y") == b"q"]
    row("clients say that they are read-only, and answer nobody", ro and all(unben(p[5])[0].get(b"ro") == 1 for p in ro) and
        not [p for p in queries if p[1][1] == 200 and unben(p[5])[0].get(b"y") != b"q"], len(ro))
    c = f"127.200.{client.n}.1"
    deaf = []
    for i in alive(LT):
        r = ours("get", client=client_of_living(), target=hashlib.sha1(b"%d" % i).hexdigest())
        raw = Raw(f"127.210.4.{i + 1}")
        if code(raw.ask(LT[i], "ping", {})) != 0:
            deaf.append(LT[i])
    said = {p[1] for p in capture.packets if p[3] == socket.inet_aton(c)}
    row("no libtorrent node is deaf to us at the end", not deaf, deaf or f"{len(said)} nodes answered the last client")
    # The other way round, to show what is at stake: sixty packets at once, and it is deaf.
    raw, victim = Raw("127.210.5.1"), LT[alive(LT)[0]]
    answers = 0
    for _ in range(60):
        raw.send(victim, "ping", {})
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if select.select([raw.s], [], [], 0.1)[0]:
            raw.s.recv(4096)
            answers += 1
    row("a libtorrent node is deaf to who sends sixty at once", answers < 60 and code(raw.ask(victim, "ping", {})) is None,
        f"{answers} answered")


def main():
    began = time.monotonic()
    try:
        for story in (start, slowly, ours_to_theirs, theirs_to_ours, announced, sizes_and_codes, conflicts, dead_neighbour,
                      tokens, hits, values_of_all_kinds, queries, budget, ipv6, half_dies, manners):
            at = time.monotonic()
            try:
                story()
            except Exception as e:  # a story that broke is a failed row, and the others go on
                import traceback
                traceback.print_exc(file=sys.stdout)
                row(story.__name__.replace("_", " "), False, repr(e))
            print(f"        {story.__name__}: {time.monotonic() - at:.1f} s", flush=True)
    finally:
        capture.is_on = False
        for p in (ours, js):
            if p is not None:
                p.close()
    print(f"        {time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(failed != 0)  # libtorrent's sessions would take seconds to say goodbye to trackers there are none of


if __name__ == "__main__":
    main()
