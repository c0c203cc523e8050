"""plain.py - the phone as lines (UX.md section 8): prompt, prefixes, numbered lists, and not one control code."""
from home import *


class Talk:
    """`ito --plain` on two pipes."""

    def __init__(self, h, *args):
        self.p = subprocess.Popen([ITO, "--dir", h.dir, "--plain", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, bufsize=0, env=h.env)
        h.started.append(self.p)
        self.p.stderr = self.p.stdout
        self.all, self.at = "", 0

    def say(self, line):
        self.p.stdin.write((line + "\n").encode())

    def expect(self, pattern):
        """The next place where it is said; what came before is passed."""
        while True:
            m = re.compile(pattern, re.M).search(self.all, self.at)
            if m:
                self.at = m.end()
                return m
            ready, _, _ = select.select([self.p.stdout], [], [], LIMIT)
            got = os.read(self.p.stdout.fileno(), 65536) if ready else b""
            assert got, f"{pattern!r} was not said:\n{self.all[self.at - 200 if self.at > 200 else 0:]}"
            self.all += got.decode()


def plain_home(h):
    play = os.path.join(h.path, "in.wav")
    with wave.open(play, "wb") as w:
        w.setparams((1, 2, 48000, 0, "NONE", ""))
        w.writeframes(array.array("h", (int(12000 * math.sin(i / 17)) for i in range(48000 * 20))).tobytes())
    h.init("--name", "Taro")
    h.write("config.json", json.dumps({"net": {"lan_discovery": False, "port_mapping": False, "mainline": "off"},
                                       "audio": {"input": "wav:" + play, "output": "wav:" + os.path.join(h.path, "out.wav")}}))


@test
def plain_mode_says_every_event_in_a_line_and_numbers_lists(h):
    plain_home(h)
    t = Talk(h)
    t.expect(r"^ito> ")
    t.say(f"contacts add {ID} Kenji")
    t.expect(r"^(ito> )?NOTICE Added; request sent\. You can call once they allow you\.$")
    t.say(f"contacts add {ID[:-2]} X")
    t.expect(r"^(ito> )?ERROR ID has 61 characters, needs 63\.$")
    t.say("contacts list")
    t.expect(r"^ +1 ● online  Echo \(this computer\) +allowed")
    t.expect(r"^ +2 \? unknown Kenji +asked")
    t.say("2")
    t.expect(r"^(ito> )?Name +Kenji$")
    t.say("cal Kenji")
    t.expect(r'^(ito> )?ERROR Unknown command "cal"\. Did you mean "call"\?$')
    t.say("9")
    t.expect(r"^(ito> )?ERROR There is no row 9\.")
    t.say("config set audio.bitrate 500000")
    t.expect(r"^(ito> )?ERROR audio\.bitrate: 500000 is out of range \(6000 to 128000\)")
    t.say("level")
    t.expect(r"^(ito> )?ERROR There is no call\.$")
    t.say("contacts list")
    t.expect(r"Kenji")
    t.say("1")
    t.expect(r"Echo")
    t.say("call")
    for words in (r"Looking up Echo \(this computer\)", "Connecting", "Ringing",
                  r"In call with Echo \(this computer\), direct \(same network\), call code \d{3} \d{3}"):
        t.expect(rf"^(ito> )?CALL {words}$")
    t.expect(r"^ito> ")
    t.say("mute on")
    for _ in range(LIMIT * 10):
        t.say("level")
        if re.fullmatch(r"You muted, them -?\d+ dB", t.expect(r"^You .*, them .*$").group(0)):
            break
        select.select([], [], [], 0.1)
    else:
        raise AssertionError(t.all)
    t.say("hold on")
    t.expect(r"^CALL On hold by you$")
    t.say("hold off")
    t.expect(r"^CALL In call with Echo")
    t.say("quit")
    t.expect(r"^(ito> )?ASK Hang up and quit\? y/N")
    t.say("n")
    t.say("hangup")
    t.expect(r"^(ito> )?CALL Ended: You hung up\.")
    t.say("quit")
    same(t.p.wait(LIMIT), 0)
    assert "\x1b" not in t.all and "\b" not in t.all and "\r" not in t.all, t.all


@test
def plain_mode_ends_with_its_input_and_needs_an_identity(h):
    r = h.ito("--plain", code=1)
    has(r.err, "Make one: ito init")
    plain_home(h)
    t = Talk(h)
    t.expect(r"^ito> ")
    t.p.stdin.close()
    same(t.p.wait(LIMIT), 0)
