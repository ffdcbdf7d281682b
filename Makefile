# GNU make.  "make help" says what there is; everything made lands in build/.

PREFIX   = /usr/local
BINDIR   = $(PREFIX)/bin
MANDIR   = $(PREFIX)/share/man

TARGET   = 7.9.0p0,distro
RELEASES = 7.9.0p0,7.6.0p1,6.8.0p2
SCENARIOS = scenarios
JOBS     = $(shell nproc)
# Most tests wait more than they work; the longest are not to be the last.
WORKERS  = $(shell expr 2 '*' $(JOBS))

# SAN=1 builds and uses a driver with sanitizers; it does not disturb the other.
ifdef SAN
O        = build/san
SANFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	   -fno-omit-frame-pointer
else
O        = build
endif

# V=1 shows the compiler's command lines.
ifndef V
Q        = @
endif

RESULTS  = build/results
DRIVER   = $(O)/smtpdtest
PYTHON   = /usr/bin/python3

CFLAGS   = -g -O2
WERROR   = -Werror
WARN     = -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes \
	   -Wmissing-prototypes -Wold-style-definition -Wwrite-strings \
	   -Wpointer-arith -Wformat-security -Wvla
# libbsd has sys/tree.h, which wants __unused from a BSD's sys/cdefs.h.
DEFS     = -D_GNU_SOURCE -D'__unused=__attribute__((__unused__))'
ALLFLAGS = -std=c11 $(DEFS) -iquote harness $(CFLAGS) $(SANFLAGS) $(WARN)
LIBS     = libevent libevent_openssl openssl libpcre2-8 jansson libbsd-overlay

