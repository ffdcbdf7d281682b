#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"
#include "util.h"

/*
 * Entering a sandbox is for good, so each test runs in a process of its own,
 * where assertions of cmocka would go astray: hence CHECK.
 */
#define CHECK(x)	do {						\
	if (!(x)) {							\
		fprintf(stderr, "%s:%d: %s (errno: %s)\n", __FILE__,	\
		    __LINE__, #x, strerror(errno));			\
		_exit(1);						\
	}								\
} while (0)

#define WAIT_US		120000000	/* slow machines: more is hung */

struct test {
	void		(*run)(struct sandbox *);
	int		  userns;
	void		(*before)(void);	/* entering */
};

static char	dir[] = "/tmp/test_sandbox.XXXXXX";	/* of the host */

static const char	*lower[] = { dir, NULL };
static int		 killer = -1;	/* a byte to it ends init */

static const struct sandbox_bind binds[] = {
	{ dir, "/mnt/ro", 0 },
	{ dir, "/mnt/rw", 1 },
};

static void
enter_and_run(const struct test *t)
{
	char			 spool[64], certs[64], msg[512];
	struct sandbox_spec	 spec = { .lower = lower, .spool = spool,
				     .certs = certs, .binds = binds,
				     .nbinds = nitems(binds),
				     .chroot = "/var/lib/x/empty",
				     .hostname = "mx.example.org",
				     .setid = "/usr/bin/of-target:root:"
				     "opensmtpq:2555 /usr/bin/none:root:root:"
				     "4555" };
	struct sandbox		*sb;

	spec.users = sandbox_users(&spec.nusers);
	spec.userns = t->userns;
	if (t->before != NULL)
		t->before();
	snprintf(spool, sizeof(spool), "%s/spool", dir);
	snprintf(certs, sizeof(certs), "%s/certs", dir);
	if ((sb = sandbox_enter(&spec, msg, sizeof(msg))) == NULL) {
		fprintf(stderr, "%s\n", msg);
		_exit(1);
	}
	t->run(sb);
	sandbox_close(sb);
	_exit(0);
}

static void
test_one(void **state)
{
	const struct test	*t = *state;
	char			 msg[512];
	pid_t			 pid;
	int			 status;

	if (sandbox_probe(msg, sizeof(msg)) == -1) {
		print_message("no sandbox here: %s\n", msg);
		skip();
	}
	pid = fork();
	assert_true(pid != -1);
	if (pid == 0)
		enter_and_run(t);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static struct sandbox_event
next_event(struct sandbox *sb)
{
	struct pollfd		 pfd = { sandbox_fd(sb), POLLIN, 0 };
	struct sandbox_event	 ev;

	while (!sandbox_event(sb, &ev))
		CHECK(poll(&pfd, 1, WAIT_US / 1000) == 1);
	CHECK(ev.what != SANDBOX_GONE);
	return ev;
}

/* The event of a process; what others did is not looked at. */
static struct sandbox_event
event_of(struct sandbox *sb, pid_t pid, enum sandbox_what what)
{
	struct sandbox_event	 ev;

	for (;;) {
		ev = next_event(sb);
		if (ev.pid == pid && ev.what == what)
			return ev;
		CHECK(ev.pid != pid);
		sandbox_event_free(&ev);
	}
}

static pid_t
start(struct sandbox *sb, int trace, int out, const char *const *argv)
{
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, out, 2 },
				     .trace = trace };
	pid_t			 pid;

	pid = sandbox_spawn(sb, &cmd);
	CHECK(pid > 1);
	return pid;
}

static pid_t
start_sh(struct sandbox *sb, int trace, int out, const char *script)
{
	const char	*argv[] = { "sh", "-c", script, NULL };

	return start(sb, trace, out, argv);
}

static pid_t
start_python(struct sandbox *sb, int out, const char *script)
{
	const char	*argv[] = { "/usr/bin/python3", "-c", script, NULL };

	return start(sb, 1, out, argv);
}

/* Run a script to its end and return its output, for the caller to free. */
static char *
output(struct sandbox *sb, const char *script, int *status)
{
	struct sandbox_event	 ev;
	struct buf		 b = { 0 };
	char			 tmp[1024];
	ssize_t			 n;
	pid_t			 pid;
	int			 fd[2];

	CHECK(pipe(fd) == 0);
	pid = start_sh(sb, 0, fd[1], script);
	close(fd[1]);
	buf_add(&b, NULL, 0);
	while ((n = read(fd[0], tmp, sizeof(tmp))) > 0)
		buf_add(&b, tmp, (size_t)n);
	close(fd[0]);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(ev.child);
	*status = ev.status;
	return b.data;
}

