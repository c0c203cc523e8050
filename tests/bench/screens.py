#!/usr/bin/env python3
"""screens.py - what the screens cost: start, keys, memory, idle time of the processor, and a call with its meters.

  tests/bench/screens.py [--quick]      ITO=build/ito chooses the program

The program runs on a terminal of 80x24 made here, alone: no peers, no discovery, no sound card (sound files). Time of
the processor is read from /proc, so other programs disturb only what is measured by the clock."""
import fcntl, json, os, pty, re, select, shutil, signal, statistics, struct, subprocess, sys, tempfile, termios, time, wave

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ITO = os.path.abspath(os.environ.get("ITO", os.path.join(ROOT, "build", "ito")))
SPEECH = os.path.join(ROOT, "tests", "sounds", "speech.wav")
LIMIT = 20


def say(name, value, unit, most=None):
    print(f"{name} {value:.4g} {unit}", flush=True)
    if most is not None and value > most:
        print(f"# {name} misses its target of {most:g} {unit}", flush=True)


class Phone:
    """The screens in a terminal; what they write is read at once."""

    def __init__(self, folder):
        self.began = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            env = {k: v for k, v in os.environ.items() if not k.startswith(("ITO", "XDG_"))}
            env.update(TERM="xterm-256color", LC_ALL="C.UTF-8", HOME=folder)
            os.execve(ITO, [ITO, "--dir", os.path.join(folder, "d")], env)
        self.seen = b""

    def read(self, until):
        """What came up to that moment; False when there was nothing."""
        ready, _, _ = select.select([self.fd], [], [], max(0, until - time.monotonic()))
        if not ready:
            return False
        self.seen += os.read(self.fd, 65536)
        return True

    def until(self, pattern):
        """Seconds since the start (or the last key) until the terminal got it."""
        end = time.monotonic() + LIMIT
        while not re.search(pattern, self.seen, re.S):
            if not self.read(end):
                raise SystemExit(f"screens.py: {pattern!r} was not shown: {self.seen[-2000:]!r}")
        return time.monotonic() - self.began

    def key(self, text):
        self.seen = b""
        self.began = time.monotonic()
        os.write(self.fd, text.encode())

    def drain(self, seconds):
        end, n = time.monotonic() + seconds, 0
        self.seen = b""
        while self.read(end):
            n += len(self.seen)
            self.seen = b""
        return n

    def cpu(self):
        """Seconds on a processor, of all threads, to the nanosecond."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass  # that thread has just ended
        return total / 1e9

    def share(self, seconds):
        """Percent of one core, and bytes a second to the terminal."""
        before, began = self.cpu(), time.monotonic()
        n = self.drain(seconds)
        took = time.monotonic() - began
        return 100 * (self.cpu() - before) / took, n / took

    def memory(self, key="VmRSS"):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(key + r":\s+(\d+) kB", f.read()).group(1)) / 1024

    def end(self):
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                self.read(time.monotonic() + 0.05)
            except OSError:
                break
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def home():
    folder = tempfile.mkdtemp(prefix="ito-bench-")
    long = os.path.join(folder, "speech.wav")
    with wave.open(SPEECH) as w, wave.open(long, "wb") as out:
        frames = w.readframes(w.getnframes())
        out.setparams(w.getparams())
        for _ in range(20):
            out.writeframes(frames)
    os.mkdir(os.path.join(folder, "d"), 0o700)
    with open(os.path.join(folder, "d", "config.json"), "w") as f:
        json.dump({"identity": {"name": "Taro"}, "audio": {"input": "wav:" + long, "output": f"wav:{folder}/heard.wav"},
                   "net": {"lan_discovery": False, "port_mapping": False, "mainline": "off"}}, f)
    subprocess.run([ITO, "--dir", os.path.join(folder, "d"), "init", "--no-passphrase"], check=True, capture_output=True)
    return folder


def main():
    quick = "--quick" in sys.argv
    folder = home()
    try:
        starts = []
        for _ in range(5 if quick else 15):
            p = Phone(folder)
            starts.append(p.until(rb"Echo \(this.*q quit") * 1000)
            p.end()
        say("screens_start", statistics.median(starts), "ms", 300)
        say("screens_start_worst", max(starts), "ms")
        p = Phone(folder)
        p.until(rb"Echo \(this.*q quit")
        keys = []
        for i in range(20):
            p.drain(0.05)
            p.key("2" if i % 2 == 0 else "1")
            keys.append(p.until(rb"cannot ring you" if i % 2 == 0 else rb"n add") * 1000)
        say("key_to_screen", statistics.median(keys), "ms", 50)
        p.drain(2)
        share, _ = p.share(5 if quick else 20)
        say("idle_cpu", share, "pct_of_core", 0.5)
        say("idle_rss", p.memory(), "MB", 16)
        say("idle_anonymous", p.memory("RssAnon"), "MB")
        p.key("c")
        p.until(rb"call code")
        p.drain(4)
        shown, rate = p.share(5 if quick else 15)
        rss = p.memory()
        p.key("1")
        p.drain(1)
        hidden, _ = p.share(5 if quick else 15)
        say("echo_call_cpu", shown, "pct_of_core")
        say("echo_call_cpu_without_meters", hidden, "pct_of_core")
        say("meters_cpu", max(0.0, shown - hidden), "pct_of_core")
        say("meters_output", rate, "bytes/s")
        say("echo_call_rss", rss, "MB", 24)
        p.key("x")
        p.until(rb"You hung up")
        p.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
