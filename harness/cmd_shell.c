#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "daemon.h"
#include "sandbox.h"
#include "target.h"
#include "util.h"

/*
 * A sandboxed daemon to poke at by hand.  One process waits, so that it can be
 * killed in any way; the other goes into the sandbox, and ends with the first.
 */

#define CONF		"/etc/smtpd.conf"
#define DEFAULT_TARGET	"7.9.0p0"
#define CONF_MAX	(4 << 20)
#define START_US	30000000	/* for the daemon to listen */
#define STOP_US		3000000		/* for it to stop by itself */
#define TICK_MS		3

struct shell {
	/* what the user wants */
	const struct target *target;
	char		*conf;
	size_t		 conflen;
	const char	*logname;	/* NULL: stderr */
	const char	*bind;
	int		 userns;
	const char	*const *argv;	/* NULL: a shell */

	/* what is going on */
	struct sandbox	*sb;
	int		 sig;		/* signalfd */
	int		 signo;		/* we were told to stop by this */
	int		 signals;	/* so many times */
	int		 log;		/* to read */
	int		 logto;		/* what the daemon writes to */
	struct buf	 line;		/* of the log, not complete yet */
	int		 tty;		/* master of the inner one, or -1 */
	struct termios	 termios;	/* of the user's, to be put back */
	pid_t		 smtpd;
	pid_t		 cmd;
	int		 smtpd_ended;
	int		 cmd_ended;
	int		 status;	/* of the command */
};

/* A terminal in raw mode wants its carriage returns. */
static void
say_line(struct shell *sh, const char *prefix, const char *text, size_t len)
{
	struct buf	 b = { 0 };

	buf_addstr(&b, prefix);
	buf_add(&b, text, len);
	buf_addstr(&b, sh->tty != -1 ? "\r\n" : "\n");
	(void)write_all(STDERR_FILENO, b.data, b.len);
	buf_free(&b);
}

static void __attribute__((format(printf, 2, 3)))
say(struct shell *sh, const char *fmt, ...)
{
	va_list	 ap;
	char	*text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		err(EX_SETUP, "vasprintf");
	va_end(ap);
	say_line(sh, "smtpdtest: ", text, strlen(text));
	free(text);
}

static void
say_text(struct shell *sh, const char *prefix, const char *text)
{
	size_t	 len;

	for (; text != NULL && *text != '\0'; text += len + (text[len] != 0)) {
		len = strcspn(text, "\n");
		say_line(sh, prefix, text, len);
	}
}

/* --- the log ------------------------------------------------------------- */

static int
log_open(struct shell *sh)
{
	int	 fd[2];

	if (sh->logname == NULL) {
		if (pipe2(fd, O_CLOEXEC) == -1)
			return -1;
		sh->log = fd[0];
		sh->logto = fd[1];
		set_nonblock(sh->log);
		return 0;
	}
	sh->logto = open(sh->logname, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
	    0644);
	sh->log = open(sh->logname, O_RDONLY | O_CLOEXEC);
	if (sh->logto == -1 || sh->log == -1)
		return -1;
	/* Should the daemon not start its words are read from here. */
	lseek(sh->log, 0, SEEK_END);
	return 0;
}

/* Pass on what there is; a last line need not be complete. */
static void
log_read(struct shell *sh, int last)
{
	char	 tmp[4096], *nl;
	ssize_t	 n;

	while ((n = read(sh->log, tmp, sizeof(tmp))) > 0) {
		buf_add(&sh->line, tmp, (size_t)n);
		while (sh->line.len > 0 &&
		    (nl = memchr(sh->line.data, '\n', sh->line.len)) != NULL) {
			say_line(sh, "smtpd| ", sh->line.data,
			    (size_t)(nl - sh->line.data));
			buf_drain(&sh->line, (size_t)(nl - sh->line.data) + 1);
		}
	}
	if (last && sh->line.len > 0) {
		say_line(sh, "smtpd| ", sh->line.data, sh->line.len);
		buf_reset(&sh->line);
	}
}

/* Give the user the terminal back as it was. */
static void
tty_close(struct shell *sh)
{
	if (sh->tty == -1)
		return;
	close(sh->tty);
	sh->tty = -1;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &sh->termios);
}

/* --- what happens inside ------------------------------------------------- */

static void
on_exit_event(struct shell *sh, const struct sandbox_event *ev)
{
	if (ev->pid == sh->cmd) {
		sh->cmd_ended = 1;
		sh->status = ev->status;
		return;
	}
	if (ev->pid == sh->smtpd)
		sh->smtpd_ended = 1;
	if (ev->status == 0 || strncmp(ev->title, "smtpd", 5) != 0)
		return;
	if (WIFSIGNALED(ev->status))
		say(sh, "%s (process %d) was killed by SIG%s", ev->title,
		    ev->pid, sigabbrev_np(WTERMSIG(ev->status)));
	else
		say(sh, "%s (process %d) exited with status %d", ev->title,
		    ev->pid, WEXITSTATUS(ev->status));
}

