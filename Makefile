# TIM3's one Makefile. `make help` lists the targets.
#
#   CC=clang            another compiler
#   SAN=address         or undefined, thread: build and test under a sanitizer, in a build folder of its own
#   BUILD=folder        where everything made goes

SAN     ?=
BUILD   ?= build$(if $(SAN),/san-$(SAN))$(if $(filter clang,$(CC)),/clang)
CFLAGS  ?= -O2 -g
PKGS     = libzmq libczmq msgpack libsodium libxxhash lmdb jansson libedit
WARN     = -Wall -Wextra -Wshadow -Wconversion -Werror
VERSION := $(shell cat VERSION)

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fno-omit-frame-pointer -I common -I client \
             -DTIM3_VERSION='"$(VERSION)"' $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
LIBS = -lczmq -lzmq -lmsgpackc -lsodium -llmdb -lxxhash -ljansson -ledit -lpthread

ROLES   = router coordinator lock_manager token_manager state_manager mock_usda
AGENTS  = $(foreach r,$(ROLES),$(BUILD)/bin/tim3-$(subst _,-,$(r)))
COMMON  = $(wildcard common/*/*.c)
CLIENT  = $(filter-out client/tim3ctl%.c,$(wildcard client/*.c))
CTL     = $(wildcard client/tim3ctl*.c)
obj     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
CORES   = router/core.c router/registry.c router/event_log.c router/subscribers.c router/routes.c \
          coordinator/core.c lock_manager/core.c token_manager/core.c state_manager/core.c mock_usda/core.c

.PHONY: all
all: $(AGENTS) $(BUILD)/bin/tim3ctl $(BUILD)/bin/tim3-protocol-doc

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC   $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtim3.a: $(call obj,$(COMMON))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/libtim3client.a: $(call obj,$(CLIENT))
	@rm -f $@
	@$(AR) rcs $@ $^

define agent_rule
$(BUILD)/bin/tim3-$(subst _,-,$(1)): $(call obj,$(wildcard $(1)/*.c)) $(BUILD)/libtim3.a
	@mkdir -p $$(@D)
	@echo '  LD   $$@'
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach r,$(ROLES),$(eval $(call agent_rule,$(r))))

$(BUILD)/bin/tim3ctl: $(call obj,$(CTL)) $(BUILD)/libtim3client.a $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bin/tim3-protocol-doc: $(call obj,scripts/protocol_doc.c) $(BUILD)/libtim3.a
	@mkdir -p $(@D)
	@echo '  LD   $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
