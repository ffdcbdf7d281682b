/*
 * What every fuzz target shares; see fuzz.h.
 *
 * fuzz/build links each target with --wrap for the functions below, so that
 * neither the daemon nor its libraries in this program get at the real ones
 * while an input runs.  Between inputs, when the engine runs, they are real.
 */
#include <sys/time.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fuzz.h"

#define EPOCH		1600000000	/* 2020-09-13, long after any default */

#define REAL(type, name, args)						\
	type	 __real_##name args;					\
	type	 __wrap_##name args

int	 __real_LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int	 __wrap_LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static volatile int	 running;	/* an input is being run */
static volatile int	 guarding;
static jmp_buf		 back;
static char		 reason[512];
static uint64_t		 seed;
static time_t		 now;
static long		 ticks;		/* microseconds into this second */

static void	 text(const char *, va_list)
		    __attribute__((__format__(printf, 1, 0)));
static void	 give_up(void) __attribute__((__noreturn__));

void
fuzz_fail(const char *fmt, ...)
{
	va_list ap;

	running = 0;
	fflush(stdout);
	fputs("fuzz: FINDING: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void
fuzz_reset(void)
{
	errno = 0;
	seed = 0x5eed;
	now = EPOCH;
	ticks = 0;
}

void
fuzz_sleep(unsigned int seconds)
{
	now += seconds;
}

int
fuzz_guard(void (*fn)(void *), void *arg)
{
	if (guarding)
		fuzz_fail("a guard within a guard");
	reason[0] = '\0';
	/* The one of BSD: it leaves the signal mask alone, and is quick. */
	if (_setjmp(back) != 0)
		return (1);
	guarding = 1;
	fn(arg);
	guarding = 0;
	return (0);
}

const char *
fuzz_fatal(void)
{
	return (reason);
}

/* The daemon's texts are formatted even though nobody reads them: that too can go wrong. */
static void
text(const char *fmt, va_list ap)
{
	if (fmt == NULL)
		reason[0] = '\0';
	else
		(void)vsnprintf(reason, sizeof(reason), fmt, ap);
}

static void
give_up(void)
{
	if (!guarding)
		fuzz_fail("the daemon gives up: %s", reason);
	guarding = 0;
	_longjmp(back, 1);
}

/* --- once, and for each input ------------------------------------------------ */

/*
 * libevent's poll backend starts at a random descriptor, epoll does not.  The
 * rest of the environment must not decide either.
 */
static void __attribute__((__constructor__))
set_up(void)
{
	(void)setenv("EVENT_NOPOLL", "1", 1);
	/* What is set and set back before it waits again need not be told the kernel. */
	(void)setenv("EVENT_EPOLL_USE_CHANGELIST", "1", 1);
	(void)setenv("TZ", "UTC0", 1);
	(void)signal(SIGPIPE, SIG_IGN);
	fuzz_reset();
}

int
__wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ret;

	fuzz_reset();
	running = 1;
	ret = __real_LLVMFuzzerTestOneInput(data, size);
	running = 0;
	return (ret);
}

void
fuzz_warm_up(const char *input)
{
	(void)__wrap_LLVMFuzzerTestOneInput((const uint8_t *)input,
	    strlen(input));
}

/*
 * Freed memory is kept back for a while, and where it was allocated is noted; by
 * default so much of both that half of the time goes there.  What the user says in
 * ASAN_OPTIONS comes after this.
 */
const char	*__asan_default_options(void);
const char	*__ubsan_default_options(void);

const char *
__asan_default_options(void)
{
	return ("quarantine_size_mb=4:malloc_context_size=8");
}

const char *
__ubsan_default_options(void)
{
	return ("print_stacktrace=1");
}

/* --- the ways to give up ------------------------------------------------------ */

void	 __wrap_fatal(const char *, ...);
void	 __wrap_fatalx(const char *, ...);
void	 __wrap_err(int, const char *, ...);
void	 __wrap_errx(int, const char *, ...);
void	 __wrap_errc(int, int, const char *, ...);
void	 __wrap_verr(int, const char *, va_list);
void	 __wrap_verrx(int, const char *, va_list);
REAL(void, exit, (int)) __attribute__((__noreturn__));
REAL(void, _exit, (int)) __attribute__((__noreturn__));

#define GIVE_UP(fmt) do {						\
	va_list ap;							\
									\
	va_start(ap, fmt);						\
	text(fmt, ap);							\
	va_end(ap);							\
	give_up();							\
} while (0)

void
__wrap_fatal(const char *fmt, ...)
{
	GIVE_UP(fmt);
}

void
__wrap_fatalx(const char *fmt, ...)
{
	GIVE_UP(fmt);
}

void
__wrap_err(int status, const char *fmt, ...)
{
	(void)status;
	GIVE_UP(fmt);
}