SRCS     = $(wildcard harness/*.c)
TESTSRCS = $(wildcard harness/tests/test_*.c)
OBJS     = $(SRCS:harness/%.c=$(O)/obj/%.o) $(O)/obj/heap_so.o \
	   $(O)/obj/relay_bin.o
TESTOBJS = $(TESTSRCS:harness/%.c=$(O)/obj/%.o)
TESTS    = $(TESTSRCS:harness/%.c=$(O)/%)
MANPAGES = $(wildcard harness/*.[1-9])

all: $(DRIVER)

help:
	@echo 'make           build the driver, $(DRIVER)'
	@echo 'make run       run the scenarios [TARGET=a,b] [SCENARIOS=path...] [JOBS=n] [STRICT=1]'
	@echo 'make check     unit tests, linters, then everything under pytest'
	@echo 'make bugs      which of the daemon'"'"'s past bugs are caught [ONLY=id,id] [TARGET=a,b] [SEEDS=5]'
	@echo 'make fuzz      fuzz one target FUZZ=name [TARGET=7.9.0p0] [TIME=60] [ENGINE=libfuzzer|afl]'
	@echo 'make fuzz-bench  how fast the fuzz targets are beside an empty one'
	@echo 'make fuzz-bugs   how long they take to find the bugs put back [ONLY=ID,...] [RUNS=5] [TIME=120]'
	@echo 'make night     fuzz all targets, then build/report/night.html [HOURS=8] [TARGET=7.9.0p0]'
	@echo 'make coverage  what the fuzz corpora reach, against fuzz/coverage.floor [RAISE=1]'
	@echo 'make kill      do the kill scripts kill what has the bug, and nothing else? [KILL_RUNS=10]'
	@echo 'make servers   where Postfix, Exim and aiosmtpd deviate, and OpenSMTPD [TARGET=a,b]'
	@echo 'make leak      does the daemon grow session by session? [TARGET=a,b] [BASE=target to compare with]'
	@echo 'make bench     measure'
	@echo 'make latency   how long clients wait for each reply [TARGET=a,b]'
	@echo 'make report    build/report/index.html from what is in build/results [COMPARE=report.json]'
	@echo 'make man       check the man pages and format them into build/man/'
	@echo 'make install   into $$(DESTDIR)$$(PREFIX), $(PREFIX) by default'
	@echo 'make clean     remove all but the targets, which take long to build'
	@echo 'make distclean remove build/'
	@echo 'SLOW=1         with run or check: also what takes long, such as the real rspamd'
	@echo 'SAN=1          with any of these: a driver with ASan and UBSan'
	@echo 'V=1            show the commands of the compiler'
	@echo 'Targets: the releases "ci/target --list" prints, distro, src:DIR'

# --- set-up -----------------------------------------------------------------

# run, check, bugs and bench install what is missing.  A plain "make" only says so:
# building one program should not change the machine.  ci/deps finds out what
# there is in an instant, so it is asked each time rather than trusting a stamp.
ifneq ($(filter check,$(MAKECMDGOALS)),)
DEPS = deps-all
else ifneq ($(filter bugs kill leak fuzz fuzz-% coverage night,$(MAKECMDGOALS)),)
DEPS = deps-all
else ifneq ($(filter run bench servers latency report,$(MAKECMDGOALS)),)
DEPS = deps-run
endif

deps-%:
	@ci/deps $*

certs: | $(DEPS)
	@fixtures/certs/make-certs build/certs

# --- the driver ---------------------------------------------------------------

# What pkg-config says is kept in a file that the compiler reads, so that it is
# asked once and not before the libraries are installed.
$(O)/pkg.%: Makefile | $(DEPS)
	@mkdir -p $(@D)
	@pkg-config --print-errors --$* $(LIBS) >$@.new || \
	    { echo 'the libraries of the driver are missing: "ci/deps run" installs them' >&2; exit 2; }
	@mv $@.new $@

$(DRIVER): $(OBJS) $(O)/pkg.libs
	@echo 'ld $@'
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $(OBJS) @$(O)/pkg.libs -lm

$(O)/obj/%.o: harness/%.c $(O)/pkg.cflags Makefile
	@mkdir -p $(@D)
	@echo 'cc $<'
	$(Q)$(CC) $(ALLFLAGS) @$(O)/pkg.cflags -MMD -MP -c -o $@ $<

# What counts the daemon's heap is loaded into it, and comes with the driver.
$(O)/heap.so: harness/preload/heap.c harness/heap.h Makefile
	@mkdir -p $(@D)
	@echo 'cc $<'
	$(Q)$(CC) -std=c11 $(DEFS) -iquote harness -g -O2 -fno-builtin -fPIC \
	    -shared $(WARN) -o $@ $<

$(O)/obj/heap_so.o: $(O)/heap.so
	@mkdir -p $(@D)
	$(Q)cd $(O) && $(LD) -r -b binary -z noexecstack -o obj/heap_so.o heap.so

# What the daemon starts as a filter or table has to start in a chroot, too.
$(O)/relay: harness/inside/relay.c harness/relay.h Makefile
	@mkdir -p $(@D)
	@echo 'cc $<'
	$(Q)$(CC) -std=c11 $(DEFS) -iquote harness -O2 -static -s $(WARN) -o $@ $<

$(O)/obj/relay_bin.o: $(O)/relay
	@mkdir -p $(@D)
	$(Q)cd $(O) && $(LD) -r -b binary -z noexecstack -o obj/relay_bin.o relay

# Its runs are tossed coins, and are counted instead of the time they take.
$(O)/tests/test_shrink: LDFLAGS += -Wl,--wrap=pool_run,--wrap=tell,--wrap=over

$(TESTS): $(O)/tests/%: $(O)/obj/tests/%.o $(OBJS) $(O)/pkg.libs
	@mkdir -p $(@D)
	@echo 'ld $@'
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $< $(filter-out %/main.o,$(OBJS)) \
	    @$(O)/pkg.libs -lm -lcmocka

-include $(OBJS:.o=.d) $(TESTOBJS:.o=.d)

# --- running ------------------------------------------------------------------

# Real filters that cannot be had are said, and their scenarios skipped.
# SLOW=1 runs what takes long as well.
filters: | $(DEPS)
	@ci/filters
ifdef SLOW
	@ci/filters rspamd || [ $$? -eq 3 ]
export SMTPDTEST_SLOW = 1
endif

run: $(DRIVER) certs filters
	@mkdir -p $(RESULTS)
	@targets=$$(ci/target --usable '$(TARGET)') || exit; \
	    $(DRIVER) run $(if $(filter file,$(origin JOBS)),,-j '$(JOBS)') $(if $(STRICT),--strict) $$(printf -- '--target %s ' $$targets) \
	    --junit $(RESULTS)/junit.xml --tap $(RESULTS)/run.tap \
	    --json $(RESULTS)/run.json $(SCENARIOS)

bench: $(DRIVER) certs filters
	ci/bench
	ci/bench-drive

latency: $(DRIVER) certs
	@targets=$$(ci/target --usable '$(if $(filter file,$(origin TARGET)),7.9.0p0,$(TARGET))') || exit; \
	    SMTPDTEST=$(CURDIR)/$(DRIVER) ci/latency $$targets

# From stored results only: nothing is run.
report: | $(DEPS)
	@ci/report $(if $(COMPARE),--compare '$(COMPARE)')

# An interrupted one goes on where it was.  Without TARGET: all versions.
bugs: $(DRIVER) certs filters
	@SMTPDTEST=$(CURDIR)/$(DRIVER) ci/bugs $(if $(ONLY),--only '$(ONLY)') \
	    $(if $(SEEDS),--seeds '$(SEEDS)') \
	    $(if $(filter file,$(origin TARGET)),,--target '$(TARGET)')

# The client side of the catalogue on Postfix, Exim and aiosmtpd, as root.
servers: $(DRIVER) certs
	@SMTPDTEST=$(CURDIR)/$(DRIVER) ci/servers --target \
	    '$(if $(filter file,$(origin TARGET)),$(RELEASES),$(TARGET))'

kill: $(DRIVER) certs
	@SMTPDTEST=$(CURDIR)/$(DRIVER) ci/kill $(if $(KILL_RUNS),-n '$(KILL_RUNS)')

# pytest comes last: what it says at the end is the verdict.  Its status would
# be lost in the pipe, hence the file.
check: unit cppcheck lint-man bug-files certs filters
	@targets=$$(ci/target --usable '$(TARGET)') || exit; \
	    export TARGET=$$(echo $$targets | tr ' ' ,) SMTPDTEST=$(CURDIR)/$(DRIVER); \
	    { $(PYTHON) -B -m pytest -n $(WORKERS) -p no:cacheprovider --timeout 900 \
	    --durations 20 --junitxml=$(RESULTS)/pytest.xml harness/tests scenarios; \
	    echo $$? >$(RESULTS)/pytest.status; } 2>&1 | tee $(RESULTS)/pytest.log; \
	    exit $$(cat $(RESULTS)/pytest.status)

leak: $(DRIVER) certs filters
	@SMTPDTEST=$(CURDIR)/$(DRIVER) ci/leak $(if $(BASE),--base '$(BASE)') \
	    $(if $(filter file,$(origin TARGET)),,--target '$(TARGET)')

unit: $(DRIVER) $(TESTS)
	@mkdir -p $(RESULTS)
	@[ -n '$(TESTS)' ] || { echo 'unit: there is no harness/tests/test_*.c' >&2; exit 1; }
	@for t in $(TESTS); do \
	    log=$(RESULTS)/$${t##*/}.log; \
	    timeout 300 $$t >$$log 2>&1 || \
		{ st=$$?; cat $$log; echo "unit: $$t failed ($$st)" >&2; exit 1; }; \
	    echo "unit: $${t##*/}: $$(grep -c '\[       OK' $$log) passed"; \
	done