static void
on_events(struct shell *sh)
{
	struct sandbox_event	 ev;

	while (sandbox_event(sh->sb, &ev)) {
		switch (ev.what) {
		case SANDBOX_EXIT:
			on_exit_event(sh, &ev);
			break;
		case SANDBOX_CRASH:
			say(sh, "%s (process %d) crashed: SIG%s", ev.title,
			    ev.pid, sigabbrev_np(ev.signo));
			say_text(sh, "  ", ev.backtrace);
			break;
		case SANDBOX_GONE:
			tty_close(sh);
			errx(EX_SETUP, "the sandbox died");
		}
		sandbox_event_free(&ev);
	}
}

/* --- the terminal -------------------------------------------------------- */

static void
tty_size(struct shell *sh)
{
	struct winsize	 ws;

	if (sh->tty != -1 && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0)
		(void)ioctl(sh->tty, TIOCSWINSZ, &ws);
}

/* A terminal of the sandbox's own; returns the shell's end of it. */
static int
tty_open(struct shell *sh)
{
	struct termios	 raw;
	char		 name[64];
	int		 slave;

	if ((sh->tty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) == -1 ||
	    unlockpt(sh->tty) == -1 ||
	    ptsname_r(sh->tty, name, sizeof(name)) != 0 ||
	    (slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) == -1)
		err(EX_SETUP, "cannot open a terminal in the sandbox");
	if (tcgetattr(STDIN_FILENO, &sh->termios) == -1)
		err(EX_SETUP, "tcgetattr");
	(void)tcsetattr(slave, TCSANOW, &sh->termios);
	tty_size(sh);
	raw = sh->termios;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == -1)
		err(EX_SETUP, "tcsetattr");
	return slave;
}

/* 0 at the end. */
static int
tty_copy(int from, int to)
{
	char	 tmp[4096];
	ssize_t	 n;

	if ((n = read(from, tmp, sizeof(tmp))) > 0)
		return write_all(to, tmp, (size_t)n) == 0;
	return n == -1 && (errno == EINTR || errno == EAGAIN);
}

/* --- waiting ------------------------------------------------------------- */

static void
on_signal(struct shell *sh)
{
	struct signalfd_siginfo	 si;

	while (read(sh->sig, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGWINCH) {
			tty_size(sh);
			continue;
		}
		/*
		 * Another ^C: forget about good manners.  Each comes twice,
		 * from the terminal and by way of the one who waits.
		 */
		if (sh->signo != 0 && sh->signals++ > 1) {
			tty_close(sh);
			sandbox_close(sh->sb);
			_exit(128 + sh->signo);
		}
		sh->signo = (int)si.ssi_signo;
	}
}

/* One look at everything, waiting at most so long for something to happen. */
static void
tick(struct shell *sh, int ms)
{
	struct pollfd	 pfd[] = {
		{ .fd = sh->sig, .events = POLLIN },
		{ .fd = sandbox_fd(sh->sb), .events = POLLIN },
		{ .fd = sh->logname == NULL ? sh->log : -1, .events = POLLIN },
		{ .fd = sh->tty, .events = POLLIN },
		{ .fd = sh->tty != -1 ? STDIN_FILENO : -1, .events = POLLIN },
	};

	if (poll(pfd, nitems(pfd), ms) == -1)
		return;
	if (pfd[0].revents)
		on_signal(sh);
	if (pfd[2].revents)
		log_read(sh, 0);
	if (pfd[3].revents && sh->tty != -1 &&
	    !tty_copy(sh->tty, STDOUT_FILENO))
		tty_close(sh);
	if (pfd[4].revents && sh->tty != -1 &&
	    !tty_copy(STDIN_FILENO, sh->tty) && sh->signo == 0)
		sh->signo = SIGHUP;
	if (pfd[1].revents)
		on_events(sh);
}

/* Does smtpd.conf have it listen on TCP?  When in doubt it does not. */
static int
conf_listens(const char *conf)
{
	const char	*p;

	for (p = conf; p != NULL; p = strchr(p, '\n')) {
		p += strspn(p, " \t\n");
		if (strncmp(p, "listen", 6) != 0)
			continue;
		p += 6 + strspn(p + 6, " \t");
		if (strncmp(p, "on", 2) != 0)
			continue;
		p += 2 + strspn(p + 2, " \t");
		if (strncmp(p, "socket", 6) != 0)
			return 1;
	}
	return 0;
}

