#!/usr/bin/env python3
"""live.py - the screens of real phones in terminals: first run, Echo, two people, a stranger, every screen and key.

  tests/screens/live.py [--times]      ITO=build/ito chooses the program; build/ito-asan when it is there

Runs in a network namespace of its own that has nothing but a loopback and one public address of the documentation
prefix, so phones, relay and overlay are real processes on real sockets and nothing else is reached. Every wait is
for something on a screen, LIMIT seconds at most. Without tmux, ip or the right to a namespace it says so and is
counted as skipped, by name. Ends with `N passed, N failed`. --times also prints how long it took from a key to what
it shows."""
import hashlib, json, os, re, select, shutil, signal, subprocess, sys, tempfile, time, wave

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 30
ADDRESS = "203.0.113.7"
SPEECH = os.path.join(ROOT, "tests", "sounds", "speech.wav")
STRANGE = "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5"
RELAY_PORT = 41641
results = {"passed": 0, "failed": 0}


def program():
    if os.environ.get("ITO"):
        return os.path.abspath(os.environ["ITO"])
    asan = os.path.join(ROOT, "build", "ito-asan")
    return asan if os.path.exists(asan) else os.path.join(ROOT, "build", "ito")


ITO = program()


class Failed(Exception):
    pass


def ok(name):
    results["passed"] += 1
    print(f"  ok    {name}", flush=True)


def check(is_true, name, told=""):
    if not is_true:
        raise Failed(f"{name}\n{told}")
    ok(name)


def pause():
    """Until the next look at a screen."""
    select.select([], [], [], 0.03)


