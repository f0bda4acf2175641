# Fairlead. `make` builds build/fairlead; `make run` and `make check` also install what they need.
#
#   make              build/fairlead
#   make run          packages, build, start (ARGS="--flag …" go to `fairlead serve`)
#   make check        everything that can fail: lint, unit tests, the same under ASan+UBSan and
#                     TSan, corpora of the fuzz targets, scenarios with real clients
#   make asan tsan    unit tests with sanitizers        make fuzz    libFuzzer, FUZZ_SECONDS each
#   make bench        figures, one per line             make lint    layers, lengths, contracts
#   make console      web/console, with Node; `make` embeds what is there (WEB=0: nothing)
#   make install      DESTDIR, PREFIX; with a systemd unit        make clean

SAN      ?=
BUILD    ?= build$(if $(SAN),/$(SAN))
PREFIX   ?= /usr/local
ARGS     ?=
VERSION  := $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)

LIBS     := libevent_core libevent_pthreads openssl sqlite3 jansson libmicrohttpd libsodium \
            libnghttp2 libzstd libcurl libcyaml yaml-0.1
PKG_CFLAGS := $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(LIBS) 2>/dev/null)

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wformat=2 -Wundef -Werror
HARDEN   := -fstack-protector-strong -fPIE -fno-strict-aliasing -fno-omit-frame-pointer
OPT      := -O2 -g
FORTIFY  := -D_FORTIFY_SOURCE=2
SAN_FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_FLAGS_tsan := -fsanitize=thread
SAN_FLAGS_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ifneq ($(SAN),)
OPT      := -O1 -g
FORTIFY  :=
endif
ifeq ($(SAN),fuzz)
CC       := clang
endif
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)/gen $(FORTIFY) $(PKG_CFLAGS)
CFLAGS   += -std=c11 $(OPT) $(WARN) $(HARDEN) -pthread $(SAN_FLAGS_$(SAN))
LDFLAGS  += -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread $(SAN_FLAGS_$(SAN))

SRC      := $(wildcard base/*.c coord/*.c relay/*.c web/*.c server/*.c)
OBJ      := $(SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/gen/migrations.o $(BUILD)/obj/gen/assets.o
BASE_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard base/*.c))

.PHONY: all run check unit asan tsan fuzz bench lint install clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/fairlead

$(BUILD)/fairlead: $(OBJ)
	$(CC) $(LDFLAGS) -o $@ $(OBJ) $(PKG_LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -DFAIRLEAD_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

# Every migration, embedded as text: name, SQL, … in order of number.
$(BUILD)/gen/migrations.c: $(wildcard migrations/*.sql) tests/tools/embed_sql.sh
	@mkdir -p $(@D)
	sh tests/tools/embed_sql.sh migrations/*.sql >$@

# The console, if it has been built. The list changes only when a file does.
CONSOLE  := $(if $(filter 0,$(WEB)),none,web/console/dist)
.PHONY: console console-fresh FORCE
console:
	@sh tests/tools/console.sh web/console

# Built if it is older than its sources. A server without it says so at /.
console-fresh:
	@[ "$(WEB)" = 0 ] || sh tests/tools/console.sh --stale web/console || \
	    echo "the console could not be built (see above): going on without it" >&2

$(BUILD)/gen/assets.list: FORCE
	@mkdir -p $(@D)
	@{ echo $(CONSOLE); find $(CONSOLE) -type f -exec sha256sum {} + 2>/dev/null | sort -k 2; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/gen/assets.c: $(BUILD)/gen/assets.list tests/tools/embed_files.sh
	sh tests/tools/embed_files.sh $(CONSOLE) $(BUILD)/gen/assets >$@

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/tests/*/*.d)

# --- unit tests -----------------------------------------------------------------------------------
# The first line of tests/unit/test_x.c says what it is linked with besides base:
# /* links: coord/noise relay/derp_frame */ — so a pure module that is not pure fails to link. coord/policy_parse* is
# all of those.
UNIT_C   := $(wildcard tests/unit/test_*.c)
# ThreadSanitizer has something to say only of those that start threads, themselves or by a rig.
ifeq ($(SAN),tsan)
UNIT_C   := $(shell sh tests/tools/threaded.sh)
endif
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_C))
links_in  = $(shell sed -n '1s|^/\* links:\(.*\)\*/.*|\1|p' $(1))
links_of  = $(foreach m,$(links_in),$(patsubst %.c,$(BUILD)/obj/%.o,$(or $(wildcard $(m).c),$(m).c)))

.SECONDEXPANSION:
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(BASE_OBJ) $$(call links_of,tests/unit/$$*.c)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(PKG_LIBS) -lcmocka

unit-build: $(UNIT)

unit: $(UNIT)
	@sh tests/tools/run_unit.sh $(BUILD) $(UNIT)

asan tsan:
	@$(MAKE) -s SAN=$@ unit

# --- fuzz targets ---------------------------------------------------------------------------------
# tests/fuzz/fuzz_x.c, corpus in tests/fuzz/corpus/x/. Without libFuzzer the driver takes file names.
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 20

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BASE_OBJ) $$(call links_of,tests/fuzz/$$*.c) \
    $(if $(filter fuzz,$(SAN)),,$(BUILD)/obj/tests/fuzz/driver_main.o)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(if $(filter fuzz,$(SAN)),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(PKG_LIBS)

corpus: $(FUZZ:%=$(BUILD)/fuzz/%)
	@sh tests/tools/run_corpus.sh $(BUILD) $(FUZZ)

fuzz:
	$(MAKE) SAN=fuzz fuzz-build
	@sh tests/tools/run_fuzz.sh build/fuzz $(FUZZ_SECONDS) $(FUZZ)
.PHONY: fuzz-build corpus unit-build
fuzz-build: $(FUZZ:%=$(BUILD)/fuzz/%)

# --- faults -----------------------------------------------------------------------------------------
# For LD_PRELOAD, by scenarios: memory, SQL steps and disks that fail.
fault: $(BUILD)/fault.so
.PHONY: fault
$(BUILD)/fault.so: tests/tools/fault.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared -o $@ $< -ldl

# --- the policy engine on one case: build/policy-case CASE.json -------------------------------------
POLICY_CASE_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/tools/policy_case*.c coord/policy*.c) \
             $(patsubst %,coord/%.c,ipset hujson tag node hostinfo dns dns_params dns_label))

$(BUILD)/policy-case: $(POLICY_CASE_OBJ) $(BASE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(PKG_LIBS)

# --- the rest -------------------------------------------------------------------------------------
run:
	@sh tests/tools/deps.sh run
	@$(MAKE) -s console-fresh
	@$(MAKE) -s all
	@exec build/fairlead serve $(ARGS)

check:
	@sh tests/tools/check.sh

lint:
	@python3 tests/tools/lint.py

bench: all
	@sh tests/tools/bench.sh

-include tests/bench/bench.mk

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/fairlead $(DESTDIR)$(PREFIX)/bin/fairlead
	install -d $(DESTDIR)$(PREFIX)/share/doc/fairlead
	install -m 644 README.md docs/*.md docs/config.example.yaml $(DESTDIR)$(PREFIX)/share/doc/fairlead/
	install -d $(DESTDIR)/usr/lib/systemd/system $(DESTDIR)/usr/lib/sysusers.d
	sed 's|/usr/local/|$(PREFIX)/|' server/fairlead.service >$(DESTDIR)/usr/lib/systemd/system/fairlead.service
	install -m 644 server/fairlead.sysusers $(DESTDIR)/usr/lib/sysusers.d/fairlead.conf

clean:
	rm -rf build