static void
check_output(struct sandbox *sb, const char *script, const char *expected)
{
	char	*got;
	int	 status;

	got = output(sb, script, &status);
	if (strcmp(got, expected) != 0)
		fprintf(stderr, "%s: got <%s>, not <%s>\n", script, got,
		    expected);
	CHECK(strcmp(got, expected) == 0);
	free(got);
}

/* The state letter of a process inside, '-' when there is none. */
static char
state_of(pid_t pid)
{
	char	 path[64], *text, *p, c = '-';

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if ((text = read_file(path, NULL, 4096)) == NULL)
		return '-';
	if ((p = strrchr(text, ')')) != NULL)
		c = p[2];
	free(text);
	return c;
}

static void
wait_state(pid_t pid, const char *letters)
{
	uint64_t	 end = now_us() + WAIT_US;

	while (strchr(letters, state_of(pid)) == NULL) {
		CHECK(now_us() < end);
		poll(NULL, 0, 2);
	}
}

static void
wait_line(int fd, const char *line)
{
	char	 tmp[64];
	size_t	 len = strlen(line);

	CHECK(len < sizeof(tmp));
	CHECK(read(fd, tmp, len) == (ssize_t)len);
	CHECK(memcmp(tmp, line, len) == 0);
}

/* --- the tests ----------------------------------------------------------- */

static void
do_spawn(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	char			*s;
	int			 status;

	check_output(sb, "echo $$ $(id -u) $HOME $(hostname) $PWD; exit 0",
	    "2 0 /root mx.example.org /\n");
	free(output(sb, "exit 7", &status));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	pid = start_sh(sb, 0, -1, "kill -TERM $$");
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFSIGNALED(ev.status) && WTERMSIG(ev.status) == SIGTERM);
	CHECK(strncmp(ev.title, "sh -c kill", 10) == 0);
	/* 3 is the directory that ls reads. */
	check_output(sb, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
	s = output(sb, "ulimit -c; grep SigBlk /proc/self/status", &status);
	CHECK(strcmp(s, "0\nSigBlk:\t0000000000000000\n") == 0);
	free(s);
}

static void
do_spawn_fails(struct sandbox *sb)
{
	const char		*argv[] = { "/no/such/thing", NULL };
	char			*huge = xcalloc(1, 300000);
	const char		*long_argv[] = { "echo", huge, NULL };
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	struct sandbox_event	 ev;

	for (cmd.trace = 0; cmd.trace < 2; cmd.trace++) {
		cmd.argv = argv;
		errno = 0;
		CHECK(sandbox_spawn(sb, &cmd) == -1 && errno == ENOENT);
	}
	memset(huge, 'x', 299999);
	cmd.argv = long_argv;
	CHECK(sandbox_spawn(sb, &cmd) == -1 && errno == E2BIG);
	free(huge);
	/* None of them is an event: the next one is this one's. */
	argv[0] = "true";
	ev = event_of(sb, start(sb, 0, -1, argv), SANDBOX_EXIT);
	CHECK(ev.status == 0);
	CHECK(!sandbox_event(sb, &ev));
}

static void
do_env(struct sandbox *sb)
{
	const char		*argv[] = { "/usr/bin/env", NULL };
	const char		*env[] = { "ONE=1", "HOME=/elsewhere", NULL };
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, -1, 2 },
				     .env = env, .uid = 1000 };
	char			 tmp[1024] = "";
	int			 fd[2];

	CHECK(pipe(fd) == 0);
	cmd.fd[1] = fd[1];
	CHECK(sandbox_spawn(sb, &cmd) > 1);
	close(fd[1]);
	CHECK(read(fd[0], tmp, sizeof(tmp) - 1) > 0);
	CHECK(strstr(tmp, "ONE=1\n") != NULL);
	CHECK(strstr(tmp, "HOME=/elsewhere\n") != NULL);
	CHECK(strstr(tmp, "USER=alice\n") != NULL);
	CHECK(strstr(tmp, "HOME=/home") == NULL);
	close(fd[0]);
}

static void
do_user(struct sandbox *sb)
{
	const char		*argv[] = { "sh", "-c", "id -u; id -G; "
				    "touch $HOME/x && stat -c %U $HOME/x; "
				    "grep CapEff /proc/self/status; "
				    "cat /etc/shadow 2>/dev/null || echo no",
				    NULL };
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, -1, 2 },
				     .uid = 1001 };
	char			 tmp[1024] = "";
	size_t			 len = 0;
	ssize_t			 n;
	int			 fd[2];

	CHECK(pipe(fd) == 0);
	cmd.fd[1] = fd[1];
	CHECK(sandbox_spawn(sb, &cmd) > 1);
	close(fd[1]);
	while ((n = read(fd[0], tmp + len, sizeof(tmp) - len - 1)) > 0)
		len += (size_t)n;
	CHECK(strcmp(tmp, "1001\n1001\nbob\nCapEff:\t0000000000000000\nno\n") ==
	    0);
	close(fd[0]);
}

static void
do_tty(struct sandbox *sb)
{
	const char		*argv[] = { "sh", "-c", "tty; echo x >/dev/tty",
				    NULL };
	struct sandbox_cmd	 cmd = { .argv = argv, .tty = 1 };
	struct sandbox_event	 ev;
	char			 name[64], tmp[128] = "";
	size_t			 len = 0;
	ssize_t			 n;
	int			 master, slave;

	CHECK((master = posix_openpt(O_RDWR | O_NOCTTY)) != -1);
	CHECK(unlockpt(master) == 0);
	CHECK(ptsname_r(master, name, sizeof(name)) == 0);
	CHECK((slave = open(name, O_RDWR | O_NOCTTY)) != -1);
	cmd.fd[0] = cmd.fd[1] = cmd.fd[2] = slave;
	ev = event_of(sb, sandbox_spawn(sb, &cmd), SANDBOX_EXIT);
	CHECK(ev.status == 0);
	close(slave);
	while ((n = read(master, tmp + len, sizeof(tmp) - len - 1)) > 0)
		len += (size_t)n;
	CHECK(strcmp(tmp, "/dev/pts/0\r\nx\r\n") == 0);
	close(master);
}

static void
do_root(struct sandbox *sb)
{
	struct stat	 st;
	int		 status;

	/* The runner is inside, too. */
	CHECK(stat("/usr/bin/of-target", &st) == 0);
	CHECK((st.st_mode & 07777) == 02555 && st.st_gid == 902);
	CHECK(stat("/usr/bin/env", &st) == 0);
	CHECK(access("/usr/bin/none", F_OK) == -1);
	CHECK(stat("/etc/smtpd/certs/a.key", &st) == 0);
	CHECK((st.st_mode & 07777) == 0600 && st.st_uid == 0);
	CHECK(stat("/etc/smtpd/certs/a.crt", &st) == 0);
	CHECK((st.st_mode & 07777) == 0644 && st.st_uid == 0);
	CHECK(stat("/etc/shadow", &st) == 0);
	CHECK((st.st_mode & 07777) == 0640 && st.st_uid == 0);
	CHECK(stat("/var/lib/x/empty", &st) == 0);
	CHECK((st.st_mode & 07777) == 0755 && st.st_uid == 0);
	CHECK(stat("/home/carol", &st) == 0);
	CHECK((st.st_mode & 07777) == 0755 && st.st_uid == 1002);
	CHECK(access(dir, F_OK) == -1);
	CHECK(getpwnam("vmail") != NULL && getpwnam("vmail")->pw_uid == 1006);
	check_output(sb, "ls /var/spool/smtpd /mnt/ro /mnt/rw | tr '\\n' ' '",
	    "/mnt/ro: certs spool usr  /mnt/rw: certs spool usr  "
	    "/var/spool/smtpd: of-host ");
	check_output(sb, "getent hosts localhost ip6-localhost; "
	    "getent passwd dave; ls -A /root /tmp /home/eve",
	    "::1             localhost ip6-localhost ip6-loopback\n"
	    "::1             localhost ip6-localhost ip6-loopback\n"
	    "dave:x:1003:1003:dave:/home/dave:/bin/sh\n"
	    "/home/eve:\n\n/root:\n\n/tmp:\n");
	free(output(sb, "echo x >/dev/null && head -c1 /dev/urandom && "
	    "test -e /dev/fd/0 && echo x >/dev/shm/x && echo x >/tmp/x",
	    &status));
	CHECK(status == 0);
}

/* What must not be writable, even for root, nor visible. */
static void
do_walls(struct sandbox *sb)
{
	static const char *const	 wrong[] = {
		"touch /usr/bin/x", "touch /usr/lib/x", "rm -f /usr/bin/env",
		"echo x >/mnt/ro/x", "rm /mnt/ro/usr/bin/of-target",
		"echo core >/proc/sys/kernel/core_pattern",
		"mount -t tmpfs x /mnt", "mount -o remount,rw /usr",
		"mknod /tmp/n b 254 0", "ls /sys/kernel", "umount /proc/sys",
		"hostname x",
	};
	size_t				 i;
	char				*script;
	int				 status;

	for (i = 0; i < nitems(wrong); i++) {
		script = xasprintf("{ %s; } 2>/dev/null", wrong[i]);
		free(output(sb, script, &status));
		free(script);
		if (status == 0)
			fprintf(stderr, "could %s\n", wrong[i]);
		CHECK(status != 0);
	}
	check_output(sb, "touch /mnt/rw/x && rm /mnt/rw/x && echo ok", "ok\n");
	/* No process of anybody else: init, and the shell that looks. */
	check_output(sb, "set -- /proc/[0-9]*; echo $# $1", "2 /proc/1\n");
}

static void
do_network(struct sandbox *sb)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET };
	struct sockaddr_storage	 ss = { 0 };
	socklen_t		 len = sizeof(sin);
	int			 s, c, ports[4];

	CHECK(sandbox_ports(ports, 4) == 0);
	CHECK((s = socket(AF_INET, SOCK_STREAM, 0)) != -1);
	sin.sin_port = htons(25);
	sin.sin_addr.s_addr = inet_addr("127.0.0.1");
	CHECK(bind(s, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	CHECK(sandbox_ports(ports, 4) == 0);
	CHECK(listen(s, 5) == 0);
	CHECK(sandbox_ports(ports, 4) == 1 && ports[0] == 25);
	memcpy(&ss, &sin, sizeof(sin));
	CHECK(sandbox_listens(&ss));
	((struct sockaddr_in *)&ss)->sin_addr.s_addr = inet_addr("127.0.0.2");
	CHECK(!sandbox_listens(&ss));
	CHECK(sandbox_backlog(25) == 0);
	CHECK((c = socket(AF_INET, SOCK_STREAM, 0)) != -1);
	CHECK(connect(c, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	CHECK(sandbox_backlog(25) == 1);
	CHECK(getsockname(c, (struct sockaddr *)&sin, &len) == 0);
	CHECK(ntohs(sin.sin_port) >= 16384);
	check_output(sb, "ls /proc/sys/net/ipv6/conf/lo >/dev/null && "
	    "grep -c '^00000000000000000000000000000001 01' /proc/net/if_inet6",
	    "1\n");
	close(c);
	close(s);
}

static void
do_orphan(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	char			*s;
	int			 status;

	s = output(sb, "sleep 600 >/dev/null 2>&1 & echo $!", &status);
	pid = (pid_t)atoi(s);
	free(s);
	CHECK(pid > 1 && status == 0);
	sandbox_kill(sb, pid, SIGKILL);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(!ev.child);
	errno = 0;
	CHECK(sandbox_kill(sb, pid, SIGTERM) == -1 && errno == ESRCH);
	CHECK(sandbox_kill(sb, 1, SIGKILL) == -1 && errno == EPERM);
}

/* Each process once, and in order, though nobody reads while they end. */
static void
do_flood(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	int			 fd[2], n = 0;

	CHECK(pipe(fd) == 0);
	pid = start_sh(sb, 1, fd[1], "i=0; while [ $i -lt 500 ]; do "
	    "i=$((i + 1)); (exit $((i % 200))); done; echo done");
	wait_line(fd[0], "done\n");
	while ((ev = next_event(sb)).pid != pid) {
		n++;
		CHECK(ev.what == SANDBOX_EXIT && !ev.child);
		CHECK(WEXITSTATUS(ev.status) == n % 200);
	}
	CHECK(n == 500);
	CHECK(ev.child && ev.status == 0);
	close(fd[0]);
	close(fd[1]);
}

/*
 * A traced process whose parent does not reap it, and then goes as well, is
 * seen twice by init.
 */
static void
do_zombies(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid, p;
	int			 n = 0;

	pid = start_python(sb, -1, "import os, time\n"
	    "kids = []\n"
	    "for i in range(20):\n"
	    "    kids.append(os.fork())\n"
	    "    if kids[-1] == 0: os._exit(i)\n"
	    "while any(open('/proc/%d/stat' % p).read().split()[2] != 'Z'\n"
	    "    for p in kids): time.sleep(0.01)\n");
	do {
		ev = next_event(sb);
		n++;
	} while (ev.pid != pid);
	CHECK(ev.status == 0);
	CHECK(n == 21);
	/* They become init's, as their parent went, which is no news. */
	for (p = pid + 1; p <= pid + 20; p++)
		wait_state(p, "-");
	pid = start_sh(sb, 0, -1, "exit 0");
	CHECK(next_event(sb).pid == pid);
}

static void
do_crash(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;

	pid = start_python(sb, -1, "import ctypes\nctypes.string_at(1)\n");
	ev = event_of(sb, pid, SANDBOX_CRASH);
	CHECK(ev.signo == SIGSEGV && ev.child);
	CHECK(strncmp(ev.title, "/usr/bin/python3 -c", 19) == 0);
	CHECK(strstr(ev.backtrace, "SIGSEGV at address 0x1\n") != NULL);
	CHECK(strstr(ev.backtrace, "#0 ") != NULL);
	CHECK(strstr(ev.backtrace, "ffi_call") != NULL);
	sandbox_event_free(&ev);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFSIGNALED(ev.status) && WTERMSIG(ev.status) == SIGSEGV);
}

/* In a thread of a grandchild, one of several. */
static void
do_crash_thread(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid, shell;

	shell = start_sh(sb, 1, -1, "/usr/bin/python3 -c '"
	    "import threading, os, time\n"
	    "for i in range(3):\n"
	    "    threading.Thread(target=time.sleep, args=(100,)).start()\n"
	    "threading.Thread(target=os.abort).start()\n"
	    "time.sleep(100)'; exit 3");
	do
		ev = next_event(sb);
	while (ev.what != SANDBOX_CRASH);
	pid = ev.pid;
	CHECK(ev.signo == SIGABRT && !ev.child && pid != shell);
	CHECK(strstr(ev.backtrace, "Thread 5 ") != NULL);
	CHECK(strstr(ev.backtrace, "abort") != NULL);
	sandbox_event_free(&ev);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFSIGNALED(ev.status) && WTERMSIG(ev.status) == SIGABRT);
	CHECK(strncmp(ev.title, "/usr/bin/python3", 16) == 0);
	ev = event_of(sb, shell, SANDBOX_EXIT);
	CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 3);
}

