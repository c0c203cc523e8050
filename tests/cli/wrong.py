"""wrong.py - every wrong input of UX.md sections 1, 6, 7 and 9, one case each: the exact words, the exit code, nothing
on stdout, and a folder whose every file is as it was.

A case is a row: its name, what is typed, the exit code, stderr line by line, and what is in the folder beforehand.
"{dir}" in a line is the folder. Rows of one kind of file stand below each other."""
from home import *

KENJI = '{"contacts": [\n  {"id": "%s", "name": "Kenji", "list": "allowed"}\n]}\n' % ID
TYPO = ID[:16] + ("p" if ID[16] != "p" else "z") + ID[17:]
TWO = ID[:16] + ("p" if ID[16] != "p" else "z") + ID[17:30] + ("p" if ID[30] != "p" else "z") + ID[31:]
NODE = bech32m("iton", [0] + [int(b, 2) for b in re.findall(".{5}", "".join(f"{x:08b}" for x in id_key(ID)) + "0000")])
OTHER = id_of(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))  # RFC 8032, test 1
NO_ITO = "No ito is running. Start one: ito daemon"
_template = []


def template():
    """A folder with an identity and nothing else; made once, copied for each case."""
    if not _template:
        h = Home()
        h.init()
        _template.append(h)
    return _template[0].dir


def snapshot(folder):
    """Name, kind, mode and contents of everything but the lock and the log."""
    out = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        st = os.lstat(path)
        if name in ("lock", "ito.log") or name.startswith("ledger.db"):
            continue
        what = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
        if stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                what = hashlib.sha256(f.read()).hexdigest()
        out[name] = (stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), what)
    return out


def put(h, files):
    for name, what in (files or {}).items():
        if callable(what):
            what(h.file(name))
        else:
            with open(h.file(name), "wb") as f:
                f.write(what if isinstance(what, bytes) else what.encode())
            os.chmod(h.file(name), 0o600)


def usage(line, verb=None):
    return [line, f"try: ito help {verb}" if verb else "try: ito help"]


def case(name, args, code, err, files=None, env=None, stdin=""):
    def run(h):
        shutil.copytree(template(), h.dir)
        os.chmod(h.dir, 0o700)
        put(h, files)
        before = snapshot(h.dir)
        here = {k: v.replace("{dir}", h.dir) for k, v in (env or {}).items()}
        r = h.ito(*[a.replace(b"{dir}", h.dir.encode()) if isinstance(a, bytes) else a.replace("{dir}", h.dir)
                    for a in args], code=code, env=here, input=stdin)
        same(r.err.splitlines(), [e.replace("{dir}", h.dir) for e in err])
        same(r.out, "")
        same(snapshot(h.dir), before)
    TESTS.append((name, run))


def cases(rows):
    for row in rows:
        case(*row)


# ---- IDs, typed (section 1) ----

for text, sentence, what in (
        (ID[:-2], ["ID has 61 characters, needs 63."], "too short an ID"),
        (ID + "q", ["ID has 64 characters, needs 63."], "too long an ID"),
        ("", ["ID has 0 characters, needs 63."], "an empty ID"),
        ("hanako", ["ID has 6 characters, needs 63."], "a name for an ID"),
        (TYPO, ["ID has a typing error, probably at character 17 (marked ^).", TYPO, " " * 16 + "^"], "an ID with one typing error"),
        (TWO, ["ID has 2 typing errors, probably at characters 17 and 31 (marked ^).", TWO, " " * 16 + "^" + " " * 13 + "^"],
         "an ID with two typing errors"),
        (id_of(id_key(ID), 3), ["ID is version 3; this ito knows version 0. Update ito."], "an ID of a later version"),
        (id_of(bytes([2] + [0] * 31)), ["ID is well written but is not a key."], "an ID that is no key"),
        (ID[:8] + "…" + ID[-4:], ["That is a shortened ID. Ask for all 63 characters."], "a shortened ID"),
        (ID[:8] + ".." + ID[-4:], ["That is a shortened ID. Ask for all 63 characters."], "a shortened ID in ASCII"),
        (f"sip:{ID}@example.org", ["An ID ends in @ito.alt or has no @; this one ends in @example.org."], "an ID at a foreign host"),
        (NODE, ["That is the name of a node, not the ID of a person."], "a node for an ID")):
    case(f"{what} is named when a contact is added", ["contacts", "add", text, "New"], 2, sentence + ["try: ito help contacts"])
    if len(sentence) == 1 and text:
        case(f"{what} is named in the contacts file by its line", ["contacts", "list"], 3,
             [f"contacts.json:2: contacts[0].id: {sentence[0]}"],
             {"contacts.json": '{"contacts": [\n{"id": %s}]}' % json.dumps(text, ensure_ascii=False)})