# cppcheck reads no system headers, yet has to know the macros of these.  Of what
# it says, left out are calls "not threadsafe" (nothing here has threads) and
# partly filled structs passed on, which a key for RB_FIND always is.
SYSINC   = /usr/include
CPPCHECK = cppcheck --quiet --error-exitcode=1 --std=c11 \
	   --library=posix \
	   --enable=warning,performance,portability --inline-suppr \
	   --suppress=readdirCalled --suppress=getpwnamCalled \
	   --suppress=getpwuidCalled --suppress=ctuuninitvar \
	   --include=$(SYSINC)/bsd/sys/queue.h --include=$(SYSINC)/bsd/sys/tree.h \
	   --include=$(SYSINC)/jansson.h -D_GNU_SOURCE -D__unused= -Iharness

# Its cache does not know which options it was made with.
build/cppcheck: Makefile
	@rm -rf $@
	@mkdir -p $@

cppcheck: build/cppcheck | $(DEPS)
	@mkdir -p $(RESULTS)
	@$(CPPCHECK) --cppcheck-build-dir=build/cppcheck -j $(JOBS) harness \
	    2>$(RESULTS)/cppcheck.log || { cat $(RESULTS)/cppcheck.log; exit 1; }
	@echo 'cppcheck: clean'

# Is each bug's file in order, and does its edit fit the sources that are here?
bug-files: | $(DEPS)
	@ci/put-back --check