static int
control_answers(const struct target *t)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };
	int			 s, rv;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", t->socket);
	if ((s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return 0;
	rv = connect(s, (const struct sockaddr *)&sun, sizeof(sun));
	close(s);
	return rv == 0;
}

/*
 * All listeners are opened in one go, so when there were as many the last time
 * none is missing.
 */
static int
wait_ready(struct shell *sh)
{
	uint64_t	 end = now_us() + START_US;
	int		 tcp = conf_listens(sh->conf);
	int		 ports[64], n, before = -1;

	while (!sh->smtpd_ended && sh->signo == 0 && now_us() < end) {
		n = sandbox_ports(ports, (int)nitems(ports));
		if (n == before && (n > 0 || !tcp) &&
		    control_answers(sh->target))
			return 0;
		before = n;
		tick(sh, TICK_MS);
	}
	if (sh->signo != 0)
		return 128 + sh->signo;
	log_read(sh, 1);
	say(sh, sh->smtpd_ended ? "smtpd did not start" :
	    "smtpd does not listen after %d s", START_US / 1000000);
	return EX_SETUP;
}

/* --- putting it together ------------------------------------------------- */

static int
enter(struct shell *sh)
{
	const char		*lower[] = { sh->target->root, NULL };
	struct sandbox_bind	 bind = { sh->bind, "/mnt", 0 };
	struct sandbox_spec	 spec = { .lower = lower,
				     .chroot = sh->target->chroot,
				     .hostname = "mx.example.org",
				     .userns = sh->userns };
	char			*certs = cli_certs();
	char			 msg[512];

	spec.users = sandbox_users(&spec.nusers);
	spec.certs = certs;
	spec.setid = sh->target->setid;
	if (sh->bind != NULL) {
		spec.binds = &bind;
		spec.nbinds = 1;
	}
	if ((sh->sb = sandbox_enter(&spec, msg, sizeof(msg))) == NULL)
		warnx("%s", msg);
	free(certs);
	return sh->sb == NULL ? -1 : 0;
}

static int
write_file(const char *path, const char *text, size_t len)
{
	int	 fd, rv;

	if ((fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0644)) == -1)
		return -1;
	rv = write_all(fd, text, len);
	close(fd);
	return rv;
}

static int
start_daemon(struct shell *sh)
{
	/* Nobody answers on port 53: ask once, briefly. */
	static const char	 resolv[] = "nameserver 127.0.0.1\n"
				    "options timeout:1 attempts:1\n";
	char			 msg[256];

	if (write_file(CONF, sh->conf, sh->conflen) == -1 ||
	    write_file("/etc/resolv.conf", resolv, strlen(resolv)) == -1)
		err(EX_SETUP, "cannot write %s", CONF);
	sh->smtpd = daemon_start(sh->sb, sh->target, NULL, NULL, sh->logto, msg,
	    sizeof(msg));
	if (sh->smtpd == -1)
		errx(EX_SETUP, "%s", msg);
	close(sh->logto);
	return wait_ready(sh);
}

static void
say_where(struct shell *sh)
{
	struct buf	 b = { 0 };
	int		 ports[64], n, i;

	n = sandbox_ports(ports, (int)nitems(ports));
	for (i = 0; i < n; i++)
		buf_addf(&b, "%s%d", i == 0 ? ", port " : " ", ports[i]);
	say(sh, "%s is up: conf %s, log %s, spool %s%s", sh->target->name,
	    CONF, sh->logname != NULL ? sh->logname : "here",
	    sh->target->spool, b.data != NULL ? b.data : "");
	buf_free(&b);
}

/* The user's command, or a shell, on a terminal if we are. */
static int
start_command(struct shell *sh)
{
	static const char	*bash[] = { "/bin/bash", NULL };
	static const char	*plain[] = { "/bin/sh", NULL };
	const char		*term = getenv("TERM");
	char			*ps1, *termenv;
	const char		*env[] = { NULL, NULL, NULL };
	struct sandbox_cmd	 cmd = { .argv = sh->argv, .fd = { 0, 1, 2 },
				    .env = env };
	int			 tty = -1;

	if (sh->argv == NULL)
		cmd.argv = access(bash[0], X_OK) == 0 ? bash : plain;
	env[0] = termenv = xasprintf("TERM=%s", term ? term : "dumb");
	env[1] = ps1 = xasprintf("PS1=[smtpdtest %s] \\w # ",
	    sh->target->name);
	if (sh->argv == NULL && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		tty = tty_open(sh);
		cmd.fd[0] = cmd.fd[1] = cmd.fd[2] = tty;
		cmd.tty = 1;
	}
	sh->cmd = sandbox_spawn(sh->sb, &cmd);
	if (sh->cmd == -1)
		say(sh, "%s: %s", cmd.argv[0], strerror(errno));
	if (tty != -1)
		close(tty);
	free(termenv);
	free(ps1);
	return sh->cmd == -1 ? -1 : 0;
}