# ---- petnames (section 1) ----

cases([
    ("a petname of 65 bytes is refused", ["contacts", "add", ID, "x" * 65], 2, usage("The name is longer than 64 bytes.", "contacts")),
    ("a petname of 33 columns is refused", ["contacts", "add", ID, "x" * 33], 2, usage("The name is wider than 32 columns.", "contacts")),
    ("a petname of 17 wide characters is refused", ["contacts", "add", ID, "山" * 17], 2,
     usage("The name is wider than 32 columns.", "contacts")),
    ("a petname that is not UTF-8 is refused", [b"contacts", b"add", ID.encode(), b"bad\xff"], 2, usage("The name is not UTF-8.", "contacts")),
    ("an ID twice is refused", ["contacts", "add", ID, "New"], 7, ['This ID is among your contacts already, as "Kenji".'],
     {"contacts.json": KENJI}),
    ("a petname twice is refused", ["contacts", "add", OTHER, "Kenji"], 7,
     ['Another contact is called "Kenji" already.'], {"contacts.json": KENJI}),
    ("a rename to a petname of 65 bytes is refused", ["contacts", "rename", "Kenji", "x" * 65], 2,
     usage("The name is longer than 64 bytes.", "contacts"), {"contacts.json": KENJI}),
    ("a rename to nothing is refused", ["contacts", "rename", "Kenji", ""], 2, usage("A name is needed.", "contacts"),
     {"contacts.json": KENJI}),
    ("a rename to what cannot be seen is refused", ["contacts", "rename", "Kenji", "\u200b\u202e"], 2,
     usage("A name is needed.", "contacts"), {"contacts.json": KENJI}),
])
for verb in (["call", "Nobody"], ["contacts", "allow", "Nobody"], ["contacts", "block", "Nobody"], ["contacts", "remove", "Nobody"],
             ["contacts", "rename", "Nobody", "X"], ["answer", "--auto", "Nobody"]):
    case(f"no such contact is exit 5 in {' '.join(verb[:2])}", verb, 5, ['No contact is called "Nobody".'], {"contacts.json": KENJI})

for verb in (["contacts", "block", "Echo"], ["contacts", "remove", "Echo (this computer)"], ["contacts", "rename", "Echo", "X"],
             ["answer", "--auto", "Echo"]):
    case(f"Echo stays as it is after ito {' '.join(verb)}", verb, 7, ["Echo is part of this phone and stays as it is."])


@test
def control_bidi_and_zero_width_characters_are_dropped_from_names(h):
    h.init()
    h.ito("contacts", "add", ID, "Ken\u202e\u200b\x1bji")
    tree = json.loads(h.ito("contacts", "list", "--json").out)
    same([c["name"] for c in tree["contacts"] if c["id"]], ["Kenji"])
    h.write("contacts.json", KENJI.replace("Kenji", "\u2067Ha\ufeffnako"))
    tree = json.loads(h.ito("contacts", "list", "--json").out)
    same([c["name"] for c in tree["contacts"] if c["id"]], ["Hanako"])
    h.ito("config", "set", "identity.name", "Ta\u202ero")
    same(h.ito("config", "get", "identity.name").out, "Taro\n")


# ---- contacts.json by hand (sections 1 and 7) ----

def contact(members):
    return '{"contacts": [\n{"id": "%s", %s}]}\n' % (ID, members)