# A reference to a manual this machine lacks, such as smtpd(8), is not a fault.
lint-man: | $(DEPS)
	@mkdir -p $(RESULTS)
	@[ -n '$(MANPAGES)' ] || { echo 'lint-man: there are no man pages' >&2; exit 1; }
	@mandoc -Tlint $(MANPAGES) >$(RESULTS)/mandoc.all || :
	@! grep -v 'referenced manual not found' $(RESULTS)/mandoc.all
	@echo 'mandoc: clean'

# --- fuzzing ------------------------------------------------------------------

# The daemon to fuzz is one of those with a source; fuzz/build says what else.
FUZZTARGET = $(if $(filter file,$(origin TARGET)),7.9.0p0,$(TARGET))

fuzz-targets: | $(DEPS)
	@fuzz/build --target '$(FUZZTARGET)' $(if $(ENGINE),--engine '$(ENGINE)') $(FUZZ)

fuzz: | $(DEPS)
	@[ -n '$(FUZZ)' ] || { echo 'make fuzz FUZZ=NAME, where NAME is one of:' \
	    $$(fuzz/build --list --target '$(FUZZTARGET)') >&2; exit 2; }
	@ci/fuzz --target '$(FUZZTARGET)' $(if $(TIME),--time '$(TIME)') \
	    $(if $(ENGINE),--engine '$(ENGINE)') '$(FUZZ)'

coverage: | $(DEPS)
	@ci/coverage --target '$(FUZZTARGET)' $(if $(RAISE),--raise) $(FUZZ)

# An interrupted one goes on with the hours that were left.
night: | $(DEPS)
	@ci/night --target '$(FUZZTARGET)' $(if $(HOURS),--hours '$(HOURS)') \
	    $(if $(filter file,$(origin JOBS)),,--jobs '$(JOBS)') $(FUZZ)

fuzz-bench: | $(DEPS)
	@ci/fuzz-bench --target '$(FUZZTARGET)' $(FUZZ)

fuzz-bugs: | $(DEPS)
	@ci/fuzz-bugs $(if $(ONLY),--only '$(ONLY)') $(if $(RUNS),--runs '$(RUNS)') \
	    $(if $(TIME),--time '$(TIME)') $(if $(filter file,$(origin TARGET)),,--target '$(TARGET)')

.PHONY: fuzz fuzz-targets fuzz-bench fuzz-bugs coverage night

# --- the rest -----------------------------------------------------------------

man: lint-man
	@mkdir -p build/man
	@for m in $(MANPAGES); do \
	    mandoc -Tascii -Owidth=80 $$m | sed 's/.\x08//g' >build/man/$${m##*/}.txt && \
	    mandoc -Thtml $$m >build/man/$${m##*/}.html || exit 1; done
	@ls build/man/*

install: $(DRIVER)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5
	install -m 755 $(DRIVER) $(DESTDIR)$(BINDIR)/smtpdtest
	install -m 644 harness/smtpdtest.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 harness/smtpdtest.5 harness/smtpdtest-profile.5 \
	    $(DESTDIR)$(MANDIR)/man5/

clean:
	rm -rf build/obj build/tests build/san build/smtpdtest build/relay build/heap.so build/pkg.* \
	    build/cppcheck build/certs build/man build/results build/report \
	    build/fuzz

distclean:
	rm -rf build

.PHONY: all help certs filters run bugs servers kill leak bench latency report check unit cppcheck lint-man bug-files man install clean distclean
.SECONDARY: $(OBJS) $(TESTOBJS) $(O)/pkg.cflags $(O)/pkg.libs
.DELETE_ON_ERROR:
