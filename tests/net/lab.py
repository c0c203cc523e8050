"""A small Internet of network namespaces: public hosts, homes behind Linux routers, and the programs on them.

    203.0.113.0/24 ─┬─ core ─┬─ 198.51.100.0/24        every private address ends at core
        relay, boot ┘        └ third, carol            11.22.33.0/24: routers that map ports
    alice ── home-a (203.0.113.10)      home-b (198.51.100.20) ── bob      both homes are 192.168.1.0/24

Names begin with a prefix of this run, the root namespace is not touched, and close() removes all of it. Processes
are ended by their number, and only those that were started here.
"""
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

# The third is for miniupnpd, which maps nothing to a documentation address.
NETS = {"203.0.113": "br0", "198.51.100": "br1", "11.22.33": "br2"}
PORT = 41641


def sh(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30, **options)


class Lab:
    def __init__(self, prefix):
        self.prefix, self.spaces, self.started, self.n_links = prefix, [], [], 0
        self.folder = tempfile.mkdtemp(prefix=prefix)
        self.space("core")
        self.run_in("core", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for net, bridge in NETS.items():
            self.run_in("core", "ip", "link", "add", bridge, "type", "bridge")
            self.run_in("core", "ip", "addr", "add", f"{net}.1/24", "dev", bridge)
            self.run_in("core", "ip", "link", "set", bridge, "up")
        for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"):
            self.run_in("core", "ip", "route", "add", "blackhole", private)

    def name(self, host):
        return self.prefix + host

    def space(self, host):
        sh("ip", "netns", "add", self.name(host))
        self.spaces.append(host)
        self.run_in(host, "ip", "link", "set", "lo", "up")
        self.run_in(host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")

    def run_in(self, host, *words, **options):
        return sh("ip", "netns", "exec", self.name(host), *words, **options)

    def wire(self, host, device, address, other, other_device):
        """A cable from host's device, which gets the address, to other's device."""
        sh("ip", "link", "add", device, "netns", self.name(host), "type", "veth",
           "peer", "name", other_device, "netns", self.name(other))
        self.run_in(other, "ip", "link", "set", other_device, "up")
        self.run_in(host, "ip", "addr", "add", address + "/24", "dev", device)
        self.run_in(host, "ip", "link", "set", device, "up")

    def public(self, host, address):
        """A host (or the outside of a router) on one of the public networks."""
        net = address.rsplit(".", 1)[0]
        self.n_links += 1
        self.space(host)
        self.wire(host, "eth0", address, "core", f"p{self.n_links}")
        self.run_in("core", "ip", "link", "set", f"p{self.n_links}", "master", NETS[net])
        self.run_in(host, "ip", "route", "add", "default", "via", net + ".1")

    def home(self, router, address, kind):
        """A home router: `restricted` keeps port numbers, `symmetric` draws one for each destination; `blocked` lets
        no UDP out, `tls` no UDP and of TCP only what looks like TLS. What nobody inside asked for is dropped before
        it can occupy a mapping."""
        self.public(router, address)
        how = "masquerade random,fully-random" if kind == "symmetric" else "masquerade"
        self.run_in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_acct=1")
        self.run_in(router, "ip", "link", "add", "lan", "type", "bridge")
        self.run_in(router, "ip", "addr", "add", "192.168.1.1/24", "dev", "lan")
        self.run_in(router, "ip", "link", "set", "lan", "up")
        self.run_in(router, "nft", "-f", "-", input=f"""
            table ip home {{
                chain out {{ type nat hook postrouting priority srcnat; oifname "eth0" {how}; }}
                chain through {{
                    type filter hook forward priority filter;
                    {self.refused(kind)}
                    iifname "eth0" ct state established,related accept; ct status dnat accept; iifname "eth0" drop;
                }}
                chain to_us {{
                    type filter hook input priority filter;
                    iifname "eth0" ct state established,related accept; iifname "eth0" drop;
                }}
            }}""")

    def maps_ports(self, router, *settings):
        """The home's router gives ports to who asks by UPnP IGD, or by what the settings (lines of miniupnpd.conf)
        say."""
        self.run_in(router, "nft", "-f", "-", input="""
            table inet mapped {
                chain miniupnpd { }
                chain postrouting_miniupnpd { }
                chain prerouting_miniupnpd { }
                chain prerouting { type nat hook prerouting priority dstnat; iifname "eth0" jump prerouting_miniupnpd; }
            }""")
        path = os.path.join(self.folder, router + ".conf")
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(("ext_ifname=eth0", "listening_ip=lan", "http_port=5000", "ipv6_disable=yes",
                               "secure_mode=yes", "min_lifetime=10", "upnp_table_name=mapped",
                               "upnp_nat_table_name=mapped", "uuid=00000000-0000-4000-8000-000000000001",
                               "allow 1024-65535 192.168.1.0/24 1024-65535", *settings, "")))
        child = self.start(router, "miniupnpd", "-d", "-f", path, "-P", path + ".pid", log=router + ".log")
        until = time.monotonic() + 10
        while time.monotonic() < until:  # it listens for SSDP
            if ":1900 " in self.run_in(router, "ss", "-Hlun").stdout:
                return child
            time.sleep(0.05)
        raise AssertionError("miniupnpd does not start: " + self.folder)

    def mapped(self, router):
        """What the router maps, as its kernel has it: lines of nft."""
        return [line.strip() for line in self.run_in(router, "nft", "list", "chain", "inet", "mapped",
                                                     "prerouting_miniupnpd").stdout.splitlines() if "dnat" in line]

    @staticmethod
    def refused(kind):
        if kind not in ("blocked", "tls"):
            return ""
        # The first data of a connection begins a record (RFC 8446 §5.1: 20 to 23); it lies behind the header of TCP,
        # which is 5 or, with time stamps, 8 words.
        looks = "".join(f'iifname "lan" ct original packets < 5 tcp flags & psh == psh tcp doff {n} @th,{n * 32},8 {what} ct mark set 1; '
                        for n in (5, 8) for what in ("< 20", "> 23"))
        return 'iifname "lan" meta l4proto udp drop; ' + (looks + "ct mark 1 drop;" if kind == "tls" else "")

    def inside(self, host, address, router):
        self.n_links += 1
        self.space(host)
        self.wire(host, "eth0", address, router, f"p{self.n_links}")
        self.run_in(router, "ip", "link", "set", f"p{self.n_links}", "master", "lan")
        self.run_in(host, "ip", "route", "add", "default", "via", "192.168.1.1")

    def cable(self, one, other, addresses):
        """Two hosts and a cable between them, not plugged in yet; no router, no route, no name server. addresses:
        one IPv4 each, or None for what IPv6 makes of the link by itself."""
        self.space(one)
        self.space(other)
        sh("ip", "link", "add", "eth0", "netns", self.name(one), "type", "veth",
           "peer", "name", "eth0", "netns", self.name(other))
        for host, address in zip((one, other), addresses or (None, None)):
            if address:
                self.run_in(host, "ip", "addr", "add", address, "dev", "eth0")
            else:
                self.run_in(host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0",
                            "net.ipv6.conf.eth0.disable_ipv6=0", "net.ipv6.conf.eth0.accept_dad=0")

    def plug(self, *hosts):
        for host in hosts:
            self.run_in(host, "ip", "link", "set", "eth0", "up")

    def start(self, host, *words, log):
        """A process on a host, its output in the file `log` of the lab's folder."""
        out = open(os.path.join(self.folder, log), "ab")
        child = subprocess.Popen(["ip", "netns", "exec", self.name(host), *words], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=out, start_new_session=True)
        out.close()
        self.started.append(child)
        return child

    def end(self, child, how=signal.SIGTERM):
        if child.poll() is None:
            child.send_signal(how)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child in self.started:
            self.started.remove(child)
        return child.returncode

    def close(self):
        for child in self.started:
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + 3
        for child in list(self.started):
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for host in reversed(self.spaces):
            subprocess.run(["ip", "netns", "del", self.name(host)], check=False, capture_output=True)
        self.started, self.spaces = [], []


class Phone:
    """One identity on a host: its folder, its core, and commands to it."""

    def __init__(self, lab, program, host, name=None, **settings):
        self.lab, self.program, self.host, self.core = lab, program, host, None
        self.folder = os.path.join(lab.folder, host)
        os.mkdir(self.folder, 0o700)
        self.ito("init", "--name", name or host.capitalize(), "--no-passphrase")
        self.id = self.ito("id").stdout.strip()
        for key, value in settings.items():
            self.ito("config", "set", key.replace("__", "."), value if isinstance(value, str) else json.dumps(value))

    def words(self, *args):
        return [self.program, "--dir", self.folder, *args]

    def ito(self, *args, code=0, seconds=30):
        """A command, to its end; any exit code when code is None."""
        done = subprocess.run(["ip", "netns", "exec", self.lab.name(self.host), *self.words(*args)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{self.host}: ito {' '.join(args)}: exit {done.returncode}: "
                                 f"{done.stdout[-300:]}{done.stderr[-300:]}")
        return done

    def json(self, *args):
        return json.loads(self.ito("--json", *args).stdout)

    def up(self, verb="daemon"):
        self.core = self.lab.start(self.host, *self.words(verb, *(["--foreground"] if verb == "daemon" else [])),
                                   log=self.host + ".log")
        until = time.monotonic() + 10  # a command before it listens would be a second core
        while not self.listens() and time.monotonic() < until:
            time.sleep(0.02)

    def listens(self):
        """Is somebody there? A socket that a killed core left behind answers nobody."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            return s.connect_ex(os.path.join(self.folder, "ctl.sock")) == 0

    def down(self, how=signal.SIGTERM):
        code = self.lab.end(self.core, how)
        self.core = None
        return code

    def wait(self, what, *args, seconds=20):
        """Poll the answer of a command until what(answer) is true; the answer, or None when time is up."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done = self.ito("--json", *args, code=None)
            answer = json.loads(done.stdout) if done.returncode == 0 and done.stdout else None
            if answer is not None and what(answer):
                return answer
            time.sleep(0.2)
        return None

    def joined(self, peers=1, seconds=20):
        return self.wait(lambda s: s["network"]["state"] == "joined" and s["network"]["peers"] >= peers, "status",
                         seconds=seconds)