/* Many at once: none is lost, each crashes before it ends. */
static void
do_crash_many(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid, crashed[20];
	int			 n = 0, ended = 0, i;

	pid = start_sh(sb, 1, -1, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "
	    "sh -c 'kill -ABRT $$' & done; wait");
	for (;;) {
		ev = next_event(sb);
		if (ev.pid == pid)
			break;
		if (ev.what == SANDBOX_CRASH) {
			CHECK(ev.signo == SIGABRT && n < 12);
			crashed[n++] = ev.pid;
			sandbox_event_free(&ev);
			continue;
		}
		for (i = 0; i < n && crashed[i] != ev.pid; i++)
			;
		CHECK(i < n && WTERMSIG(ev.status) == SIGABRT);
		ended++;
	}
	CHECK(n == 12 && ended == 12);
}

/* A signal that a program handles is its own business. */
static void
do_handled(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;

	pid = start_sh(sb, 1, -1, "trap 'exit 9' SEGV; kill -SEGV $$; exit 1");
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 9);
	pid = start_sh(sb, 1, -1, "trap '' ABRT; kill -ABRT $$; exit 8");
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 8);
}

/* Killed: no crash, but the title is known. */
static void
do_killed(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	int			 fd[2];

	CHECK(pipe(fd) == 0);
	pid = start_sh(sb, 1, fd[1], "echo up; exec sleep 1000");
	wait_line(fd[0], "up\n");
	CHECK(sandbox_kill(sb, pid, SIGKILL) == 0);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFSIGNALED(ev.status) && WTERMSIG(ev.status) == SIGKILL);
	CHECK(ev.title[0] == 's');
	close(fd[0]);
	close(fd[1]);
}

