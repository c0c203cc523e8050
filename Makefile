# itodenwa: `make help` lists the targets, `V=1` shows the commands, `B=DIR` builds elsewhere.

VARIANT ?= release
B       ?= build/$(VARIANT)
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wformat=2
CPPFLAGS += -Isrc -I. -I/usr/include/miniupnpc -D_GNU_SOURCE
CFLAGS  += -std=c11 $(OPT) $(WARN) -fno-common -fstack-protector-strong
LDLIBS  := -luv -lsodium -lopus -lasound -losip2 -losipparser2 -lcjson -lsrtp2 -lcrypto -lssl -lsqlite3 \
           -lminiupnpc -lnatpmp -lspeexdsp -lqrencode -lncursesw -lm -lpthread

ifeq ($(VARIANT),asan)
  OPT    := -O1 -g -fno-omit-frame-pointer
  CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined
  LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(VARIANT),tsan)
  OPT    := -O1 -g -fno-omit-frame-pointer
  CFLAGS += -fsanitize=thread
  LDFLAGS += -fsanitize=thread
endif
ifeq ($(VARIANT),fuzz)
  CC     := clang
  OPT    := -O1 -g -fno-omit-frame-pointer
  CFLAGS += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
  LDFLAGS += -fsanitize=fuzzer,address,undefined
endif
ifdef WERROR
  CFLAGS += -Werror
endif
Q := $(if $(V),,@)

# The rooms, highest row first: an include points down this list, never up (contrib/lint/rows checks it).
DIR_ui     := ui
DIR_app    := src/app
DIR_call   := src/call
DIR_relay  := relay
DIR_sip    := src/sip
DIR_media  := src/media
DIR_store  := src/store
DIR_nat    := src/nat
DIR_dht    := src/dht
DIR_io     := src/io
DIR_crypto := crypto
DIR_base   := src/base
DIR_sim    := tests/sim
ROOMS := ui app call relay sip media store nat dht io crypto base

# What a unit test of a room is linked with: the room and the rows below it.
LOW := crypto base
CLOSURE_base   := base
CLOSURE_crypto := $(LOW)
CLOSURE_io     := io $(LOW)
CLOSURE_dht    := sim dht $(LOW)
CLOSURE_nat    := sim nat $(LOW)
CLOSURE_sip    := sip $(LOW)
CLOSURE_media  := media $(LOW)
CLOSURE_store  := store $(LOW)
CLOSURE_relay  := relay sim nat dht io $(LOW)
CLOSURE_call   := call relay sip media store sim nat dht io $(LOW)
CLOSURE_app    := sim app call relay sip media store nat dht io $(LOW)
CLOSURE_ui     := ui app call relay sip media store nat dht io $(LOW)

