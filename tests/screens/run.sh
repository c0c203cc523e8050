#!/bin/sh
# Screens: every scene of `ito --demo` against its golden text, then on a real terminal (tmux) with keys.
#
#   tests/screens/run.sh [ITO]           compare; ITO is build/ito unless given
#   tests/screens/run.sh --write [ITO]   write the golden texts anew (look at the diff before you commit it)
#
# Part 2 needs tmux; without it the script says so and part 1 decides.
set -u
cd "$(dirname "$0")/../.." || exit 1
write=no
[ "${1:-}" = --write ] && { write=yes; shift; }
ito=${1:-build/ito}
case $ito in /*) ;; *) ito=$PWD/$ito ;; esac
here=tests/screens
failed=0
passed=0

say() { # say ok|FAIL NAME
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "  FAIL  $2"; fi
}

# ---- part 1: frames as text ----
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"; [ -n "${server:-}" ] && tmux -L "$server" kill-server 2>/dev/null' EXIT
for scene in contacts incoming request in_call lost network relay; do
    for size in 80x24 100x30 40x12 32x8; do
        for mode in utf8 ascii; do
            golden=$here/$scene.$size.$mode.txt
            option=
            [ $mode = ascii ] && option=--ascii
            "$ito" --demo $scene --text $size $option > "$tmp/out" 2> "$tmp/err" || { say FAIL "$golden: $(cat "$tmp/err")"; continue; }
            if [ $write = yes ]; then
                cp "$tmp/out" "$golden"
            elif diff -u "$golden" "$tmp/out" > "$tmp/diff"; then
                say ok "$golden"
            else
                say FAIL "$golden"
                cat "$tmp/diff"
            fi
        done
    done
done
[ $write = yes ] && exit 0

# ---- part 2: a terminal ----
if ! command -v tmux > /dev/null; then
    echo "  skip  terminal tests: no tmux"
    [ $failed = 0 ]
    exit
fi
n_servers=0
server=

start() { # start WIDTH HEIGHT SCENE [ENV...]
    w=$1 h=$2 s=$3
    shift 3
    [ -n "$server" ] && tmux -L $server kill-server 2> /dev/null
    n_servers=$((n_servers + 1))
    server=ito-screens-$$-$n_servers # a new one: a server that is going away refuses new sessions
    tmux -L $server -f /dev/null new-session -d -x "$w" -y "$h" \
        "exec env LC_ALL=C.UTF-8 TERM=screen-256color $* $ito --demo $s 2> $tmp/stderr"
    tmux -L $server set -g status off > /dev/null 2>&1
    tmux -L $server set -g remain-on-exit on > /dev/null 2>&1
    tmux -L $server resize-window -x "$w" -y "$h" 2> /dev/null
}

shown() { tmux -L $server capture-pane -p 2> /dev/null; }

# Wait until the screen shows a text: asks again and again, 5 s at most.
expect() { # expect NAME TEXT
    n=0
    while [ $n -lt 100 ]; do
        shown | grep -qF -- "$2" && { say ok "$1"; return; }
        n=$((n + 1))
        sleep 0.05
    done
    say FAIL "$1: \"$2\" is not shown"
    shown
}

# Wait until a text is no longer shown.
gone() { # gone NAME TEXT
    n=0
    while [ $n -lt 100 ]; do
        shown | grep -qF -- "$2" || { say ok "$1"; return; }
        n=$((n + 1))
        sleep 0.05
    done
    say FAIL "$1: \"$2\" is still shown"
}

keys() { tmux -L $server send-keys "$@"; }

# The terminal shows what the golden text says.
for scene in contacts incoming in_call network; do
    start 80 24 $scene
    expect "$scene on a terminal" "$(sed -n 3p $here/$scene.80x24.utf8.txt)"
    shown | sed 's/ *$//' > "$tmp/out"
    if diff -u $here/$scene.80x24.utf8.txt "$tmp/out" > "$tmp/diff"; then
        say ok "$scene frame"
    else
        say FAIL "$scene: terminal and golden text differ"
        cat "$tmp/diff"
    fi
done

# Keys.
start 80 24 contacts
expect "start" "山田 太郎"
n=0
while [ $n -lt 100 ]; do
    cursor=$(tmux -L $server display-message -p '#{cursor_x},#{cursor_y}')
    [ "$cursor" = 1,3 ] && break
    n=$((n + 1))
    sleep 0.05
done
[ "$cursor" = 1,3 ] && say ok "cursor" || say FAIL "cursor on the selected row: $cursor"
keys j
expect "j moves" " > ◐ busy    Kenji"
keys K
expect "unbound key" 'Nothing bound to "K". ? shows the keys.'
keys Down
expect "arrow moves" " > ○ offline Mother"
keys :cal Enter
expect "unknown command" 'Unknown command "cal". Did you mean "call"?'
keys '?'
expect "help" "Help: Contacts"
keys Escape
gone "Esc closes" "Help: Contacts"
keys 2
expect "screen 2" "These people cannot ring you."
keys Tab
expect "Tab" "missed 1"
keys 4
expect "chat" "明日の練習は何時？"
keys 5
expect "voicemail" "1 new of 2"
keys 8
expect "setup" "audio.bitrate"
keys 1
keys g
expect "g goes to the first" " > ● online"
keys Q
expect "QR code" "█▀▀▀▀▀█"
keys Escape
gone "Esc closes the code" "█▀▀▀▀▀█"
keys c
expect "c calls" "call code 482 913"
keys Escape
expect "a call goes on" "call 08:41 山田 太郎"
keys 0
expect "0 comes back" "In call   山田 太郎"
tmux -L $server resize-window -x 40 -y 12
expect "a resize in a call" "You  [######----] mic on"
tmux -L $server resize-window -x 32 -y 8
expect "too small" "ito: window too small (40x12"
tmux -L $server resize-window -x 80 -y 24
expect "back" "end-to-end encrypted"
keys M-x
expect "Alt-x hangs up" "You hung up."

# A paste is one input, never keys.
start 80 24 contacts
expect "start" "山田 太郎"
tmux -L $server set-buffer 'qqq'
tmux -L $server paste-buffer -p
expect "a paste presses no keys" "Nothing to paste into."
keys n
tmux -L $server set-buffer 'ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5'
tmux -L $server paste-buffer -p
expect "paste into a line" "ID: ito1qqwss00lnecgtu8"
keys Enter
expect "then the name" "Name for this contact:"
keys C-c
keys q
n=0
while [ $n -lt 100 ] && [ "$(tmux -L $server display-message -p '#{pane_dead}')" != 1 ]; do n=$((n + 1)); sleep 0.05; done
[ $n -lt 100 ] && say ok "q quits" || say FAIL "q does not quit"

# NO_COLOR: not one colour code; with colour there are some.
start 80 24 in_call NO_COLOR=1
expect "NO_COLOR" "call code 482 913"
tmux -L $server capture-pane -p -e | grep -q "$(printf '\033\\[[0-9;]*3[1-7]m')" && say FAIL "NO_COLOR has colour" || say ok "NO_COLOR"
start 80 24 in_call
expect "colour" "call code 482 913"
tmux -L $server capture-pane -p -e | grep -q "$(printf '\033\\[[0-9;]*3[1-7]')" && say ok "colour" || say FAIL "no colour at all"

# Terminals that cannot show screens are refused in words.
if command -v script > /dev/null; then
    script -qec "env TERM=dumb $ito --demo contacts" /dev/null < /dev/null > "$tmp/out" 2>&1
    grep -q "cannot show screens" "$tmp/out" && say ok "TERM=dumb" || say FAIL "TERM=dumb is not refused"
fi

echo "  screens: $passed passed, $failed failed"
[ $failed = 0 ]
