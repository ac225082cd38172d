# TIM3's one Makefile. `make help` lists the targets.
#
#   CC=clang            another compiler
#   SAN=address         or undefined, thread: build and test under a sanitizer, in a build folder of its own
#   BUILD=folder        where everything made goes
#   PREFIX=folder       where make install puts it, /usr/local; DESTDIR=folder goes before that, for packages

SAN     ?=
BUILD   ?= build$(if $(SAN),/san-$(SAN))$(if $(filter clang,$(CC)),/clang)
CFLAGS  ?= -O2 -g
PKGS     = libzmq libczmq msgpack libsodium libxxhash lmdb jansson libedit
WARN     = -Wall -Wextra -Wshadow -Wconversion -Werror
VERSION := $(shell cat VERSION)

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fno-omit-frame-pointer -I common -I client \
             -DTIM3_VERSION='"$(VERSION)"' $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
LIBS = -lczmq -lzmq -lmsgpackc -lsodium -llmdb -lxxhash -ljansson -ledit -lpthread -lm

ROLES   = router coordinator lock_manager token_manager state_manager mock_usda
AGENTS  = $(foreach r,$(ROLES),$(BUILD)/bin/tim3-$(subst _,-,$(r)))
# Of agents alone: it has functions that are called as some of libc's.
DOOR    = common/agent/door.c
COMMON  = $(filter-out $(DOOR),$(wildcard common/*/*.c))
CLIENT  = $(filter-out client/tim3ctl%.c,$(wildcard client/*.c))
CTL     = $(wildcard client/tim3ctl*.c)
obj     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
# What of the common code a program with the client library needs.
CLIENT_COMMON = $(patsubst %,common/base/%.c,address amount bytes log result) \
                $(patsubst %,common/wire/%.c,envelope messages reader run shape writer)
CORES   = router/core.c router/registry.c router/lives.c router/standings.c router/event_log.c router/subscribers.c router/routes.c router/in_flight.c \
          router/unread.c coordinator/core.c lock_manager/core.c token_manager/core.c state_manager/core.c mock_usda/core.c

.PHONY: all
all: $(AGENTS) $(BUILD)/bin/tim3ctl $(BUILD)/bin/tim3-protocol-doc

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC   $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtim3.a: $(call obj,$(COMMON))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/libtim3client.a: $(call obj,$(CLIENT) $(CLIENT_COMMON))
	@rm -f $@
	@$(AR) rcs $@ $^

# Cores that an agent can host besides its own.
HOSTED_coordinator = lock_manager/core.c token_manager/core.c
define agent_rule
$(BUILD)/bin/tim3-$(subst _,-,$(1)): $(call obj,$(wildcard $(1)/*.c) $(HOSTED_$(1)) $(DOOR)) $(BUILD)/libtim3.a
	@mkdir -p $$(@D)
	@echo '  LD   $$@'
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach r,$(ROLES),$(eval $(call agent_rule,$(r))))

# With the cores, which replay runs again.
$(BUILD)/bin/tim3ctl: $(call obj,$(CTL) $(CORES)) $(BUILD)/libtim3client.a $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bin/tim3-protocol-doc: $(call obj,scripts/protocol_doc.c) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Unit tests link the cores without their mains, and the client library. One of them counts allocations.
UNIT_WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
UNIT = $(wildcard tests/unit/*.c) $(CORES) $(DOOR) client/tim3ctl_csv.c client/tim3ctl_draw.c
$(BUILD)/bin/tim3-unit: $(call obj,$(UNIT)) $(BUILD)/libtim3client.a $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) $(UNIT_WRAP) -o $@ $^ $(LIBS) $(shell pkg-config --libs check)

# Crash tests: a library that records what a store does to its file, a workload, and the power that fails.
CRASH = $(BUILD)/bin/tim3-crash-record.so $(BUILD)/bin/tim3-crash-workload $(BUILD)/bin/tim3-crash-images
CRASH_PARTS = tests/crash/workload.c tests/crash/log.c tests/unit/seeded.c
$(BUILD)/bin/tim3-crash-record.so: tests/crash/record.c tests/crash/log.h
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -fPIC -shared -o $@ $<

$(BUILD)/bin/tim3-crash-workload: $(call obj,tests/crash/crash_workload.c $(CRASH_PARTS)) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bin/tim3-crash-images: $(call obj,tests/crash/crash_images.c tests/crash/disk.c tests/crash/recovery.c \
                                           $(CRASH_PARTS)) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Fuzz targets: with libFuzzer, or (replay) with a main that runs files and seeded mutations. See tests/fuzz/fuzz.h.
FUZZ = $(filter-out tests/fuzz/libfuzzer.c tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)) $(CORES) \
       tests/unit/memory_store.c tests/unit/seeded.c tests/unit/deadlines.c tests/unit/plain.c client/tim3ctl_options.c client/tim3ctl_errors.c \
       client/tim3ctl_json.c client/tim3ctl_csv.c
FUZZ_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all
$(BUILD)/bin/tim3-fuzz-replay: $(call obj,tests/fuzz/replay.c $(FUZZ)) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bin/tim3-fuzz: $(call obj,tests/fuzz/libfuzzer.c $(FUZZ)) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: fuzz fuzz-replay
fuzz-replay: $(BUILD)/bin/tim3-fuzz-replay

fuzz: fuzz-replay ## fuzz each target for TIME seconds (60), or those in TARGETS, with clang's libFuzzer
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang SAN= CFLAGS='-O1 -g $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link' \
	    LDFLAGS='$(FUZZ_FLAGS) -fsanitize=fuzzer' $(BUILD)/fuzz/bin/tim3-fuzz
	tests/fuzz/run $(BUILD) $(or $(TIME),60) $(TARGETS)

# The simulator, and the simulator with a planted bug: only the file that has it is compiled anew.
SIM_OBJECTS = $(call obj,$(wildcard tests/sim/*.c) tests/unit/runs.c tests/unit/deadlines.c $(CORES))
CANARIES    = $(shell awk '/^    C /{gsub(/[^0-9]/,"",$$2); print $$2}' common/base/canary.h)
canary      = $(1:%=$(BUILD)/bin/tim3-sim-canary-%)
$(BUILD)/bin/tim3-sim: $(SIM_OBJECTS) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bin/tim3-sim-canary-%: $(SIM_OBJECTS) $(BUILD)/libtim3.a common/base/canary.h
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@file=$$(grep -l 'TIM3_CANARY_IS ($*)' */*.c common/*/*.c) && mkdir -p $(BUILD)/sim && \
	    $(CC) $(ALL_CFLAGS) -DTIM3_CANARY=$* -c $$file -o $(BUILD)/sim/canary-$*.o && \
	    $(CC) $(ALL_LDFLAGS) -o $@ $(BUILD)/sim/canary-$*.o \
	        $$(echo $(SIM_OBJECTS) | tr ' ' '\n' | grep -v "/obj/$${file%.c}.o$$") $(BUILD)/libtim3.a $(LIBS)

# A client tool whose cores have a planted bug, to show that replay finds where they decide otherwise.
CTL_OBJECTS = $(call obj,$(CTL) $(CORES)) $(BUILD)/libtim3client.a
$(BUILD)/bin/tim3ctl-canary-%: $(CTL_OBJECTS) $(BUILD)/libtim3.a common/base/canary.h
	@echo '  LD   $@'
	@file=$$(grep -l 'TIM3_CANARY_IS ($*)' */*.c common/*/*.c) && mkdir -p $(BUILD)/replay && \
	    $(CC) $(ALL_CFLAGS) -DTIM3_CANARY=$* -c $$file -o $(BUILD)/replay/canary-$*.o && \
	    $(CC) $(ALL_LDFLAGS) -o $@ $(BUILD)/replay/canary-$*.o \
	        $$(echo $(CTL_OBJECTS) | tr ' ' '\n' | grep -v "/obj/$${file%.c}.o$$") $(BUILD)/libtim3.a $(LIBS)

.PHONY: sim sim-tools canaries
sim-tools: $(BUILD)/bin/tim3-sim $(call canary,1 7 16)

sim: $(BUILD)/bin/tim3-sim ## simulate SEEDS seeds (1000) from FROM on, or SEED alone, with its trace
	$< $(if $(SEED),--seed $(SEED) --verbose,--seeds $(or $(SEEDS),1000) --from $(or $(FROM),1))

canaries: $(call canary,$(CANARIES)) ## hunt planted bugs with the simulator
	tests/sim/canaries $(BUILD)

# What the table in memory costs, beside LMDB.
$(BUILD)/bin/tim3-bench-memtable: $(call obj,tests/bench/memtable.c tests/unit/seeded.c) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# What the agents' own work costs, with no sockets.
$(BUILD)/bin/tim3-bench-hosts: $(call obj,tests/bench/hosts.c tests/unit/plain.c $(CORES)) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -Wl,--wrap=tim3_journal_append -o $@ $^ $(LIBS)

# Breaks stores on purpose, for the tests of fsck.
$(BUILD)/bin/tim3-poke: $(call obj,tests/tools/poke.c client/tim3ctl_json.c client/tim3ctl_print.c) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Benchmarks: programs that give PostgreSQL and Redis the same work, and one that measures the machine.
BENCH_DRAW  = $(call obj,tests/bench/load.c client/tim3ctl_draw.c client/tim3client_ids.c) $(BUILD)/libtim3.a
.SECONDARY: $(BENCH_DRAW)
BENCH_TOOLS = $(addprefix $(BUILD)/bin/bench-,postgres redis limits)
BENCH_FLAGS = $(ALL_CFLAGS) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags libpq hiredis 2>/dev/null))
$(BUILD)/bin/bench-%: tests/bench/%.c $(BENCH_DRAW) tests/bench/load.h
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(BENCH_FLAGS) $(ALL_LDFLAGS) -o $@ $< $(BENCH_DRAW) $(LIBS) $(bench_libs)
$(BUILD)/bin/bench-postgres: bench_libs = $(shell pkg-config --libs libpq)
$(BUILD)/bin/bench-redis: bench_libs = $(shell pkg-config --libs hiredis)

.PHONY: bench bench-tools bench-docs
bench-tools: $(BENCH_TOOLS)

# What can be set: SECTIONS SYSTEMS ACCOUNTS ZIPF ROUNDS TIME RECOVERY FULL DIR JSON NOTE; see tests/bench/run.py.
export SECTIONS SYSTEMS ACCOUNTS ZIPF ROUNDS RECOVERY FULL DIR JSON NOTE
bench: ## measure beside PostgreSQL and Redis: SECTIONS="mints recovery scale" ACCOUNTS=100000 FULL=1 JSON=FILE
	@scripts/install-deps --bench
	@$(MAKE) --no-print-directory all bench-tools
	@TIM3_BIN=$(abspath $(BUILD)/bin) tests/bench/run.py $(if $(TIME),--time $(TIME))

bench-docs: ## write the results in JSON=FILE into docs/PERFORMANCE.md, and the plot
	@tests/bench/report.py $(JSON) --docs

# Chaos: a library that lies to agents about the time.
$(BUILD)/bin/tim3-chaos-clock.so: tests/chaos/clock.c
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -fPIC -shared -o $@ $<

.PHONY: chaos chaos-tools
chaos-tools: $(BUILD)/bin/tim3-chaos-clock.so $(BUILD)/bin/tim3-poke

chaos: all chaos-tools ## real processes under every fault at once, for TIME seconds (600), from SEED (1)
	TIM3_BIN=$(abspath $(BUILD)/bin) /usr/bin/python3 tests/chaos/chaos.py --verbose --seconds $(or $(TIME),600) \
	    --seed $(or $(SEED),1) --report $(BUILD)/chaos-report.json

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# What is installed, and where, is in scripts/install.
PREFIX ?= /usr/local
INSTALL = BUILD='$(BUILD)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' VERSION='$(VERSION)' \
          PROGRAMS='$(notdir $(AGENTS)) tim3ctl' scripts/install

$(BUILD)/tim3ctl.1: $(BUILD)/bin/tim3ctl
	@$< --man > $@

.PHONY: install uninstall
install: all $(BUILD)/tim3ctl.1 ## put the programs, the client library and the documents under PREFIX (/usr/local)
	@$(INSTALL) install

uninstall: ## take exactly that away again
	@$(INSTALL) uninstall

.PHONY: deps check matrix unit memcheck crash-tools crash-images demo docs format lint clean help

deps: ## install what is missing to build, run and test (Debian packages)
	@scripts/install-deps

check: deps ## build and run all tests; the last line counts them
	@$(MAKE) --no-print-directory all $(BUILD)/bin/tim3-unit $(BUILD)/bin/tim3-poke crash-tools sim-tools \
	    chaos-tools fuzz-replay $(BUILD)/bin/tim3ctl-canary-17
	@$(if $(SAN),CK_FORK=no )tests/run $(BUILD)

matrix: deps ## the integration tests on both critical paths and both stores; ONLY="test_kill merged/lmdb" for some
	@$(MAKE) --no-print-directory all $(BUILD)/bin/tim3-poke $(BUILD)/bin/tim3ctl-canary-17
	@TIM3_BIN=$(abspath $(BUILD)/bin) tests/integration/matrix.py $(ONLY)

unit: $(BUILD)/bin/tim3-unit ## run the unit tests alone
	$(BUILD)/bin/tim3-unit

memcheck: $(BUILD)/bin/tim3-unit ## run the unit tests under valgrind
	TIM3_SEEDS=$${TIM3_SEEDS:-10} CK_FORK=no valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
	    --show-leak-kinds=definite --error-exitcode=9 $(BUILD)/bin/tim3-unit

crash-tools: $(CRASH)

crash-images: crash-tools ## fail the power in COUNT ways (5000) and open what is left
	tests/crash/check.sh $(BUILD) $(or $(COUNT),5000) 120

demo: deps ## start everything in a temporary folder, work, kill agents, audit, stop
	@$(MAKE) --no-print-directory all
	@TIM3_BIN=$(abspath $(BUILD)/bin) scripts/demo

docs: all ## write the generated documents anew: docs/PROTOCOL.md and docs/CONFIG.md
	$(BUILD)/bin/tim3-protocol-doc > docs/PROTOCOL.md
	(cat scripts/config/CONFIG.head.md; $(BUILD)/bin/tim3-router --list-keys) > docs/CONFIG.md

SOURCES = $(wildcard */*.[ch] */*/*.[ch])
format: ## lay the sources out as .clang-format says
	clang-format -i $(filter-out common/wire/messages.h,$(SOURCES))

# What cppcheck cannot see: that TIM3_ASSERT does not return, and other libraries' loop macros.
LINT_BLIND = --suppress=ctuuninitvar --suppress=uninitvar --suppress=legacyUninitvar --suppress=nullPointerRedundantCheck --suppress=ctunullpointer \
    '-DHASH_ITER(hh,head,el,tmp)=while(el)' '-Djson_object_foreach(o,k,v)=while(v)' '-Djson_array_foreach(a,i,v)=while(v)'
lint: ## look for mistakes with cppcheck
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
	    --suppress=missingInclude $(LINT_BLIND) -I common -I client $(wildcard $(ROLES:%=%/*.c)) $(COMMON) $(wildcard client/*.c)

clean: ## remove everything made
	rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14