for name, text, lines in (
        ("a comma too few", '{"contacts": [\n{"id": "x"}\n{"id": "y"}]}', ["3: not JSON: expected , or ] after }"]),
        ("nothing", "", ["1: not JSON: the file is empty"]),
        ("a byte order mark", b"\xef\xbb\xbf{}", ["1: not JSON: expected no byte order mark; save it as UTF-8 without BOM"]),
        ("bytes that are no UTF-8", b'{"contacts": [\n{"id": "\xff"}]}', ["2: not JSON: expected UTF-8 text after :"]),
        ("too deep a nest", "[" * 100, ["1: not JSON: expected less depth after ["]),
        ("a list at the top", "[]", ["1: not an object: expected {"]),
        ("no list of contacts", "{}", ["1: contacts: missing"]),
        ("contacts that are no list", '{\n"contacts": 5}', ["2: contacts: expected a list"]),
        ("an entry that is no object", '{"contacts": [\n5]}', ["1: contacts[0]: expected an object"]),
        ("an entry without an ID", '{"contacts": [\n{"name": "x"}]}', ["2: contacts[0].id: missing"]),
        ("a name that is a number", contact('"name": 5'), ["2: contacts[0].name: expected a text, found 5"]),
        ("a list that is a number", contact('"list": 5'), ["2: contacts[0].list: expected a text, found 5"]),
        ("a list that is none", contact('"list": "friend"'), ['2: contacts[0].list: "friend" is not one of allowed, blocked']),
        ("a path that is none", contact('"path": "tor"'),
         ['2: contacts[0].path: "tor" is not one of default, private, direct, relay-only']),
        ("verified that is a text", contact('"verified": "yes"'), ["2: contacts[0].verified: expected true or false"]),
        ("an unknown key", contact('"nam": "x"'), ["2: contacts[0].nam: unknown key"]),
        ("a key twice", contact('"name": "x",\n"name": "y"'), ["3: contacts[0].name: given twice (first on line 2)"]),
        ("a name of 65 bytes", contact('"name": "%s"' % ("x" * 65)), ["2: contacts[0].name: longer than 64 bytes"]),
        ("a name of 33 columns", contact('"name": "%s"' % ("x" * 33)), ["2: contacts[0].name: wider than 32 columns"]),
        ("a person twice", '{"contacts": [\n{"id": "%s"},\n{"id": "%s"}]}' % (ID, ID), ["3: contacts[1].id: is listed twice"]),
        ("several mistakes", contact('"name": 5,\n"list": "no",\n"foo": 1'),
         ["4: contacts[0].foo: unknown key", "2: contacts[0].name: expected a text, found 5",
          '3: contacts[0].list: "no" is not one of allowed, blocked'])):
    case(f"contacts.json with {name} is refused by line", ["contacts", "list"], 3, ["contacts.json:" + x for x in lines],
         {"contacts.json": text})
    case(f"contacts.json with {name} is not written over", ["contacts", "add", ID, "New"], 3,
         ["contacts.json:" + x for x in lines], {"contacts.json": text})

for name, make in (("a folder", os.mkdir), ("a pipe", os.mkfifo), ("a device", lambda p: os.symlink("/dev/null", p)),
                   ("a link", lambda p: os.symlink("nowhere", p))):
    if name != "a link":
        case(f"contacts.json that is {name} is refused", ["contacts", "add", ID, "New"], 7,
             ["{dir}/contacts.json: not a regular file"], {"contacts.json": make})
    case(f"config.json that is {name} is not written through", ["config", "set", "net.port", "5"], 7 if name == "a link" else 3,
         ["{dir}/config.json: not a regular file"], {"config.json": make})
case("contacts.json that is a link is not written through", ["contacts", "rename", "Kenji", "Ken"], 7,
     ["{dir}/contacts.json: not a regular file"], {"other.json": KENJI, "contacts.json": lambda p: os.symlink("other.json", p)})
case("an export over a folder is refused", ["-y", "contacts", "export", "{dir}/there"], 7, ["{dir}/there: not a regular file"],
     {"there": os.mkdir})
case("an import of what is not there is named", ["contacts", "import", "{dir}/none.json"], 1, ["{dir}/none.json: no such file"])


@test
def a_huge_contacts_file_is_refused(h):
    h.init()
    h.write("contacts.json", " " * ((4 << 20) + 1))
    before = snapshot(h.dir)
    same(h.ito("contacts", "list", code=1).err, f"{h.file('contacts.json')}: larger than 4194304 bytes\n")
    same(snapshot(h.dir), before)


@test
def a_thousand_contacts_are_imported_by_way_of_a_daemon(h):
    h.init()
    h.daemon()
    rows = [{"id": ID, "name": "x"}] + [{"id": "ito1qq", "name": f"n{i}"} for i in range(1000)]
    path = os.path.join(h.path, "many.json")
    json.dump({"contacts": rows}, open(path, "w"))
    r = h.ito("contacts", "import", path, code=1)
    same(r.out, "added 0, changed 0, same 0, bad 1000\n")
    same(len(r.err.splitlines()), 17)
    has(r.err, "and 984 more")
    same([c for c in json.loads(h.ito("contacts", "--json").out)["contacts"] if c["id"]], [])


# ---- config.json by hand (section 9) ----

def config(name, text, lines, args=("config", "check")):
    case(f"config.json with {name}", list(args), 3, ["config.json:" + x for x in lines], {"config.json": text})