static int
run_command(struct shell *sh)
{
	if (start_command(sh) == -1)
		return EX_SETUP;
	while (!sh->cmd_ended && sh->signo == 0)
		tick(sh, -1);
	/* Its last words may still be on their way. */
	while (sh->tty != -1 && sh->signo == 0)
		tick(sh, -1);
	if (sh->signo != 0)
		return 128 + sh->signo;
	return WIFSIGNALED(sh->status) ? 128 + WTERMSIG(sh->status) :
	    WEXITSTATUS(sh->status);
}

static void
stop_daemon(struct shell *sh)
{
	uint64_t	 end = now_us() + STOP_US;

	if (sh->smtpd_ended)
		return;
	sandbox_kill(sh->sb, sh->smtpd, SIGTERM);
	sandbox_kill(sh->sb, sh->smtpd, SIGCONT);
	while (!sh->smtpd_ended && now_us() < end)
		tick(sh, 50);
}

static int
signal_fd(void)
{
	sigset_t	 set;
	int		 fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		err(EX_SETUP, "signalfd");
	return fd;
}

/* In the process that goes inside. */
static int
inside(struct shell *sh)
{
	int	 rv;

	sh->sig = signal_fd();
	if (enter(sh) == -1)
		return EX_SETUP;
	if ((rv = start_daemon(sh)) == 0) {
		say_where(sh);
		rv = run_command(sh);
	}
	tty_close(sh);
	stop_daemon(sh);
	if (sh->logname == NULL)
		log_read(sh, 1);
	sandbox_close(sh->sb);
	return rv;
}

static volatile pid_t	inside_pid;

static void
forward(int signo)
{
	if (inside_pid > 0)
		kill(inside_pid, signo);
}

/* In the process that waits. */
static int
outside(pid_t pid)
{
	static const int	 signals[] = { SIGINT, SIGTERM, SIGHUP,
				     SIGQUIT };
	struct sigaction	 sa = { .sa_handler = forward };
	size_t			 i;
	int			 status;

	inside_pid = pid;
	for (i = 0; i < nitems(signals); i++)
		sigaction(signals[i], &sa, NULL);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			err(EX_SETUP, "waitpid");
	if (WIFSIGNALED(status)) {
		warnx("killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

static int
shell_run(struct shell *sh)
{
	pid_t	 pid;

	if (log_open(sh) == -1) {
		warn("%s", sh->logname != NULL ? sh->logname : "pipe");
		return EX_SETUP;
	}
	fflush(NULL);
	if ((pid = fork()) == -1)
		err(EX_SETUP, "fork");
	if (pid == 0)
		_exit(inside(sh));
	close(sh->logto);
	return outside(pid);
}

static int
shell_main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "target",	required_argument,	NULL, 't' },
		{ "user",	no_argument,		NULL, 'u' },
		{ "log",	required_argument,	NULL, 'l' },
		{ "bind",	required_argument,	NULL, 'b' },
		{ NULL,		0,			NULL, 0 }
	};
	struct shell	 sh = { .tty = -1 };
	const char	*target = DEFAULT_TARGET, *path;
	char		 dir[PATH_MAX];
	int		 c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "+", opts, NULL)) != -1) {
		switch (c) {
		case 't':
			target = optarg;
			break;
		case 'u':
			sh.userns = 1;
			break;
		case 'l':
			sh.logname = optarg;
			break;
		case 'b':
			if ((sh.bind = realpath(optarg, dir)) == NULL)
				err(EX_SETUP, "%s", optarg);
			break;
		default:
			return cmd_usage(&cmd_shell);
		}
	}
	if (optind >= argc)
		return cmd_usage(&cmd_shell);
	path = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind < argc)
		sh.argv = (const char *const *)&argv[optind];
	sh.conf = strcmp(path, "-") == 0 ?
	    read_fd(STDIN_FILENO, &sh.conflen, CONF_MAX) :
	    read_file(path, &sh.conflen, CONF_MAX);
	if (sh.conf == NULL)
		err(EX_SETUP, "%s", path);
	if ((sh.target = target_find(target)) == NULL)
		return EX_SETUP;
	return shell_run(&sh);
}

const struct cmd cmd_shell = {
	.name = "shell",
	.args = "[--target T] [--user] [--log FILE] [--bind DIR] CONF "
	    "[-- CMD [ARG...]]",
	.summary = "a sandboxed daemon to poke at by hand",
	.main = shell_main,
	.help =
	    "  --target T   the daemon (default " DEFAULT_TARGET ")\n"
	    "  --user       a user namespace even for root\n"
	    "  --log FILE   append the daemon's log to it, instead of stderr\n"
	    "  --bind DIR   show DIR inside as /mnt, read-only\n"
	    "  CONF         smtpd.conf(5); - is stdin\n"
	    "  CMD          instead of an interactive shell; we exit as it "
	    "does\n",
};
