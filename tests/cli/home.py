"""home.py - what the tests of the command line share: a folder with programs in it, waiting without sleeping, the
exact comparison of words, and IDs written anew, so that the program is not compared with itself."""
import array, errno, fcntl, hashlib, json, math, os, re, select, shutil, signal, socket, stat, struct, subprocess, sys, tempfile, threading, traceback, wave

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 30
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started us with & ignores it, and so would all below
ID = "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5"  # seed 00 01 .. 1f
TESTS = []  # (name in words, function of a Home)


def program():
    if os.environ.get("ITO"):
        return os.path.abspath(os.environ["ITO"])
    asan = os.path.join(ROOT, "build", "ito-asan")
    return asan if os.path.exists(asan) else os.path.join(ROOT, "build", "ito")


ITO = program()


def test(fn):
    TESTS.append((fn.__name__.replace("_", " "), fn))
    return fn


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out!r}\nstderr: {self.err!r}"


class Lines:
    """Lines of a pipe, each waited for LIMIT seconds at most."""

    def __init__(self, pipe):
        self.pipe, self.rest = pipe, b""

    def line(self):
        """None at the end."""
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.pipe], [], [], LIMIT)
            assert ready, f"no line came after {self.rest!r}"
            got = os.read(self.pipe.fileno(), 65536)
            if not got:
                return None
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def close(self):
        self.pipe.close()


class Home:
    """One folder for --dir, the programs started in it, and what to do with them at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="ito-cli-")
        self.dir = os.path.join(self.path, "d")
        self.started = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("ITO_", "XDG_", "NOTIFY", "WATCHDOG"))}
        self.env.update(HOME=self.path, LC_ALL="C.UTF-8", TZ="UTC")

    def file(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        with open(self.file(name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        with open(self.file(name), encoding="utf-8") as f:
            return f.read()

    def ito(self, *args, code=0, input="", env=None):
        """Run to the end; the exit code must be as said (None: any)."""
        p = subprocess.run([ITO, "--dir", self.dir, *args], input=input, capture_output=True, text=True,
                           timeout=LIMIT, env={**self.env, **(env or {})})
        r = Result(p.returncode, p.stdout, p.stderr)
        assert code is None or r.code == code, f"ito {' '.join(args)}: expected exit {code}, got {r}"
        return r

    def start(self, *args, env=None):
        p = subprocess.Popen([ITO, "--dir", self.dir, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, bufsize=0, env={**self.env, **(env or {})})
        p.stdout, p.stderr = Lines(p.stdout), Lines(p.stderr)
        self.started.append(p)
        return p

    def init(self, *args):
        return self.ito("init", "--no-passphrase", *args).out.strip()

    def daemon(self, *args, env=None):
        """A core in the background: returns when it listens. Its process number."""
        self.ito("daemon", *args, env=env)
        pid = int(self.read("lock"))
        self.started.append(pid)
        return pid

    def core(self, verb="daemon", *args, env=None):
        """A core in the foreground, when it listens."""
        p = self.start(verb, *args, env=env)
        wait_for(lambda: os.path.exists(self.file("ctl.sock")) or p.poll() is not None)
        return p

    def end(self):
        for p in self.started:
            try:
                if isinstance(p, int):
                    os.kill(p, signal.SIGKILL)
                elif p.poll() is None:
                    p.kill()
                    p.wait()
            except ProcessLookupError:
                pass
            if not isinstance(p, int):
                p.stdout.close()
                p.stderr.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def prints(self):
        """Name and contents of every file a person would miss."""
        out = {}
        for name in sorted(os.listdir(self.dir)):
            path = self.file(name)
            if os.path.isfile(path) and name not in ("lock", "ledger.db", "ito.log") and "-" not in name:
                with open(path, "rb") as f:
                    out[name] = hashlib.sha256(f.read()).hexdigest()
        return out


def wait_for(condition):
    """A condition of the file system, looked at every 10 ms by poll(2)."""
    for _ in range(LIMIT * 100):
        if condition():
            return
        select.select([], [], [], 0.01)
    raise AssertionError("waited in vain")


def lines_until(stream, pattern):
    """Lines up to the first that matches."""
    out = []
    while not out or not re.search(pattern, out[-1]):
        line = stream.line()
        assert line is not None, f"ended before {pattern!r}: {out}"
        out.append(line)
    return out


def same(found, expected):
    assert found == expected, f"\nexpected {expected!r}\nfound    {found!r}"


def has(text, part):
    assert part in text, f"\nexpected {part!r}\nin       {text!r}"


def matches(text, pattern):
    assert re.search(pattern, text, re.M), f"\nexpected {pattern!r}\nin       {text!r}"


# ---- Bech32m, written anew here, so that the program is not compared with itself ----

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    chk = 1
    for v in values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if (top >> i) & 1 else 0
    return chk


def bech32m(hrp, symbols):
    head = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    chk = polymod(head + symbols + [0] * 6) ^ 0x2BC830A3
    return hrp + "1" + "".join(CHARSET[s] for s in symbols + [(chk >> 5 * (5 - i)) & 31 for i in range(6)])


def id_of(key, version=0):
    bits = "".join(f"{b:08b}" for b in key) + "0000"
    return bech32m("ito", [version] + [int(bits[i:i + 5], 2) for i in range(0, 260, 5)])


def id_key(text):
    symbols = [CHARSET.index(c) for c in text[4:-6]][1:]
    bits = "".join(f"{s:05b}" for s in symbols)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, 256, 8))


def other_id():
    """An identity of its own, made by the program in a folder that is gone afterwards."""
    h = Home()
    try:
        return h.init()
    finally:
        h.end()