config("a number out of range", '{"audio": {\n"bitrate": 500000}}', ["2: audio.bitrate: 500000 is out of range (6000 to 128000)"])
config("a number beyond all", '{"net": {"port": 1e999}}', ["1: net.port: 1e999 is out of range (0 to 65535)"])
config("half a number", '{"call": {"ring_s": 30.5}}', ["1: call.ring_s: 30.5 is not a whole number"])
config("a number that is no choice", '{"audio": {"frame_ms": 15}}', ["1: audio.frame_ms: 15 is not one of 10, 20, 40, 60"])
config("an unknown key", '{"audio": {\n\n\n"bitrat": 1}}', ["4: audio.bitrat: unknown key; did you mean audio.bitrate?"])
config("an unknown key like none", '{"telephone": {"a": {"b": 1}}}', ["1: telephone: unknown key"])
config("a text for a number", '{"net": {\n"port": "auto"}}', ['2: net.port: expected a number, found "auto"'])
config("a number for a text", '{"net": {"zone": 7}}', ["1: net.zone: expected a text, found 7"])
config("a number for true or false", '{"audio": {"fec": 1}}', ["1: audio.fec: expected true or false, found 1"])
config("null for a value", '{"audio": {"fec": null}}', ["1: audio.fec: expected true or false, found null"])
config("a text for a list", '{"net": {"peers": "a:1"}}', ['1: net.peers: expected a list of texts, found "a:1"'])
config("a list of numbers", '{"call": {"auto_answer": [1]}}', ["1: call.auto_answer: expected a list of texts, found [1]"])
config("an object for a section's value", '{"net": 3}', ["1: net: expected an object, found 3"])
config("a word that is no choice", '{"ui": {"lang": "fr"}}', ['1: ui.lang: "fr" is not one of auto, en, ja'])
config("a text too long", '{"identity": {"name": "%s"}}' % ("x" * 65),
       ["1: identity.name: 65 bytes is out of range (0 to 64 bytes)"])
config("a text too short", '{"net": {"zone": ""}}', ["1: net.zone: 0 bytes is out of range (1 to 32 bytes)"])
config("a peer without a port", '{"net": {"peers": ["example.org"]}}', ['1: net.peers: "example.org" is not HOST:PORT'])
config("too many peers", '{"net": {"peers": %s}}' % json.dumps(["a:1"] * 65),
       ["1: net.peers: 65 entries is out of range (at most 64)"])
config("a pair that contradicts itself", '{"audio": {"jitter_min_ms": 150,\n"jitter_max_ms": 100}}',
       ["2: audio.jitter_max_ms: 100 is less than audio.jitter_min_ms (150)"])
config("a key twice", '{"call": {\n\n"ring_s": 60,\n\n\n\n"ring_s": 60}}', ["7: call.ring_s: given twice (first on line 3)"])
config("a key for a command there is not", '{"keys": {\n"fly": "f"}}', ["2: keys.fly: no such command"])
config("a key that is none", '{"keys": {\n"call": "Hyper-c"}}', ['2: keys.call: "Hyper-c" is not a key (like c, Alt-c, Ctrl-C, F2)'])
config("a key that cannot be changed", '{"keys": {"call": "Alt-a"}}', ["1: keys.call: Alt-a, Alt-d, Alt-x and : cannot be changed"])
config("a comma missing", '{"log": {\n"level": "info" "x": 1}}', ['2: not JSON: expected , or } after "info"'])
config("a comma too many", '{"net": {"port": 5,}}', ["1: not JSON: expected a key after ,"])
config("a brace missing", '{"net": {"port": 5}\n', ["2: not JSON: expected , or } after }"])
config("something behind", '{} x', ["1: not JSON: expected the end after }"])
config("a comment", '{\n// no\n}', ["2: not JSON: expected a key or } after {"])
config("single quotes", "{'net': {}}", ["1: not JSON: expected a key or } after {"])
config("a leading zero", '{"net": {"port": 05}}', ["1: not JSON: expected , or } after 0"])
config("half a word", "nul", ["1: not JSON: expected a value after the beginning"])
config("an open text", '{"net": {"zone": "x}}', ["1: not JSON: expected a closing quote after :"])
config("an unknown escape", '{"net": {"zone": "\\x"}}', ["1: not JSON: expected a known escape after :"])
config("bytes that are no UTF-8", b'{"net": {"zone": "\xff"}}', ["1: not JSON: expected UTF-8 text after :"])
config("a NUL byte", b'{"net": {}\0}', ["1: not JSON: expected , or } after }"])
config("a byte order mark", b"\xef\xbb\xbf{}", ["1: not JSON: expected no byte order mark; save it as UTF-8 without BOM"])
config("nothing in it", "", ["1: not JSON: the file is empty"])
config("a list at the top", "[]", ["1: not an object: expected {"])
config("too deep a nest", '{"a":' * 100, ["1: a: unknown key", "1: not JSON: expected less depth after :"])
ALL = '{\n  "audio": {\n    "bitrate": 500000,\n    "bitrat": 1\n  },\n  "net": {"port": "auto"},\n  "call": {\n' \
      '    "ring_s": 60,\n    "ring_s": 30\n  },\n  "log": {"level": "info" "x"}\n}\n'
