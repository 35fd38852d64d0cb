# Aviary. `make help` lists what there is; docs/development.md tells what is behind it.
#
#   make                 build/aviary
#   make SAN=address,undefined   the same under sanitizers, in build-address,undefined/
#   make V=1             show the commands
#   make WERROR=1        warnings are errors (CI)
#   make demo            six acts with the real service; KEEP=1 leaves it running
#   make test            everything; test-unit, test-e2e a part of it
#   make crash           kill -9 at each change of the world in a rollout (half an hour)
#   make soak            10,000 rollouts in one process, and what it holds (half an hour); ROLLOUTS=N
#   make sanitize, tsan  the tests under ASan and UBSan, under TSan
#   make sim RUNS=N      random rollouts against the promises; SEED=N begins there
#   make mutants         faults put into the machine on purpose: the simulation must find each
#   make fuzz            looks for new inputs; TARGET=yaml one format only
#   make lint, format    what is wrong with form and layers; clang-format
#   make bench           figures beside what they are compared to
#   make bench-secrets   those of SOPS and age files alone
#   make bench-hosts     releases over SSH to 200 hosts, beside ansible and ssh
#   make install         binary, man pages, systemd unit; PREFIX=/usr/local DESTDIR=
#   make deps, deps-dev  the Debian packages that are missing
#   make man, clean      man pages in build/man; remove all builds

VERSION := 0.1.0
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3
CC      ?= cc
CFLAGS  ?= -O2 -g
SAN     ?=
BUILD   ?= build$(if $(SAN),-$(SAN))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

PACKAGES      := libgit2 libmicrohttpd libcurl libcjson libsodium libcrypto libssh2 yaml-0.1 zlib
PKG_CFLAGS    := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS      := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
CMOCKA_LIBS   := $(shell pkg-config --libs cmocka 2>/dev/null)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wvla -Walloca -Wcast-align \
	-Wno-format-nonliteral -Wno-missing-field-initializers
HARDENING := -fstack-protector-strong -fPIE -fno-strict-aliasing
ifeq ($(SAN),)
HARDENING += -D_FORTIFY_SOURCE=2
endif
all_cflags = -std=gnu17 -D_GNU_SOURCE -I. -I$(BUILD) $(WARNINGS) $(if $(WERROR),-Werror) $(HARDENING) \
	-DAVIARY_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
all_ldflags = -pie -Wl,-z,relro,-z,now $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))

