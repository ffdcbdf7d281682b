#ifndef SMTPDTEST_TARGET_H
#define SMTPDTEST_TARGET_H

/*
 * A daemon to test: what `ci/target SPEC` left in its "target" file.
 */
struct target {
	const char	*spec;		/* as the user said it */
	const char	*name;
	const char	*version;	/* 7.9.0p0 */
	const char	*root;		/* its usr/ is laid over the host's */
	const char	*smtpd;		/* paths inside the sandbox */
	const char	*smtpctl;
	const char	*user;		/* the daemon's users */
	const char	*queueuser;
	const char	*chroot;
	const char	*socket;
	const char	*spool;
	const char	*libexec;	/* where it looks for filters and tables */
	const char	*setid;		/* words PATH:OWNER:GROUP:MODE, of its programs */
	const char	*features;	/* words: tls filters tables db */
};

/*
 * Find a target: a directory with a "target" file, or a SPEC that is given to
 * ci/target beside the executable's build directory (which builds it when
 * needed).  NULL with a message on stderr.  Never freed.
 */
struct target	*target_find(const char *spec);

/* Does the target's features line hold this word? */
int	 target_has(const struct target *, const char *word);

/*
 * Compare OpenSMTPD version numbers ("6.8.0p2" < "7.6.0p1"): <0, 0, >0.
 */
int	 version_cmp(const char *, const char *);

/*
 * Does a target match a pattern of the scenario language: a name ("distro"),
 * a version ("6.8.0p2"), a comparison (">=7.6", "<7.0") or "*"?
 */
int	 target_matches(const struct target *, const char *pattern);

#endif