ALL_LINES = ["3: audio.bitrate: 500000 is out of range (6000 to 128000)",
             "4: audio.bitrat: unknown key; did you mean audio.bitrate?", '6: net.port: expected a number, found "auto"',
             "9: call.ring_s: given twice (first on line 8)", '11: not JSON: expected , or } after "info"']
for args in (["config", "check"], ["config", "show"], ["config", "get", "net.port"], ["config", "set", "net.port", "5"], ["status"],
             ["id"], ["contacts", "list"], ["contacts", "add", ID], ["call", "Echo"], ["daemon"], ["daemon", "--foreground"], ["relay"]):
    config(f"five mistakes tells all at once in ito {' '.join(args)}", ALL, ALL_LINES, args)

@test
def config_json_with_seventy_mistakes_tells_how_many_more_there_are(h):
    shutil.copytree(template(), h.dir)
    h.write("config.json", "{" + ",\n".join(f'"section{i}": 1' for i in range(70)) + "}")
    for args in (["config", "check"], ["status"]):
        lines = h.ito(*args, code=3).err.splitlines()
        same(lines, [f"config.json:{i + 1}: section{i}: unknown key" for i in range(64)] + ["and 6 more"])


case("a config.json that is too large", ["config", "check"], 3, ["{dir}/config.json: larger than 262144 bytes"],
     {"config.json": " " * 262145})
case("config check of a file that is not there", ["config", "check", "{dir}/none.json"], 3, ["{dir}/none.json: no such file"])
case("config check of a folder", ["config", "check", "{dir}"], 3, ["{dir}: not a regular file"])
case("--config of a file with a mistake names that file", ["--config", "{dir}/mine.json", "status"], 3,
     ["mine.json:1: net: expected an object, found 1"], {"mine.json": '{"net": 1}'})

for verb in (["status"], ["id"], ["config", "show"], ["config", "get", "net.port"], ["contacts", "list"]):
    case(f"--config of a file that is not there in ito {' '.join(verb[:2])}", ["--config", "{dir}/none.json", *verb], 3,
         ["{dir}/none.json: no such file"])

# ---- config set, get ----

for key, value, line in (("audio.bitrate", "500000", "audio.bitrate: 500000 is out of range (6000 to 128000)"),
                         ("audio.bitrat", "1", "audio.bitrat: unknown key; did you mean audio.bitrate?"),
                         ("net.port", "auto", 'net.port: expected a number, found "auto"'),
                         ("call.ring_s", "", 'call.ring_s: expected a number, found ""'),
                         ("ui.lang", "fr", 'ui.lang: "fr" is not one of auto, en, ja'),
                         ("net.zone", "", "net.zone: 0 bytes is out of range (1 to 32 bytes)"),
                         ("audio.jitter_min_ms", "201", "audio.jitter_min_ms: 201 is out of range (0 to 200)"),
                         ("keys", '{"call": "Alt-a"}', "keys.call: Alt-a, Alt-d, Alt-x and : cannot be changed"),
                         ("identity.name", b"a\xff", "identity.name: expected UTF-8 text")):
    case(f"config set {key} to {value!r} is refused", [b"config", b"set", key.encode(), value if isinstance(value, bytes) else value.encode()],
         3, [line], {"config.json": '{"log": {"level": "info"}}\n'})
case("config get of an unknown key", ["config", "get", "audio.bitrat"], 3, ["audio.bitrat: unknown key; did you mean audio.bitrate?"])

# ---- usage (section 6) ----