FOLDERS := base git templates reconcile reconcile/secrets reconcile/drivers reconcile/checks server server/cli
sources := $(foreach folder,$(FOLDERS),$(wildcard $(folder)/*.c))
library := $(BUILD)/libaviary.a
objects := $(patsubst %.c,$(BUILD)/%.o,$(filter-out server/main.c,$(sources)))

# Text that the program carries: templates/*.{html,md,py,sh,yml} become byte arrays.
embedded := $(wildcard templates/*.md templates/*.py templates/*.yml templates/*.html templates/*.sh)
embedded_objects := $(patsubst %,$(BUILD)/%.o,$(embedded))

unit_tests  := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
test_lib    := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/lib/fuzz_driver.c,$(wildcard tests/lib/*.c)))
tools       := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))
fuzz_corpus := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# Objects of tests are kept as those of the program are.
.SECONDARY:

.PHONY: all
all: $(BUILD)/aviary

$(BUILD)/aviary: $(BUILD)/server/main.o $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(PKG_LIBS) -lpthread -lm

$(library): $(objects) $(embedded_objects)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

# embedded_<name> and embedded_<name>_len, name = file name with _ for what C does not take.
# Scripts without what only people need: they are sent with each connection.
$(embedded_objects): $(BUILD)/templates/%.o: templates/% Makefile
	$(call say,EMBED,$<)
	$(Q)mkdir -p $(@D)
	$(Q)name=embedded_$$(printf '%s' '$*' | tr -c 'a-zA-Z0-9' '_'); \
	{ printf 'extern const char %s[]; extern const unsigned long %s_len;\nconst char %s[] = {' $$name $$name $$name; \
	  $(if $(filter %.sh,$<),sed '/^\t*#/d; s/^\t*//; /^$$/d',cat) $< | od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g'; \
	  printf '0};\nconst unsigned long %s_len = sizeof(%s) - 1;\n' $$name $$name; } > $@.c
	$(Q)$(CC) $(all_cflags) -c -o $@ $@.c

# ---- tests ---------------------------------------------------------------------------------------
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(test_lib) $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $(filter-out $(library),$^) $(library) $(CMOCKA_LIBS) $(PKG_LIBS) -lz -lpthread -lm

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/lib/fuzz_driver.o $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(PKG_LIBS) -lpthread -lm

# The loop runs without its threads and clocks, see tests/sim/stand_ins.c; writers of records can be
# left out, see tests/sim/texts.c
comma := ,
sim_wraps := $(addprefix -Wl$(comma)--wrap=,client_record_to_yaml rollout_record_to_yaml \
	clock_mono_ms clock_wall_s randombytes_uniform inbox_new inbox_free inbox_post \
	git_thread_new git_thread_free git_thread_repo git_thread_look git_thread_append \
	git_thread_prune_tags renderer_new renderer_free workers_new workers_free workers_add hosts_new hosts_stop hosts_free \
	loop_read_instance loop_keep_instance loop_record rollout_step rollout_actions_clear \
	rollout_is_changed_by rollout_is_left_behind_by event_log_new)
$(BUILD)/tests/sim.parts/%.o: tests/sim/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

$(BUILD)/tests/sim: $(patsubst tests/sim/%.c,$(BUILD)/tests/sim.parts/%.o,$(wildcard tests/sim/*.c)) $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) $(sim_wraps) -o $@ $^ $(PKG_LIBS) -lpthread -lm

$(BUILD)/tests/%: $(BUILD)/tests/tools/%.o $(test_lib) $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $(filter-out $(library),$^) $(library) $(PKG_LIBS) -lz -lpthread -lm

.PHONY: tests-built sim mutants test test-unit test-e2e crash soak sanitize tsan lint format bench bench-secrets bench-hosts fuzz demo deps deps-dev install clean help man
tests-built: $(BUILD)/aviary $(unit_tests) $(tools) $(fuzz_corpus) $(BUILD)/tests/sim

test: deps
	$(Q)$(MAKE) --no-print-directory tests-built
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) unit fuzz sim e2e

test-unit: tests-built
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) unit fuzz sim

test-e2e: tests-built
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) e2e

crash: tests-built
	$(Q)AVIARY_CRASH=all AVIARY_BUILD=$(BUILD) AVIARY=$(abspath $(BUILD))/aviary $(PYTHON) -m pytest -q -s -p no:cacheprovider tests/e2e/test_crash.py

soak: tests-built
	$(Q)AVIARY_SOAK=$(or $(ROLLOUTS),10000) AVIARY_BUILD=$(BUILD) AVIARY=$(abspath $(BUILD))/aviary \
		$(PYTHON) -m pytest -q -s -p no:cacheprovider tests/e2e/test_soak.py

sanitize: deps
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined CFLAGS='-O1 -g' tests-built
	$(Q)$(PYTHON) tests/run.py --build build-address,undefined unit fuzz sim e2e

tsan: deps
	$(Q)$(MAKE) --no-print-directory SAN=thread CFLAGS='-O1 -g' tests-built
	$(Q)$(PYTHON) tests/run.py --build build-thread unit e2e

sim: $(BUILD)/tests/sim
	$(Q)$(BUILD)/tests/sim --runs $(or $(RUNS),200000) --seed $(or $(SEED),$$(date +%s%N))

mutants: $(BUILD)/tests/sim
	$(Q)SIM_COMPILE='$(CC) $(subst ','"'"',$(all_cflags))' \
		SIM_LINK='$(CC) $(all_ldflags) $(sim_wraps)' SIM_LIBS='$(PKG_LIBS) -lpthread -lm' \
		$(PYTHON) tests/sim/mutants.py --build $(BUILD) $(if $(RUNS),--runs $(RUNS))

fuzz:
	$(Q)tests/lib/deps.sh build fuzz
	$(Q)tests/fuzz/run.sh $(TARGET)

lint: deps-dev
	$(Q)tests/lint/run.sh

format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

bench: deps-dev all
	$(Q)$(MAKE) --no-print-directory tests-built
	$(Q)$(PYTHON) tests/bench/run.py --build $(BUILD)

# Of secrets alone, with `sops` and `age` where they are in PATH.
bench-secrets: deps all
	$(Q)$(PYTHON) tests/bench/run.py --build $(BUILD) secrets

# 200 sshd at once, with `ansible-playbook`, `ssh` and `rsync` where they are in PATH.
bench-hosts: deps
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tests/hosts_bench $(BUILD)/tests/checks_bench
	$(Q)$(PYTHON) tests/bench/run.py --build $(BUILD) --runs $(or $(RUNS),3) hosts probes

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(PYTHON) examples/demo.py --aviary $(BUILD)/aviary $(if $(KEEP),--keep)

# ---- packages ------------------------------------------------------------------------------------
deps:
	$(Q)tests/lib/deps.sh build test
deps-dev:
	$(Q)tests/lib/deps.sh build test dev

# ---- install -------------------------------------------------------------------------------------
man: $(BUILD)/aviary
	$(Q)tests/lib/man.sh $(BUILD)

install: all man
	install -D -m 0755 $(BUILD)/aviary $(DESTDIR)$(PREFIX)/bin/aviary
	install -D -m 0644 $(BUILD)/man/aviary.1 $(DESTDIR)$(PREFIX)/share/man/man1/aviary.1
	install -D -m 0644 $(BUILD)/man/aviary-secrets.1 $(DESTDIR)$(PREFIX)/share/man/man1/aviary-secrets.1
	install -D -m 0644 $(BUILD)/man/aviary.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/aviary.yaml.5
	install -D -m 0644 $(BUILD)/man/fleet.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/fleet.yaml.5
	install -D -m 0644 templates/aviary.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/aviary.conf
	mkdir -p $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|g' templates/aviary.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/aviary.service

clean:
	rm -rf build build-*

help:
	@sed -n 's/^#   //p' Makefile

-include $(patsubst %.o,%.d,$(objects)) $(BUILD)/server/main.d
-include $(wildcard $(BUILD)/tests/*/*.d)