static void
do_stop(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	int			 fd[2], trace;

	CHECK(pipe(fd) == 0);
	for (trace = 0; trace < 2; trace++) {
		pid = start_sh(sb, trace, fd[1], "trap 'echo got; exit 4' "
		    "TERM; echo up; while :; do sleep 0.05; done");
		wait_line(fd[0], "up\n");
		CHECK(sandbox_kill(sb, pid, SIGSTOP) == 0);
		wait_state(pid, "Tt");
		CHECK(sandbox_kill(sb, pid, SIGTERM) == 0);
		CHECK(poll(NULL, 0, 100) == 0);
		CHECK(strchr("Tt", state_of(pid)) != NULL);
		CHECK(sandbox_kill(sb, pid, SIGCONT) == 0);
		wait_line(fd[0], "got\n");
		do {
			ev = next_event(sb);
		} while (ev.pid != pid);
		CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 4);
	}
	close(fd[0]);
	close(fd[1]);
}

/* Looked at while it hangs: it goes on, or stays stopped, and still traced. */
static void
do_hang(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;
	char			*text;
	int			 fd[2], stopped;

	CHECK(pipe(fd) == 0);
	pid = start_python(sb, fd[1], "import threading, time\n"
	    "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
	    "print('up', flush=True)\ntime.sleep(1000)\n");
	wait_line(fd[0], "up\n");
	for (stopped = 0; stopped < 2; stopped++) {
		if (stopped) {
			sandbox_kill(sb, pid, SIGSTOP);
			wait_state(pid, "Tt");
		}
		text = sandbox_backtrace(sb, pid);
		CHECK(strstr(text, "Thread 2 ") != NULL);
		CHECK(strstr(text, "#0 ") != NULL);
		free(text);
		wait_state(pid, stopped ? "Tt" : "SR");
	}
	sandbox_kill(sb, pid, SIGCONT);
	wait_state(pid, "SR");
	sandbox_kill(sb, pid, SIGSEGV);
	ev = event_of(sb, pid, SANDBOX_CRASH);
	CHECK(strstr(ev.backtrace, "sent from outside") != NULL);
	sandbox_event_free(&ev);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WTERMSIG(ev.status) == SIGSEGV);
	text = sandbox_backtrace(sb, pid);
	CHECK(strstr(text, "no backtrace") == text);
	free(text);
	close(fd[0]);
	close(fd[1]);
}

static void
do_hang_untraced(struct sandbox *sb)
{
	pid_t	 pid;
	char	*text;

	pid = start_sh(sb, 0, -1, "sleep 1000; exit 1");
	text = sandbox_backtrace(sb, pid);
	CHECK(strstr(text, "#0 ") != NULL);
	free(text);
	wait_state(pid, "SR");
}

/* Traced programs that exec in odd ways. */
static void
do_exec_thread(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;

	pid = start_python(sb, -1, "import threading, os, time\n"
	    "threading.Thread(target=time.sleep, args=(100,)).start()\n"
	    "threading.Thread(target=lambda: "
	    "os.execv('/bin/sh', ['sh', '-c', 'exit 6'])).start()\n"
	    "time.sleep(100)\n");
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 6);
	CHECK(strncmp(ev.title, "sh -c", 5) == 0);
	pid = start_python(sb, -1, "import subprocess, sys\n"
	    "for i in range(20): subprocess.run(['true'], check=True)\n"
	    "sys.exit(subprocess.run(['sh', '-c', 'exit 5']).returncode)\n");
	do
		ev = next_event(sb);
	while (ev.pid != pid);
	CHECK(WIFEXITED(ev.status) && WEXITSTATUS(ev.status) == 5);
}

/* As in a container that may not trace. */
static void
before_no_ptrace(void)
{
	struct sock_filter	 code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog	 prog = { nitems(code), code };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
}

static void
do_no_ptrace(struct sandbox *sb)
{
	struct sandbox_event	 ev;
	pid_t			 pid;

	pid = start_sh(sb, 1, -1, "kill -BUS $$");
	ev = event_of(sb, pid, SANDBOX_CRASH);
	CHECK(ev.signo == SIGBUS && ev.child);
	CHECK(strstr(ev.backtrace, "SYS_PTRACE") != NULL);
	sandbox_event_free(&ev);
	ev = event_of(sb, pid, SANDBOX_EXIT);
	CHECK(WTERMSIG(ev.status) == SIGBUS);
}