cases([
    ("an unknown command with one that was meant", ["cal", "Kenji"], 2, usage('Unknown command "cal". Did you mean "call"?')),
    ("an unknown command like none", ["xyzzyx"], 2, usage('Unknown command "xyzzyx".')),
    ("an empty command", [""], 2, usage('Unknown command "".')),
    ("an unknown second word", ["contacts", "lst"], 2, usage('Unknown command "contacts lst". Did you mean "contacts list"?', "contacts")),
    ("an unknown second word of requests", ["requests", "alow", "1"], 2,
     usage('Unknown command "requests alow". Did you mean "requests allow"?', "requests")),
    ("an unknown second word of config", ["config", "shw"], 2, usage('Unknown command "config shw". Did you mean "config show"?', "config")),
    ("an unknown second word of keys", ["keys", "exprt", "F"], 2, usage('Unknown command "keys exprt". Did you mean "keys export"?', "keys")),
    ("an unknown option before a command", ["--nonsense", "id"], 2, usage('Unknown option "--nonsense".')),
    ("an unknown option of a command", ["id", "--spced"], 2, usage('Unknown option "--spced". Did you mean "--spaced"?', "id")),
    ("a value for a flag", ["id", "--qr=1"], 2, usage("Option --qr takes no value.", "id")),
    ("an option without its value", ["call", "Echo", "--for"], 2, usage("Option --for needs a value.", "call")),
    ("--dir without a value", ["--dir"], 2, usage("Option --dir needs a value.")),
    ("--dir with nothing", ["--dir", "", "id"], 2, usage("Option --dir needs a value.")),
    ("--config with nothing", ["--config=", "id"], 2, usage("Option --config needs a value.")),
    ("--color with another word", ["--color", "blue", "id"], 2, usage('Option --color: "blue" is not one of auto, always, never.')),
    ("a log level that is none", ["id"], 2, usage('ITO_LOG: "loud" is not one of error, warn, info, debug.'), None, {"ITO_LOG": "loud"}),
    ("a word too many", ["id", "x"], 2, usage('ito id takes no argument "x".', "id")),
    ("call without a contact", ["call"], 2, usage("Whom? ito call CONTACT", "call")),
    ("call with two contacts", ["call", "a", "b"], 2, usage("One CONTACT only; put a name of several words in quotes.", "call")),
    ("call --for a word", ["call", "Echo", "--for", "x"], 2, usage('Option --for: "x" is not a number from 1 to 86400.', "call")),
    ("call --for 0", ["call", "Echo", "--for", "0"], 2, usage('Option --for: "0" is not a number from 1 to 86400.', "call")),
    ("call --play of what is not there", ["call", "Echo", "--play", "{dir}/none.wav"], 1, ["{dir}/none.wav: cannot be read"]),
    ("mute without on or off", ["mute"], 2, usage("Say on or off: ito mute on|off", "mute")),
    ("mute maybe", ["mute", "maybe"], 2, usage("Say on or off: ito mute on|off", "mute")),
    ("dtmf of no tone", ["dtmf", "12x"], 2, usage("Tones are 0 to 9, *, # and A to D: ito dtmf DIGITS", "dtmf")),
    ("relay --port beyond all ports", ["relay", "--port", "99999"], 2, usage('Option --port: "99999" is not a number from 0 to 65535.', "relay")),
    ("relay --max-kbps too small", ["relay", "--max-kbps", "1"], 2,
     usage('Option --max-kbps: "1" is not a number from 64 to 10000000.', "relay")),
    ("relay --max-calls 0", ["relay", "--max-calls", "0"], 2, usage('Option --max-calls: "0" is not a number from 1 to 10000.', "relay")),
    ("contacts add without an ID", ["contacts", "add"], 2, usage("ito contacts add: something is missing.", "contacts")),
    ("contacts add with three words", ["contacts", "add", ID, "a", "b"], 2,
     usage("ito contacts add: too many words; put a name of several words in quotes.", "contacts")),
    ("requests allow of a word", ["requests", "allow", "x"], 2, usage('Option allow: "x" is not a number from 1 to 1000.', "requests")),
    ("requests allow of a number there is not", ["requests", "allow", "3"], 5, ["There is no request 3."]),
    ("requests send without a note", ["requests", "send", ID], 2, usage("ito requests send: something is missing.", "requests")),
    ("invite for no use", ["invite", "--uses", "0"], 2, usage('Option --uses: "0" is not a number from 1 to 100.', "invite")),
    ("config alone", ["config"], 2, usage("Say what to do: ito config check [F]|show|get KEY|set KEY VALUE", "config")),
    ("keys alone", ["keys"], 2, usage("Say what to do: ito keys export F|import F|phrase", "keys")),
    ("doctor of no part", ["doctor", "moon"], 2, usage('Unknown part "moon": audio, net, overlay or files.', "doctor")),
    ("completion for no shell", ["completion", "csh"], 2, usage("For which shell? bash, zsh or fish", "completion")),
    ("log of something", ["log", "x"], 2, usage('ito log takes no argument "x".', "log")),
    ("the screens without a terminal", [], 2, ["ito needs a terminal; see ito help"]),
    ("init beside an identity", ["init", "--no-passphrase"], 7, ["{dir}/identity.key: is there already, and was not touched"]),
    ("init with both passphrase options", ["init", "--no-passphrase", "--passphrase-file", "x"], 2,
     usage("--passphrase-file and --no-passphrase cannot be given together.", "init")),
    ("init with a name of 65 bytes", ["init", "--name", "x" * 65], 2, usage("A name has at most 64 bytes of UTF-8.", "init")),
])
for verb in (["answer"], ["hangup"], ["mute", "on"], ["dtmf", "1"], ["watch"], ["requests", "send", ID, "hello"]):
    case(f"ito {verb[0]} without a running ito is exit 4", verb, 4, [NO_ITO])