class Terminals:
    """One tmux server, gone at the end with all that runs in it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ito-live-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("ITO", "XDG_", "TMUX", "NOTIFY", "WATCHDOG", "NO_COLOR"))}
        self.env.update(HOME=self.folder, TMUX_TMPDIR=self.folder, LC_ALL="C.UTF-8", TZ="UTC", TERM="xterm-256color")
        self.started, self.n = [], 0

    def tmux(self, *words, **more):
        return subprocess.run(["tmux", "-L", "live", "-f", "/dev/null", *words], env=self.env, capture_output=True, text=True,
                              timeout=LIMIT, **more)

    def close(self):
        self.tmux("kill-server")
        for child in self.started:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Home:
    """A person's folder, and the programs that use it."""

    def __init__(self, t, name, settings, has_identity=True):
        self.t, self.name, self.dir = t, name, os.path.join(t.folder, name)
        os.mkdir(self.dir, 0o700)
        tree = {"identity": {"name": name.capitalize()}, **settings}
        with open(os.path.join(self.dir, "config.json"), "w", encoding="utf-8") as f:
            json.dump(tree, f)
        self.id = self.ito("init", "--no-passphrase").stdout.strip() if has_identity else None

    def ito(self, *args, code=0):
        p = subprocess.run([ITO, "--dir", self.dir, *args], env=self.t.env, capture_output=True, text=True, timeout=LIMIT,
                           stdin=subprocess.DEVNULL)
        check_code = code is None or p.returncode == code
        if not check_code:
            raise Failed(f"ito {' '.join(args)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def start(self, *args):
        child = subprocess.Popen([ITO, "--dir", self.dir, *args], env=self.t.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.t.started.append(child)
        return child

    def sums(self):
        """What a person would miss, each with its contents."""
        out = {}
        for name in ("config.json", "contacts.json", "requests.json", "identity.key", "history.jsonl"):
            path = os.path.join(self.dir, name)
            if os.path.exists(path):
                with open(path, "rb") as f:
                    out[name] = hashlib.sha256(f.read()).hexdigest()
        return out


class Screen:
    """A phone's screens in a terminal of their own."""

    def __init__(self, home, *args, size=(80, 24), env=""):
        self.t, self.home = home.t, home
        self.t.n += 1
        self.name = f"{home.name}{self.t.n}"
        self.errors = os.path.join(self.t.folder, self.name + ".stderr")
        self.exit = os.path.join(self.t.folder, self.name + ".exit")
        words = " ".join([ITO, "--dir", home.dir, *args])
        self.t.tmux("new-session", "-d", "-s", self.name, "-x", str(size[0]), "-y", str(size[1]),
                    f"env {env} {words} 2>{self.errors}; echo $? >{self.exit}")
        for option in (("status", "off"), ("remain-on-exit", "on"), ("set-titles", "off")):
            self.t.tmux("set", "-t", self.name, *option)
        self.resize(*size)

    def resize(self, cols, rows):
        self.t.tmux("resize-window", "-t", self.name, "-x", str(cols), "-y", str(rows))

    def shown(self, *more):
        return self.t.tmux("capture-pane", "-t", self.name, "-p", *more).stdout

    def ask(self, what):
        return self.t.tmux("display-message", "-t", self.name, "-p", what).stdout.strip()

    def keys(self, *keys):
        self.t.tmux("send-keys", "-t", self.name, *keys)

    def type(self, text):
        self.t.tmux("send-keys", "-t", self.name, "-l", text)

    def paste(self, text):
        self.t.tmux("set-buffer", "-b", self.name, text)
        self.t.tmux("paste-buffer", "-t", self.name, "-b", self.name, "-p")

    def wait(self, condition, name, limit=LIMIT):
        until, text = time.monotonic() + limit, ""
        while time.monotonic() < until:
            text = self.shown()
            got = condition(text)
            if got:
                ok(name)
                return got
            pause()
        errors = open(self.errors).read() if os.path.exists(self.errors) else ""
        raise Failed(f"{name}: not within {limit} s\n{text}{errors[-3000:]}")

    def expect(self, text, name=None):
        """A text, or a compiled pattern."""
        if isinstance(text, str):
            return self.wait(lambda s: text in s, name or f"{self.home.name} sees {text!r}")
        return self.wait(lambda s: text.search(s), name or f"{self.home.name} sees {text.pattern!r}")

    def gone(self, text, name=None):
        self.wait(lambda s: text not in s, name or f"{self.home.name} no longer sees {text!r}")

    def never(self, text, name):
        check(text not in self.shown(), name, self.shown())

    def cursor_on(self, mark, name):
        def there(screen):
            y = int(self.ask("#{cursor_y}") or 0)
            lines = screen.splitlines()
            return y < len(lines) and lines[y].startswith(mark)
        self.wait(there, name)

    def ended(self, name):
        self.wait(lambda _: self.code() != "", name)

    def code(self):
        """Empty while the program runs. tmux may forget the status of a process that leaves its terminal first."""
        if not os.path.exists(self.exit):
            return ""
        with open(self.exit) as f:
            return f.read().strip()


def net(**more):
    return {"peers": [f"{ADDRESS}:{RELAY_PORT}"], "port_mapping": False, "lan_discovery": False, "mainline": "off", **more}


def long_speech(t):
    """The same sentences again and again: a microphone that never falls silent for long."""
    path = os.path.join(t.folder, "speech.wav")
    if not os.path.exists(path):
        with wave.open(SPEECH) as w, wave.open(path, "wb") as out:
            frames = w.readframes(w.getnframes())
            out.setparams(w.getparams())
            for _ in range(20):
                out.writeframes(frames)
    return path


def voice(t, name):
    return {"input": "wav:" + long_speech(t), "output": f"wav:{t.folder}/{name}-heard.wav", "ring_device": "null"}


def percent(path):
    """How much of a recording is not silent."""
    with wave.open(path) as w:
        raw = w.readframes(w.getnframes())
    loud = sum(1 for i in range(1, len(raw), 200) if raw[i] not in (0, 255))
    return 100 * loud * 200 / max(len(raw), 1)


# ---- stories ----

def first_run_and_echo(t):
    """Enter through the first run, c on Echo, x."""
    home = Home(t, "taro", {"net": {"port_mapping": False, "lan_discovery": False, "mainline": "off"}, "audio": voice(t, "taro")},
                has_identity=False)
    began = time.monotonic()
    s = Screen(home)
    s.expect("Step 1 of 4", "the first run opens")
    first = time.monotonic() - began
    s.keys("Enter")
    s.expect(re.compile(r"24 [a-z]+"), "step 2 shows 24 words")
    check("Recovery phrase (24 words, write them down; shown only now):" in s.shown(), "step 2 says what they are", s.shown())
    s.keys("Enter")
    s.expect("Step 3 of 4", "step 3 is the sound test")
    s.expect("Microphone  ", "the sound test names the microphone")
    s.keys("Enter")
    s.expect("Step 4 of 4", "step 4 joins the network")
    own = s.expect(re.compile(r"ito1q[a-z0-9]{58}"), "and shows the own ID").group(0)
    s.keys("Enter")
    s.expect("Echo (this comput", "four keys later the contacts are there")
    check(home.ito("id").stdout.strip() == own, "the identity on disk is the one that was shown")
    s.cursor_on(" >", "the cursor is on the selected row")
    s.keys("c")
    s.expect(re.compile(r"In call   Echo \(this computer\)"), "c calls Echo")
    s.expect(re.compile(r"call code \d{3} \d{3}"), "with a call code")
    s.expect("Path      direct (same network)", "and its path")
    s.expect(re.compile(r"^ You +\[#+-*\] +-?\d+ dB", re.M), "our meter moves")
    s.expect(re.compile(r"^ Them +\[#+-*\] +-?\d+ dB", re.M), "and theirs, a second later")
    s.expect("Secure    end-to-end encrypted", "it is secure")
    s.expect(re.compile(r"Quality   (good|fair|poor)"), "its quality is known after 3 s")
    s.keys("x")
    s.expect("You hung up.", "x hangs up")
    s.keys("3")
    s.expect(re.compile(r"Echo \(this com\S* +out +answered"), "and it is among the calls")
    s.keys("q")
    s.ended("q quits at once without a call")
    check(s.code() == "0", "with exit 0", s.code())
    began = time.monotonic()
    s = Screen(home)
    s.expect("Echo (this comput", "the second start has no first run")
    print(f"        first screen {first:.2f} s, second start {time.monotonic() - began:.2f} s, terminal and looking included")
    s.keys("q")
    s.ended("and ends")


def two_people(t):
    """A relay that is also the overlay, and two phones that do not know each other."""
    relay = Home(t, "relay", {"net": net(peers=[], port=RELAY_PORT)})
    relay.start("relay")
    alice = Home(t, "alice", {"net": net(), "audio": voice(t, "alice")})
    bob = Home(t, "bob", {"net": net(), "audio": voice(t, "bob")})
    a, b = Screen(alice), Screen(bob)
    a.expect("joined", "alice joins")
    b.expect("joined", "bob joins")

    # a stranger asks: no ring
    a.keys("n")
    a.expect("ID:", "n asks for an ID")
    a.paste(bob.id)
    a.expect("ID: " + bob.id[:20], "a paste is one input")
    a.keys("Enter")
    a.expect("Name for this contact:", "then for a name")
    a.type("Bob")
    a.keys("Enter")
    a.expect("Added; request sent. You can call once they allow you.", "the contact is added and asked")
    a.expect(re.compile(r"Bob +asked"), "and is on the list as asked")
    b.expect("2Requests(1)", "the request is counted at bob's")
    b.never("Incoming call", "and nothing rang")
    check(b.ask("#{window_bell_flag}") == "0", "nor was there a bell")
    b.keys("2")
    b.expect(re.compile(r'"Alice" .*contact'), "bob sees the claimed name in quotes")
    b.expect("These people cannot ring you.", "and that she cannot ring")
    b.keys("a")
    b.expect("Allowed. They may ring you now.", "a allows her")
    b.keys("1")
    b.expect(re.compile(r"Alice +allowed"), "she is on the list")
    a.expect(re.compile(r"online +Bob +allowed"), "alice learns that she is allowed, and that bob is online")

    # the call
    a.keys("g")
    a.wait(lambda s: re.search(r"^ > .*Bob", s, re.M) or a.keys("j"), "bob is selected")
    a.keys("c")
    b.expect(re.compile(r"Incoming call"), "now it rings")
    check(re.search(r"Alice   allowed   ito1q", b.shown()), "the box names her, her list and her ID", b.shown())
    b.expect("a answer    d decline    s decline with a message    z silence the ring", "and the keys")
    a.expect("Ringing   Bob", "alice hears it ring")
    b.wait(lambda _: b.keys("a") or "In call   Alice" in b.shown(), "a answers")
    a.expect("In call   Bob", "both are in the call")
    mine = a.expect(re.compile(r"call code (\d{3} \d{3})")).group(1)
    theirs = b.expect(re.compile(r"call code (\d{3} \d{3})")).group(1)
    check(mine == theirs, "the call codes are the same", f"{mine} {theirs}")
    for s, name in ((a, "alice"), (b, "bob")):
        s.expect(re.compile(r"^ You +\[#+-*\]", re.M), f"{name}'s meter moves")
        s.expect(re.compile(r"^ Them +\[#+-*\]", re.M), f"{name} hears the other")
        s.expect(re.compile(r"Path      (relayed via iton1q\S+, score|direct \()"), f"{name} sees the path")
    a.keys("m")
    a.expect(re.compile(r"^ You +muted .*mic off", re.M), "m mutes")
    a.expect("You are muted but talking.", "and says so while one talks")
    a.keys("m")
    a.expect(re.compile(r"^ You +\[.*mic on", re.M), "m once more unmutes")
    a.keys("o")
    a.expect("On hold by you", "o holds")
    b.expect("On hold by Alice", "and the other sees by whom")
    a.keys("o")
    a.expect("In call   Bob", "o once more goes on")
    b.expect("In call   Alice", "on both sides")
    b.keys("o")
    b.expect("On hold by you", "bob holds")
    a.expect("On hold by Bob", "and alice sees by whom")
    b.keys("o")
    a.expect("In call   Bob", "and goes on")
    a.keys("t")
    a.expect("Tones:", "t opens the tones")
    a.keys("1", "2", "#")
    a.expect("Tones: 12#", "they go out as typed")
    a.keys("Escape")
    a.gone("Tones:", "Esc closes them")
    a.keys("+")
    a.expect("volume 105%", "+ is louder")
    a.keys("-", "-")
    a.expect("volume 95%", "- is softer")
    a.keys("i")
    a.expect(re.compile(r"Call code \d{3} \d{3}"), "i shows all numbers")
    a.keys("Escape")
    a.gone("Call code ", "Esc closes them too")
    a.keys("v")
    a.expect(f"Did they read the same code {mine}? y/N", "v asks about the code")
    a.keys("y")
    a.expect(re.compile(r"In call   Bob   verified"), "y verifies")
    a.keys("Escape")
    a.expect(re.compile(r"call \d\d:\d\d Bob"), "Esc leaves it running, and the title says so")
    a.keys("0")
    a.expect("In call   Bob", "0 comes back")

    # resizes never end it
    a.resize(40, 12)
    a.expect(re.compile(r"^ You  \[[#-]{10}\] mic on", re.M), "40x12 keeps the call in 6 lines")
    check(f"code {mine}  encrypted" in a.shown(), "with its code", a.shown())
    a.resize(32, 8)
    a.wait(lambda s: "ito: window too small (40x12 needed, now 32x8)" in " ".join(s.split()), "32x8 is too small, and says so")
    a.wait(lambda s: re.search(r"in call Bob \d\d:\d\d x hangs up", " ".join(s.split())), "and how to hang up")
    a.keys("m")
    a.resize(80, 24)
    a.expect(re.compile(r"^ You +muted", re.M), "m worked there, and the call goes on")
    a.keys("m")
    a.expect(re.compile(r"^ You +\[", re.M))

    # quitting asks
    a.keys("q")
    a.expect("Hang up and quit? y/N", "q asks during a call")
    a.keys("n")
    a.gone("Hang up and quit?", "n stays")
    b.expect("In call   Alice", "and the call is still there")
    for n in range(1, 10):
        b.keys(str(n))
        b.wait(lambda s: re.search(r"call \d\d:\d\d Alice", s), f"screen {n} opens during the call")
    b.keys("0")
    b.keys("x")
    b.expect("You hung up.", "x hangs up")
    a.expect("Bob hung up.", "and alice sees who did")
    a.keys("3")
    a.expect(re.compile(r"Bob +out +(hung up|you hung up|-|ended|[a-z ]+) +\d"), "the call is in her list with its length")
    a.keys("q")
    a.ended("alice quits")
    b.keys("q")
    b.ended("bob quits")
    heard = f"{t.folder}/bob-heard.wav"
    check(os.path.exists(heard) and percent(heard) > 5, "bob's loudspeaker had speech", heard)


def every_screen_and_key(t):
    """One phone without anybody: screens, help, lines, wrong inputs; nothing on disk changes by them."""
    home = Home(t, "kei", {"net": net(peers=[]), "audio": voice(t, "kei")})
    home.ito("contacts", "add", STRANGE, "山田 太郎")
    s = Screen(home)
    s.expect("Echo (this comput", "the contacts open")
    titles = {"1": "State     Name", "2": "These people cannot ring you.", "3": "When         Who", "4": "Chat", "5": "Voicemail",
              "6": "Overlay", "7": "Relay", "8": "Key                    Value", "9": "Log   level info"}
    for key, text in titles.items():
        s.keys(key)
        s.expect(text, f"screen {key}")
        s.keys("?")
        s.expect(re.compile(r"Help: .* to \d+ of \d+"), f"? on screen {key}")
        s.keys("Escape")
        s.gone("Help: ", f"Esc closes the help of screen {key}")
    s.keys("1")
    s.expect("State     Name")
    s.keys("?")
    s.expect("Help: Contacts")
    seen, last = s.shown(), ""
    while seen != last:
        last = s.shown()
        seen = last
        s.keys("j", "j", "j", "j", "j")
        until = time.monotonic() + 1
        while s.shown() == last and time.monotonic() < until:
            pause()
        seen = s.shown()
        titles.setdefault("help", "")
        titles["help"] += seen
    for key in ("call the selected contact", "add a contact by ID", "tell me when online", "Alt-a", "Alt-d", "Alt-x", "Ctrl-L", "Ctrl-Z"):
        check(key in titles["help"], f"the help has {key!r}", titles["help"][-2500:])
    s.keys("Escape")
    s.gone("Help: ")
    before = home.sums()
    s.keys("K")
    s.expect('Nothing bound to "K". ? shows the keys.', "a key without a meaning")
    s.keys("x")
    s.expect('Nothing bound to "x". ? shows the keys.', "x without a call")
    s.keys(":")
    s.type("cal Kenji")
    s.keys("Enter")
    s.expect('Unknown command "cal". Did you mean "call"?', "an unknown command")
    s.keys(":")
    s.type("contacts lst")
    s.keys("Enter")
    s.expect('Unknown command "contacts lst". Did you mean "contacts list"?', "an unknown second word")
    s.keys(":")
    s.type("call Nobody")
    s.keys("Enter")
    s.expect('No contact is called "Nobody".', "no such contact")
    s.keys(":")
    s.type("config set audio.bitrate 500000")
    s.keys("Enter")
    s.expect("audio.bitrate: 500000 is out of range (6000 to 128000)", "a setting out of range")
    s.keys(":")
    s.type("mute maybe")
    s.keys("Enter")
    s.expect("usage: mute on|off", "a wrong word of a command")
    for text, sentence in ((STRANGE[:-2], "ID has 61 characters, needs 63."), (STRANGE[:8] + "…8qju", "That is a shortened ID. Ask for all 63 characters."),
                           (STRANGE[:16] + "p" + STRANGE[17:], "ID has a typing error, probably at character 17 (marked ^)."),
                           (home.id, "That is your own ID.")):
        s.keys("n")
        s.expect("ID:")
        s.paste(text)
        s.keys("Enter")
        s.expect(sentence, f"adding: {sentence}")
        s.expect("ID: ito1", "and the ID can be mended")
        s.keys("C-c")
        s.gone("ID: ito1")
    s.keys("n")
    s.paste(STRANGE)
    s.keys("Enter")
    s.expect('This ID is among your contacts already, as "山田 太郎".', "adding: a contact once more")
    s.keys("C-c")
    s.keys("8")
    s.expect("Key                    Value")
    s.keys("/")
    s.type("bitrate")
    s.keys("Enter")
    s.expect(re.compile(r"^ > audio.bitrate", re.M), "the setup can be searched")
    s.keys("Enter")
    s.keys("C-u")
    s.type("500000")
    s.keys("Enter")
    s.expect("audio.bitrate: 500000 is out of range (6000 to 128000). Kept 24000.", "the setup keeps the old value")
    check(home.sums() == before, "none of it changed a file", f"{before}\n{home.sums()}")
    s.keys("Enter")
    s.keys("C-u")
    s.type("32000")
    s.keys("Enter")
    s.expect(re.compile(r"^ > audio.bitrate +32000 +24000", re.M), "the setup takes a good value")
    s.expect("changed 1   file: config.json   saved", "and says that it is saved")
    check(json.load(open(os.path.join(home.dir, "config.json")))["audio"]["bitrate"] == 32000, "it is in the file")
    s.keys("u")
    s.expect(re.compile(r"^ > audio.bitrate +24000 +24000", re.M), "u takes it back")
    before = home.sums()
    s.keys("1")
    s.expect("State     Name")
    s.keys(":")
    s.type("sort size")
    s.keys("Enter")
    s.expect("usage: sort name|seen|state", "a list cannot be sorted by size")
    s.keys(":")
    s.type("answer now")
    s.keys("Enter")
    s.expect('answer takes no argument "now".', "a word too many")
    s.keys("/")
    s.type("山")
    s.keys("Enter")
    s.gone("Echo (this comput", "/ filters")
    s.keys("r")
    s.expect("New name: 山田 太郎", "r renames, from the name there is")
    s.keys("C-u")
    s.type("Echo (this computer) and a name that is far too wide")
    s.keys("Enter")
    s.expect("A name has at most 64 bytes and 32 columns.", "a name too wide is refused")
    check(home.sums() == before, "and changed nothing")
    s.keys("b")
    s.expect(re.compile(r"山田 太郎 +blocked"), "b blocks without a question")
    s.expect("Blocked. u undoes it for 10 s.", "and says what undoes it")
    s.keys("u")
    s.expect(re.compile(r"山田 太郎 +asked"), "u undoes it")
    s.keys("D")
    s.expect("Removed. u undoes it for 10 s.", "D removes")
    s.keys("u")
    s.expect(re.compile(r"山田 太郎 +asked"), "u brings back")
    check(home.sums()["contacts.json"] == before["contacts.json"], "the list is as it was")
    s.keys("Escape")
    s.expect("Echo (this comput", "Esc ends the filter")
    s.keys(":")
    s.type("con")
    s.keys("Tab", "Tab")
    s.expect(re.compile(r"^contacts +config", re.M), "two Tabs list what fits")
    s.type("t")
    s.keys("Tab")
    s.expect(":contacts", "one Tab completes")
    s.type("ren")
    s.keys("Tab")
    s.expect(":contacts rename", "and second words")
    s.type("山")
    s.keys("Tab")
    s.expect(":contacts rename 山田", "and names")
    s.keys("C-c")
    s.gone(":contacts")
    s.keys(":", "Up")
    s.expect(":answer now", "Up is the history")
    s.keys("C-c")
    s.keys(":")
    s.type("doctor files")
    s.keys("Enter")
    s.expect("┌ Doctor", ":doctor shows its checks")
    s.keys("Escape")
    s.gone("┌ Doctor")
    s.keys("Q")
    s.expect("█", "Q shows the QR code")
    s.keys("Escape")
    s.gone("█")
    s.resize(40, 12)
    s.expect(re.compile(r"1Contacts +1/9"), "40x12 has the narrow frame")
    s.resize(80, 24)
    s.expect("State     Name", "and back")
    s.keys("g")
    s.cursor_on(" >", "the cursor is on the > row")
    s.keys("q")
    s.ended("q quits")

    s = Screen(home, env="NO_COLOR=1")
    s.expect("Echo (this comput")
    check(not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7]|38;|48;)[0-9;]*m", s.shown("-e")), "NO_COLOR has no colour codes", repr(s.shown("-e")[:400]))
    s.keys("q")
    s.ended("with NO_COLOR too q quits")
    s = Screen(home, env="TERM=dumb")
    s.expect("ito>", "TERM=dumb is plain mode")
    s.type("cal Kenji")
    s.keys("Enter")
    s.expect(re.compile(r'^ERROR Unknown command "cal". Did you mean "call"\?', re.M), "with ERROR in front of what went wrong")
    s.type("contacts list")
    s.keys("Enter")
    s.expect(re.compile(r"^ +2 . unknown 山田 太郎", re.M), "and numbered lists")
    s.type("quit")
    s.keys("Enter")
    s.ended("quit ends it")
    s = Screen(home, "--ascii")
    s.expect("Echo (this comp")
    check(all(ord(c) < 128 for c in s.shown()), "--ascii has nothing beyond ASCII", s.shown())
    s.keys("q")
    s.ended("with --ascii too q quits")


STORIES = (first_run_and_echo, two_people, every_screen_and_key)


def skip(why):
    print(f"  SKIP  the screens of live phones: {why}")
    print("0 passed, 0 failed")
    sys.exit(0)


def enter_namespace():
    """Once more, inside a namespace with one address."""
    for tool in ("tmux", "ip", "unshare"):
        if shutil.which(tool) is None:
            skip(f"no {tool} here")
    how = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-r", "-n"]
    if subprocess.run([*how, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
        skip("no right to a network namespace here")
    os.environ["ITO_LIVE_INSIDE"] = "1"
    os.execvp(how[0], [*how, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def make_network():
    for words in (["link", "set", "lo", "up"], ["link", "add", "wire0", "type", "veth", "peer", "name", "wire1"], ["link", "set", "wire1", "up"], ["addr", "add", ADDRESS + "/24", "dev", "wire0"],
                  ["link", "set", "wire0", "up"], ["route", "add", "default", "dev", "wire0"]):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            skip(f"ip {' '.join(words)}: {done.stderr.strip()}")


def main():
    if not os.access(ITO, os.X_OK):
        sys.exit(f"tests/screens/live.py: {ITO}: not built (make)")
    if os.environ.pop("ITO_LIVE_INSIDE", None) is None:
        enter_namespace()
    make_network()
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    for story in STORIES:
        if wanted and story.__name__ not in wanted:
            continue
        t, began = Terminals(), time.monotonic()
        try:
            story(t)
        except (Failed, subprocess.TimeoutExpired) as e:
            results["failed"] += 1
            print(f"  FAIL  {e}", flush=True)
        finally:
            t.close()
        print(f"        {story.__name__.replace('_', ' ')}: {time.monotonic() - began:.1f} s", flush=True)
    print(f"{results['passed']} passed, {results['failed']} failed")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
