#!/usr/bin/python3
"""Nodes of libtorrent or OpenDHT for overlay.py, all in one process, each on an address of its own, with the library's
own settings but for what reaches beyond the bed. Requests and answers as in overlay_nodes.c.

usage: overlay_peers.py libtorrent|opendht BYTES      values of BYTES bytes
"""
import ctypes
import hashlib
import re
import sys
import threading
import time
import warnings

KIND, BYTES = sys.argv[1], int(sys.argv[2])
PORT = 6881
LIMIT = 30.0


def ms(since, until):
    return -1.0 if until is None else (until - since) * 1e3


def value_of(v):
    return bytes([ord("a") + v % 26]) * BYTES


class Libtorrent:
    def __init__(self):
        import libtorrent
        self.lt, self.sodium, self.nodes = libtorrent, ctypes.CDLL("libsodium.so.23"), []
        self.known = []  # what each was told of; a session forgets it while its DHT is not up

    def key(self, v):
        """Public key, and the secret one as libtorrent has it: expanded."""
        seed, public, secret = v.to_bytes(4, "little") + bytes(28), ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        self.sodium.crypto_sign_seed_keypair(public, secret, seed)
        h = bytearray(hashlib.sha512(seed).digest())
        h[0] &= 248
        h[31] = h[31] & 63 | 64
        return public.raw, bytes(h)

    def node(self, addr, peer):
        host, port = addr.split(":")
        mask = self.lt.alert.category_t.dht_notification | self.lt.alert.category_t.dht_operation_notification
        self.nodes.append(self.lt.session({
            "listen_interfaces": f"{host}:{port}", "enable_dht": True, "dht_bootstrap_nodes": "" if peer == "-" else peer,
            "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "alert_mask": mask}))
        self.known.append(None if peer == "-" else (peer.split(":")[0], int(peer.split(":")[1])))
        self.remind()

    def remind(self):
        for s, known in list(zip(self.nodes, self.known))[-30:]:
            if known:
                s.add_dht_node(known)

    def contacts(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return min(s.status().dht_nodes for s in self.nodes)

    def alerts(self, session, until):
        while time.monotonic() < until:
            session.wait_for_alert(50)
            yield from session.pop_alerts()

    def put(self, i, v):
        public, secret = self.key(v)
        s, began = self.nodes[i], time.monotonic()
        s.dht_put_mutable_item(secret, public, value_of(v), b"")
        for a in self.alerts(s, began + LIMIT):
            if isinstance(a, self.lt.dht_put_alert):
                return ms(began, time.monotonic()), a.num_success
        return -1, 0

    def ask(self, s, v, began):
        """First value and the end of one look-up."""
        first = None
        public = self.key(v)[0]
        s.dht_get_mutable_item(public, b"")
        for a in self.alerts(s, began + LIMIT):
            if not isinstance(a, self.lt.dht_mutable_item_alert) or bytes(a.key) != public:
                continue
            try:
                item = a.item.get("value") if isinstance(a.item, dict) else a.item
            except RuntimeError:  # nothing was found
                item = None
            if first is None and item == value_of(v):
                first = time.monotonic()
            if a.authoritative:
                return first, time.monotonic()
        return first, None

    def get(self, i, v):
        began = time.monotonic()
        first, done = self.ask(self.nodes[i], v, began)
        return ms(began, first), ms(began, done)

    def cold(self, addr, peer, v):
        """Again while it finds nothing: a session takes look-ups before it can answer them."""
        began = time.monotonic()
        self.node(addr, peer)
        first = None
        while first is None and time.monotonic() < began + LIMIT:
            self.remind()
            first, done = self.ask(self.nodes[-1], v, began)
            if first is None:
                time.sleep(0.005)
        return ms(began, first), ms(began, done)


class OpenDht:
    """Values are not signed there; the shortest way to put and get of its interface."""

    def __init__(self):
        import opendht
        self.dht, self.nodes = opendht, []

    def node(self, addr, peer):
        host, port = addr.split(":")
        n = self.dht.DhtRunner()
        n.run(port=int(port), ipv4=host)
        if peer != "-":
            n.bootstrap(*peer.split(":"))
        self.nodes.append(n)

    def contacts(self):
        """In the printed table a contact is a line with its id."""
        return min(len(set(re.findall(r"\b[0-9a-f]{40}\b(?= 10\.)", n.getRoutingTablesLog(2)))) for n in self.nodes)

    def put(self, i, v):
        end, out = threading.Event(), []
        began = time.monotonic()

        def done(ok, nodes):
            out.extend((time.monotonic(), len(nodes) if ok else 0))
            end.set()
        self.nodes[i].put(self.dht.InfoHash.get(f"value {v}"), self.dht.Value(value_of(v)), done)
        return (ms(began, out[0]), out[1]) if end.wait(LIMIT) else (-1, 0)

    def ask(self, n, v, began):
        end, first, last = threading.Event(), [], []

        def got(value):
            if not first and value.data == value_of(v):
                first.append(time.monotonic())
            return True

        def done(_ok, _nodes):
            last.append(time.monotonic())
            end.set()
        n.get(self.dht.InfoHash.get(f"value {v}"), got, done)
        end.wait(max(0, began + LIMIT - time.monotonic()))
        return first[0] if first else None, last[0] if last else None

    def get(self, i, v):
        began = time.monotonic()
        first, done = self.ask(self.nodes[i], v, began)
        return ms(began, first), ms(began, done)

    def cold(self, addr, peer, v):
        began = time.monotonic()
        self.node(addr, peer)
        first = done = None
        while first is None and time.monotonic() < began + LIMIT:
            first, done = self.ask(self.nodes[-1], v, began)
            if first is None:
                time.sleep(0.005)
        return ms(began, first), ms(began, done)


def main():
    bed = Libtorrent() if KIND == "libtorrent" else OpenDht()
    print("ready", flush=True)
    for line in sys.stdin:
        op, *args = line.split()
        if op == "node":
            bed.node(*args)
            answer = "ok"
        elif op == "contacts":
            answer = bed.contacts()
        elif op == "cold":
            answer = "%.2f %.2f" % bed.cold(args[0], args[1], int(args[2]))
        else:
            answer = "%.2f %.2f" % getattr(bed, op)(int(args[0]), int(args[1]))
        print(answer, flush=True)
    import os
    os._exit(0)  # sessions would say farewell one after the other


main()