void
__wrap_errx(int status, const char *fmt, ...)
{
	(void)status;
	GIVE_UP(fmt);
}

void
__wrap_errc(int status, int code, const char *fmt, ...)
{
	(void)status;
	(void)code;
	GIVE_UP(fmt);
}

void
__wrap_verr(int status, const char *fmt, va_list ap)
{
	(void)status;
	text(fmt, ap);
	give_up();
}

void
__wrap_verrx(int status, const char *fmt, va_list ap)
{
	(void)status;
	text(fmt, ap);
	give_up();
}

void
__wrap_exit(int status)
{
	if (!running)
		__real_exit(status);
	(void)snprintf(reason, sizeof(reason), "exit");
	give_up();
}

void
__wrap__exit(int status)
{
	if (!running)
		__real__exit(status);
	(void)snprintf(reason, sizeof(reason), "exit");
	give_up();
}

/* --- the log -------------------------------------------------------------------- */

REAL(void, vsyslog, (int, const char *, va_list))
    __attribute__((__format__(printf, 2, 0)));
void	 __wrap_syslog(int, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

void
__wrap_vsyslog(int priority, const char *fmt, va_list ap)
{
	char line[2048];

	if (running)
		(void)vsnprintf(line, sizeof(line), fmt, ap);
	else
		__real_vsyslog(priority, fmt, ap);
}

void
__wrap_syslog(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	__wrap_vsyslog(priority, fmt, ap);
	va_end(ap);
}

/* --- time ------------------------------------------------------------------------- */

REAL(time_t, time, (time_t *));
REAL(int, gettimeofday, (struct timeval *, void *));
REAL(int, clock_gettime, (clockid_t, struct timespec *));

/* Each look at the clock is a microsecond later than the one before. */
static void
tick(void)
{
	if (++ticks == 1000000) {
		ticks = 0;
		now++;
	}
}

time_t
__wrap_time(time_t *t)
{
	if (!running)
		return (__real_time(t));
	if (t != NULL)
		*t = now;
	return (now);
}

int
__wrap_gettimeofday(struct timeval *tv, void *tz)
{
	if (!running)
		return (__real_gettimeofday(tv, tz));
	tick();
	tv->tv_sec = now;
	tv->tv_usec = ticks;
	return (0);
}

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	if (!running)
		return (__real_clock_gettime(id, ts));
	tick();
	ts->tv_sec = now;
	ts->tv_nsec = ticks * 1000;
	return (0);
}

/* --- random numbers ---------------------------------------------------------------- */

uint32_t __wrap_arc4random(void);
uint32_t __wrap_arc4random_uniform(uint32_t);
void	 __wrap_arc4random_buf(void *, size_t);

/* splitmix64, by Sebastiano Vigna, in the public domain. */
uint32_t
__wrap_arc4random(void)
{
	uint64_t z;

	z = (seed += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return ((z ^ (z >> 31)) >> 32);
}

uint32_t
__wrap_arc4random_uniform(uint32_t bound)
{
	return (bound < 2 ? 0 : __wrap_arc4random() % bound);
}

void
__wrap_arc4random_buf(void *buf, size_t len)
{
	uint8_t *p;

	for (p = buf; len > 0; len--)
		*p++ = __wrap_arc4random();
}

/* --- the cursor ---------------------------------------------------------------------- */

void
fuzz_in(struct fuzz_in *in, const uint8_t *data, size_t size)
{
	in->p = data;
	in->left = size;
}

uint8_t
fuzz_u8(struct fuzz_in *in)
{
	if (in->left == 0)
		return (0);
	in->left--;
	return (*in->p++);
}

uint16_t
fuzz_u16(struct fuzz_in *in)
{
	uint16_t high;

	high = fuzz_u8(in);
	return (high << 8 | fuzz_u8(in));
}

uint32_t
fuzz_u32(struct fuzz_in *in)
{
	uint32_t high;

	high = fuzz_u16(in);
	return (high << 16 | fuzz_u16(in));
}

int
fuzz_line(struct fuzz_in *in, char *buf, size_t size)
{
	const uint8_t *end;
	size_t len, n;

	if (in->left == 0)
		return (0);
	end = memchr(in->p, '\n', in->left);
	len = end == NULL ? in->left : (size_t)(end - in->p);
	n = len < size ? len : size - 1;
	memcpy(buf, in->p, n);
	buf[n] = '\0';
	if (end != NULL)
		len++;
	in->p += len;
	in->left -= len;
	return (1);
}

const uint8_t *
fuzz_rest(struct fuzz_in *in, size_t *len)
{
	const uint8_t *p;

	p = in->p;
	*len = in->left;
	in->p += in->left;
	in->left = 0;
	return (p);
}