# ---- the identity file (sections 6 and 7) ----

for name, make, code, line in (
        ("readable by others", lambda p: os.chmod(p, 0o644), 7,
         "{dir}/identity.key: others can read it (mode 0644). Run: chmod 600 {dir}/identity.key"),
        ("a link", lambda p: (os.rename(p, p + ".real"), os.symlink("identity.key.real", p)), 7,
         "{dir}/identity.key: is a link; the identity file must be a regular file"),
        ("a pipe", lambda p: (os.unlink(p), os.mkfifo(p)), 7, "{dir}/identity.key: not a regular file"),
        ("a folder", lambda p: (os.unlink(p), os.mkdir(p)), 7, "{dir}/identity.key: not a regular file"),
        ("cut short", lambda p: os.truncate(p, 100), 1,
         "{dir}/identity.key: damaged, and left as it is. Put back a copy of it, or restore your identity from the 24 words: "
         "ito keys phrase"),
        ("missing", os.unlink, 1, "There is no identity here yet ({dir}/identity.key). Make one: ito init")):
    for verb in (["id"], ["status"], ["call", "Echo"], ["contacts", "list"]):
        case(f"an identity file that is {name} in ito {verb[0]}", verb, code, [line], {"identity.key": make})
case("an export of an identity file that is not there", ["keys", "export", "{dir}/copy"], 1,
     ["There is no identity here yet ({dir}/identity.key). Make one: ito init"], {"identity.key": os.unlink})
case("an export over a file", ["keys", "export", "{dir}/copy"], 7, ["{dir}/copy: is there already. Give -y to replace it."], {"copy": "x"})
case("an export over a link, even with -y", ["-y", "keys", "export", "{dir}/copy"], 7, ["{dir}/copy: not a regular file"],
     {"copy": lambda p: os.symlink("/dev/null", p)})
case("an import beside an identity", ["keys", "import", "{dir}/copy"], 7, ["{dir}/identity.key: is there already, and was not touched"],
     {"copy": "x"})
case("an import of what is no key file", ["keys", "import", "{dir}/copy"], 1, ["{dir}/copy: damaged, or no key file of ito"],
     {"identity.key": os.unlink, "copy": "x"})
case("a phrase with a word that is none", ["keys", "phrase"], 1, ['word 1 "anchr" is not in the list; did you mean "anchor"?'],
     stdin="anchr " * 24 + "\n")


@test
def a_key_file_is_exported_and_imported_with_its_passphrase(h):
    secret, wrong = os.path.join(h.path, "secret"), os.path.join(h.path, "wrong")
    copy = os.path.join(h.path, "copy")
    open(secret, "w").write("correct horse\n")
    open(wrong, "w").write("battery staple\n")
    own = h.ito("init", "--passphrase-file", secret).out
    same(h.ito("keys", "export", copy).err, f"Saved as {copy}. It is sealed by your passphrase.\n")
    same(stat.S_IMODE(os.stat(copy).st_mode), 0o600)
    there = Home()
    try:
        same(there.ito("keys", "import", copy, code=6).err, f"{copy}: protected by a passphrase. Give --passphrase-file F.\n")
        same(there.ito("keys", "import", copy, "--passphrase-file", wrong, code=6).err, f"{copy}: wrong passphrase\n")
        same(os.listdir(there.dir), [])
        there.ito("keys", "import", copy, "--passphrase-file", secret)
        same(there.ito("id", env={"ITO_PASSPHRASE_FILE": secret}).out, own)
    finally:
        there.end()


# ---- folders ----

@test
def a_folder_that_cannot_be_made_is_named(h):
    same(subprocess.run([ITO, "--dir", "/proc/nowhere", "init", "--no-passphrase"], capture_output=True, text=True, env=h.env).stderr,
         "/proc/nowhere: cannot be made: No such file or directory\n")
    r = subprocess.run([ITO, "--dir", "/proc/nowhere", "daemon"], capture_output=True, text=True, env=h.env)
    same((r.returncode, r.stdout), (1, ""))