/* As in a container in a container: no room for one more overlay. */
static void
before_no_overlay(void)
{
	static char	 o[64];
	char		 opt[256];
	int		 i;

	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	snprintf(o, sizeof(o), "%s/certs", dir);	/* any directory */
	for (i = 0; i < 2; i++) {
		snprintf(opt, sizeof(opt), "lowerdir=%s:/media",
		    i == 0 ? dir : o);
		CHECK(mount("o", o, "overlay", MS_RDONLY, opt) == 0);
	}
	lower[0] = o;
}

static void
do_no_overlay(struct sandbox *sb)
{
	int	 status;

	check_output(sb, "cat /usr/bin/of-target; readlink /usr/bin/env; "
	    "type env", "x\n/.usr/2/bin/env\nenv is /usr/bin/env\n");
	free(output(sb, "python3 -c 'import json, ssl' && perl -e 1 && "
	    "gdb -nx -batch -ex quit && ! touch /usr/x /usr/bin/x "
	    "/usr/share/x 2>/dev/null", &status));
	CHECK(status == 0);
}

/* Kill the sandbox's init when told. */
static void
before_gone(void)
{
	char	 cmd[128], go;
	int	 fd[2];

	CHECK(pipe(fd) == 0);
	snprintf(cmd, sizeof(cmd), "pkill -KILL -P %d -x sandbox-init",
	    getpid());
	if (fork() == 0) {
		close(fd[1]);
		if (read(fd[0], &go, 1) == 1 && system(cmd) == -1)
			_exit(1);
		_exit(0);
	}
	close(fd[0]);
	killer = fd[1];
}

static void
do_gone(struct sandbox *sb)
{
	const char		*argv[] = { "true", NULL };
	struct sandbox_cmd	 cmd = { .argv = argv, .fd = { -1, -1, -1 } };
	struct pollfd		 pfd = { sandbox_fd(sb), POLLIN, 0 };
	struct sandbox_event	 ev;

	CHECK(write(killer, "g", 1) == 1);
	CHECK(poll(&pfd, 1, WAIT_US / 1000) == 1);
	CHECK(sandbox_event(sb, &ev) && ev.what == SANDBOX_GONE);
	CHECK(!sandbox_event(sb, &ev));
	CHECK(sandbox_spawn(sb, &cmd) == -1);
	CHECK(sandbox_kill(sb, 2, SIGTERM) == -1);
	free(sandbox_backtrace(sb, 2));
}

#define CASE(name, f, userns, before)					\
		{ name #f, test_one, NULL, NULL,			\
		    &(struct test){ do_ ## f, userns, before } }
#define TEST(f)		CASE("root: ", f, 0, NULL),			\
			CASE("user namespace: ", f, 1, NULL)
#define TEST_AFTER(f)	CASE("root: ", f, 0, before_ ## f),		\
			CASE("user namespace: ", f, 1, before_ ## f)

/* A directory that serves as target root, certificates, spool and bind. */
static int
setup(void **state)
{
	char	 cmd[512];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(cmd, sizeof(cmd), "cd %s && chmod 755 . && "
	    "mkdir -p usr/bin certs spool && echo x >usr/bin/of-target && "
	    "echo x >spool/of-host && "
	    "echo '-----BEGIN PRIVATE KEY-----' >certs/a.key && "
	    "echo '-----BEGIN CERTIFICATE-----' >certs/a.crt", dir);
	return system(cmd);
}

static int
teardown(void **state)
{
	char	 cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(spawn), TEST(spawn_fails), TEST(env), TEST(user),
		TEST(tty), TEST(root), TEST(walls), TEST(network),
		TEST(orphan), TEST(flood), TEST(zombies), TEST(crash),
		TEST(crash_thread), TEST(crash_many), TEST(handled),
		TEST(killed), TEST(stop), TEST(hang), TEST(hang_untraced),
		TEST(exec_thread), TEST_AFTER(no_ptrace),
		TEST_AFTER(no_overlay), TEST_AFTER(gone),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("sandbox", tests, setup, teardown);
}