sources = $(filter-out %_main.c,$(wildcard $(DIR_$(1))/*.c)) # a program's main() is in no library
objects = $(patsubst %.c,$(B)/%.o,$(call sources,$(1)))
libs    = $(foreach r,$(1),$(B)/lib$(r).a)

PROGRAM_SRC := $(wildcard src/*.c)
PROGRAM_OBJ := $(PROGRAM_SRC:%.c=$(B)/%.o)

.PHONY: all help deps run test test-net bench bench-relay fuzz asan lint format install clean unit scenario screens sim-overlay sim-relay
all: build/ito build/libito.a ## build the program at build/ito (default)

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort | expand -t 16

deps: ## install what is missing, from Debian by name
	$(Q)contrib/deps.sh

build/ito: $(B)/ito
	$(Q)mkdir -p build && cp -f $< $@

$(B)/ito: $(PROGRAM_OBJ) $(call libs,$(ROOMS))
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(PROGRAM_OBJ) $(call libs,$(ROOMS)) $(LDLIBS)

build/libito.a: $(foreach r,$(filter-out ui,$(ROOMS)),$(call objects,$(r)))
	@echo "  AR    $@"
	$(Q)mkdir -p build && rm -f $@ && $(AR) crs $@ $^

define room_rule
$(B)/lib$(1).a: $(call objects,$(1))
	@echo "  AR    $$@"
	$(Q)mkdir -p $$(dir $$@) && rm -f $$@ && $(AR) crs $$@ $$^
endef
$(foreach r,$(ROOMS) sim,$(eval $(call room_rule,$(r))))

$(B)/tests/%.o: CPPFLAGS += -Itests
$(B)/%.o: %.c
	@echo "  CC    $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Unit tests: tests/unit/ROOM/test_MODULE.c, linked with the room's closure.
define unit_rule
UNIT_$(1) := $$(patsubst tests/unit/$(1)/%.c,$(B)/unit/$(1)/%,$$(wildcard tests/unit/$(1)/test_*.c))
$(B)/unit/$(1)/%: tests/unit/$(1)/%.c $$(call libs,$$(CLOSURE_$(1)))
	@echo "  TEST  $$<"
	$(Q)mkdir -p $$(dir $$@) && $(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP $(LDFLAGS) -o $$@ $$< \
	    -Wl,--start-group $$(call libs,$$(CLOSURE_$(1))) -Wl,--end-group -lcmocka $(LDLIBS)
.PHONY: unit-$(1)
unit-$(1): $$(UNIT_$(1))
	$(Q)contrib/run-tests.sh $$(UNIT_$(1))
endef
$(foreach r,$(ROOMS),$(eval $(call unit_rule,$(r))))
UNITS := $(foreach r,$(ROOMS),$(UNIT_$(r)))

SCENARIOS := $(patsubst tests/scenario/%.c,$(B)/scenario/%,$(wildcard tests/scenario/test_*.c))
$(B)/scenario/%: tests/scenario/%.c $(call libs,sim $(ROOMS))
	@echo "  TEST  $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(call libs,sim $(ROOMS)) -Wl,--end-group -lcmocka $(LDLIBS)

.PHONY: tests-built
tests-built: $(UNITS) $(SCENARIOS) $(B)/ito

# Simulators: tests/sim/NAME_main.c, with the shipped object files.
$(B)/sim-overlay: $(B)/tests/sim/overlay_main.o $(call libs,sim dht crypto base)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(call libs,sim dht crypto base) -Wl,--end-group $(LDLIBS)

$(B)/sim-relay: $(B)/tests/sim/soak_main.o $(call libs,sim relay nat dht io crypto base)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(call libs,sim relay nat dht io crypto base) -Wl,--end-group $(LDLIBS)

# One fuzz target a parser: tests/fuzz/fuzz_NAME.c, corpus in tests/fuzz/corpus/NAME/.
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_S  ?= 60
build/fuzz/%: tests/fuzz/%.c $(call libs,$(filter-out ui,$(ROOMS)))
	@echo "  FUZZ  $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< \
	    -Wl,--start-group $(call libs,$(filter-out ui,$(ROOMS))) -Wl,--end-group $(LDLIBS)
.PHONY: fuzzers-built
fuzzers-built: $(FUZZERS:%=build/fuzz/%)

run: deps ## install what is missing, build, open the phone
	$(Q)$(MAKE) --no-print-directory all && exec build/ito

test: ## everything that needs no root, under ASan and UBSan
	$(Q)contrib/deps.sh --test
	$(Q)$(MAKE) --no-print-directory VARIANT=asan tests-built build/ito-asan
	$(Q)$(MAKE) --no-print-directory all
	$(Q)contrib/test.sh

build/ito-asan: $(B)/ito
	$(Q)cp -f $< $@

test-net: all $(B)/bench/relay_load ## phones, routers and relays in network namespaces (as root)
	$(Q)tests/net/run.sh

fuzz: ## each parser's fuzz target, FUZZ_S seconds each
	$(Q)$(MAKE) --no-print-directory VARIANT=fuzz fuzzers-built
	$(Q)contrib/fuzz.sh $(FUZZ_S) $(FUZZERS)

asan: ## build the program with ASan and UBSan, as build/ito-asan
	$(Q)$(MAKE) --no-print-directory VARIANT=asan build/ito-asan

N    ?= 1000
SEED ?= 1
sim-overlay: build/release/sim-overlay ## N=10000 overlay nodes in virtual time: `name value unit`; SEED=, JSON=1, PARTS=, REAL=, FOES=, LOOKUPS=, TABLES=oracle
	$(Q)GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $< n=$(N) seed=$(SEED) $(if $(JSON),json=1) $(if $(REAL),real=$(REAL)) $(if $(FOES),foes=$(FOES)) $(if $(LOOKUPS),lookups=$(LOOKUPS)) $(if $(TABLES),tables=$(TABLES)) $(if $(PARTS),parts=$(PARTS))

HOURS ?= 72
CALLS ?= 500
PPS   ?= 1
sim-relay: build/release/sim-relay ## HOURS=72 of a relay with CALLS=500 at PPS=1 in virtual time: memory, lost bytes
	$(Q)$< $(HOURS) $(CALLS) $(PPS) $(SEED)

# The ledger's simulator: the shipped objects in a world of callers and relays.
SEEDS ?= 5
DAYS ?= 10
WHAT ?= all
SIM_LEDGER_LIBS := $(call libs,sim relay $(LOW))
$(B)/sim-ledger: $(B)/tests/sim/run/ledger.o $(SIM_LEDGER_LIBS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(SIM_LEDGER_LIBS) -Wl,--end-group $(LDLIBS)
.PHONY: sim-ledger
sim-ledger: $(B)/sim-ledger ## the ledger's figures and the table of policies: N=1000 SEED=1 SEEDS=5 DAYS=10 WHAT=all
	$(Q)$< n=$(N) seed=$(SEED) seeds=$(SEEDS) days=$(DAYS) what=$(WHAT)

crash: ## kill -9 the ledger at N random moments (CRASHES=1000)
	$(Q)$(MAKE) --no-print-directory $(B)/unit/relay/test_ledger_crash
	$(Q)CRASHES=$(or $(CRASHES),1000) $(B)/unit/relay/test_ledger_crash
.PHONY: crash

bench: all ## numbers as `name value unit`
	$(Q)tests/bench/run.sh

bench-relay: all $(B)/bench/relay_load $(B)/bench/relay_floor ## the relay beside coturn: CPU a packet, memory, set-up
	$(Q)tests/bench/relay.py $(B)/bench/relay_load $(B)/bench/relay_floor build/ito

soak-relay: all $(B)/bench/relay_load ## MINUTES=60 of a relay with CALLS=500 in real time: memory, lost bytes
	$(Q)tests/bench/soak.py $(B)/bench/relay_load build/ito
.PHONY: soak-relay

bench-ledger: $(B)/bench/ledger_admit ## an admission with 4096 accounts, the ledger's bytes in a call
	$(Q)t=$$(mktemp -d) && $< $$t/ledger.db; rc=$$?; rm -rf "$$t"; exit $$rc
.PHONY: bench-ledger

$(B)/bench/ledger_admit: tests/bench/ledger_admit.c $(call libs,$(CLOSURE_relay))
	@echo "  BENCH $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(call libs,$(CLOSURE_relay)) -Wl,--end-group $(LDLIBS)

bench-overlay: $(B)/bench/overlay_wire $(B)/bench/overlay_nodes ## the overlay beside libtorrent and OpenDHT (as root), 5 minutes: round trips, traffic, memory
	$(Q)tests/bench/overlay.sh $^
.PHONY: bench-overlay

$(B)/bench/overlay_nodes: tests/bench/overlay_nodes.c $(call libs,$(CLOSURE_dht) io)
	@echo "  BENCH $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(call libs,$(CLOSURE_dht) io) -Wl,--end-group $(LDLIBS)

$(B)/bench/%: tests/bench/%.c $(call libs,nat crypto base)
	@echo "  BENCH $<"
	$(Q)mkdir -p $(dir $@) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(call libs,nat crypto base) -Wl,--end-group $(LDLIBS)

lint: ## include rows, foreign headers, contracts, format, clang-tidy and cppcheck
	$(Q)contrib/lint/run.sh

format: ## rewrite the sources in the project's format
	$(Q)clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

install: all ## install program, man pages, units, completion into $(DESTDIR)$(PREFIX)
	install -Dm755 build/ito $(DESTDIR)$(PREFIX)/bin/ito
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man1 contrib/man/ito.1
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man5 contrib/man/ito-config.5
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man8 contrib/man/ito-relay.8
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/doc/itodenwa README.md LICENSE contrib/doc/PROTOCOL.md
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/user contrib/systemd/ito.service
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system contrib/systemd/ito-relay.service
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/doc/itodenwa contrib/systemd/ito-relay-xdp.conf
	sed -i 's|/usr/local/|$(PREFIX)/|' $(DESTDIR)$(PREFIX)/lib/systemd/user/ito.service \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/ito-relay.service
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	build/ito completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ito
	build/ito completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ito
	build/ito completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ito.fish

clean: ## remove build/
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