# ---- a running core: HUP, and the socket (section 7) ----

class Socket:
    def __init__(self, h):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(LIMIT)
        self.s.connect(h.file("ctl.sock"))
        self.f = self.s.makefile("rwb")

    def ask(self, line):
        self.f.write((line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()) + b"\n")
        self.f.flush()
        return json.loads(self.f.readline())

    def close(self):
        self.f.close()
        self.s.close()


def refuse(s, line, error, text):
    a = s.ask(line)
    same((a["ok"], a["error"], a["text"]), (False, error, text))


@test
def a_wrong_line_on_the_control_socket_is_answered_in_words_and_changes_nothing(h):
    shutil.copytree(template(), h.dir)
    h.write("contacts.json", KENJI)
    h.daemon()
    s = Socket(h)
    s.ask({"id": 1, "cmd": "contacts"})
    before = snapshot(h.dir)
    refuse(s, b"not json", "parse", "1: not JSON: expected a value after the beginning")
    refuse(s, b"[]", "parse", '"cmd" is missing.')
    refuse(s, b'{"cmd":"call","to":"\xff"}', "parse", "1: not JSON: expected UTF-8 text after :")
    refuse(s, b"[" * 200, "parse", "1: not JSON: expected less depth after [")
    refuse(s, {"id": 1}, "parse", '"cmd" is missing.')
    refuse(s, {"id": 1, "cmd": 5}, "parse", '"cmd" is missing.')
    refuse(s, {"id": 1, "cmd": "dance"}, "unsupported", 'Unknown command "dance".')
    refuse(s, {"id": 1, "cmd": "call"}, "parse", '"to" is missing.')
    refuse(s, {"id": 1, "cmd": "call", "to": 5}, "parse", '"to" is missing.')
    refuse(s, {"id": 1, "cmd": "call", "to": "Nobody"}, "not_found", 'No contact is called "Nobody".')
    refuse(s, {"id": 1, "cmd": "call", "to": ID[:-2]}, "parse", "ID has 61 characters, needs 63.")
    refuse(s, {"id": 1, "cmd": "contacts_add", "contact": TYPO}, "parse",
           f"ID has a typing error, probably at character 17 (marked ^).\n{TYPO}\n{' ' * 16}^")
    refuse(s, {"id": 1, "cmd": "contacts_add", "contact": ID, "name": "x"}, "exists",
           'This ID is among your contacts already, as "Kenji".')
    refuse(s, {"id": 1, "cmd": "contacts_rename", "contact": "Kenji", "name": "x" * 65}, "range", "The name is longer than 64 bytes.")
    refuse(s, {"id": 1, "cmd": "contacts_block"}, "parse", '"contact" is missing.')
    refuse(s, {"id": 1, "cmd": "requests_allow", "n": 3}, "not_found", "There is no request 3.")
    refuse(s, {"id": 1, "cmd": "config_set", "key": "audio.bitrate", "value": "500000"}, "config",
           "audio.bitrate: 500000 is out of range (6000 to 128000)")
    refuse(s, {"id": 1, "cmd": "hangup"}, "not_found", "There is no call.")
    refuse(s, {"id": 1, "cmd": "invite", "expires": "soon"}, "range", '"soon" is no duration. Try 7d, 12h or 30m.')
    refuse(s, {"id": 1, "cmd": "invite", "uses": 1000}, "range", "Uses are 1 to 100.")
    same(s.ask({"id": 9, "cmd": "status"})["ok"], True)
    s.close()
    same({k: v for k, v in snapshot(h.dir).items() if k.endswith(".json")}, {k: v for k, v in before.items() if k.endswith(".json")})


@test
def a_broken_config_is_logged_line_by_line_on_hup_and_the_old_one_stays(h):
    shutil.copytree(template(), h.dir)
    h.write("config.json", '{"presence": {"show": "nobody"}}')
    pid = h.daemon()
    log = h.start("log", "-f")
    h.write("config.json", ALL)
    os.kill(pid, signal.SIGHUP)
    lines = lines_until(log.stdout, "not JSON")
    same([re.sub(r"^\S+ ", "", x) for x in lines if "config.json" in x], ["error config.json:" + x for x in ALL_LINES])
    s = Socket(h)
    same(s.ask({"id": 1, "cmd": "config_get", "key": "presence.show"})["value"], "nobody")
    s.close()
    same(h.read("config.json"), ALL)
