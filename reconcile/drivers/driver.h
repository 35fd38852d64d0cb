/* reconcile/drivers/driver.h - how a release reaches a host
 *
 * The layout of a host is the same for every driver (design.md section 5):
 *   <root>/releases/<first 16 hex of the digest>/   complete before anything points to it
 *   <root>/current                                  symlink, switched by rename
 *   <root>/.aviary/state, <root>/.aviary/lock
 * Operations may run in any thread, for different hosts at the same time; for one host they wait
 * for each other by its lock.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define DRIVER_DIGEST  72 /* "sha256:" and 64 hex digits, with the NUL */
#define DRIVER_ROLLOUT 40
#define DRIVER_BACKUP  80 /* name of a backup */
/* Digits of a digest that name a release's folder: long enough that two never meet, short enough
 * to read. */
#define DRIVER_SHORT 16

struct driver_host {
	const char *client;
	const char *root;            /* absolute folder on the host */
	const char *const *activate; /* argv, ends with NULL; NULL: nothing to run */
	bool pulls;                  /* activate begins with a pull of images: see COMPOSE_PULLED */
	int64_t activate_timeout_ms; /* 0 = 10 minutes */
	int64_t keep; /* newest releases that prune() leaves besides current and its list */
	/* a host that is reached over the network */
	struct hosts *hosts; /* connections of the service; NULL: none are configured */
	const char *address; /* name or address */
	unsigned port;       /* 0 = 22 */
	const char *user;
	const char *fingerprint; /* of its host key, "SHA256:..."; NULL: known_hosts decides */
	bool openssh;            /* through the program ssh */
	const char *jump;        /* hosts on the way, as `ssh -J` takes them, or NULL */
	bool sudo;               /* the user becomes root */
};

struct driver_file {
	const char *path; /* inside the release */
	unsigned mode;    /* 0400 to 0777 */
	const void *bytes;
	size_t len;
};

/** A step of the pipeline: a command on the host. */
struct driver_step {
	const char *name;        /* "backup": AVIARY_STEP */
	const char *const *argv; /* ends with NULL */
	int64_t timeout_ms;
	const char *backup; /* AVIARY_BACKUP: name of the backup to make, or to restore */
	bool here;          /* it runs on the service machine: no driver gets it */
};

struct driver_release {
	const char *digest;              /* sha256:<64 hex> */
	const struct driver_file *files; /* NULL: must be on the host already */
	size_t count;
	const char *commit, *rollout, *stage, *action;
	int64_t epoch;
	const struct driver_step *restore; /* what runs in `current` before activate, or NULL */
};

/** What the host says of itself. */
struct driver_state {
	bool found; /* it has a state file */
	char release[DRIVER_DIGEST];
	char commit[41];
	char rollout[DRIVER_ROLLOUT];
	int64_t epoch;
	bool activating; /* activate of `release` was begun and not recorded as good */
	char updated[32];
	char restore[DRIVER_BACKUP]; /* whose data came with `release`, or are coming; "" none */
	/* What the symlink really names, "" if there is none: the whole digest where `release` has
	 * the same folder, else "sha256:" and its 16 digits. Compare by driver_same_release(). */
	char current[DRIVER_DIGEST];
	bool locked; /* an activation is running now */
};

/** What a failed activation left behind. */
enum driver_touched {
	DRIVER_TOUCHED_NOTHING, /* current is what it was and nothing was run */
	DRIVER_TOUCHED_UNKNOWN, /* interrupted: ask() before deciding */
	DRIVER_TOUCHED_FAILED   /* the release is current and its activate failed */
};

/** One activation: what it listens to and tells. */
struct driver_run {
	int cancel_fd;                                             /* readable = end; -1 none */
	void (*output)(void *data, const char *bytes, size_t len); /* unmasked; may be NULL */
	void *output_data;
	enum driver_touched touched; /* set when activate() returns false */
};
#define DRIVER_RUN_INIT                                                                            \
	{                                                                                          \
		.cancel_fd = -1                                                                    \
	}

/** What a task is about. */
enum driver_work {
	DRIVER_ASK,      /* read the host's state */
	DRIVER_ACTIVATE, /* ask; deliver and activate; prune */
	DRIVER_COMPARE,  /* as compare() */
	DRIVER_STEP,     /* as run_step() */
	DRIVER_COMMAND   /* run a command in current */
};

/** A piece of work on one host that no thread waits for. What it points to lives until done(). */
struct driver_task {
	enum driver_work work;
	const struct driver_host *host;
	const char *digest;                   /* DRIVER_ASK: is it on the host? May be NULL */
	int64_t epoch;                        /* DRIVER_ASK: as fence() before it; 0 = no fence */
	const struct driver_release *release; /* DRIVER_ACTIVATE, DRIVER_COMPARE, DRIVER_STEP */
	const struct driver_step *step;       /* DRIVER_STEP */
	const char *const *keep;              /* DRIVER_ACTIVATE: digests that prune() leaves */
	size_t keep_count;
	const char *const *argv; /* DRIVER_COMMAND, ends with NULL */
	int64_t timeout_ms;      /* DRIVER_COMMAND */
	struct driver_run run;   /* cancel_fd is not heard: end the connections instead */
	/** DRIVER_ACTIVATE: the state is known, nothing is touched; false ends the task with err.
	 * May be NULL. */
	bool (*may_start)(struct driver_task *task, struct error *err);
	/** Called once, in a thread of the driver's: must not block. */
	void (*done)(struct driver_task *task);
	void *data;
	/* answer */
	bool ok;
	struct driver_state state; /* before anything was done */
	bool has;                  /* the release of DRIVER_ASK is there */
	const char *differs;       /* DRIVER_COMPARE: path of the release, NULL none */
	bool fenced;               /* DRIVER_ASK: no earlier one of this epoch was here */
	int status;                /* DRIVER_COMMAND: exit status, 128 + signal */
	bool late;                 /* DRIVER_COMMAND: ended at its time-out */
	struct error err;
};

struct driver {
	const char *name;
	/** Begin a task: as ask(), as activate() and prune(), or a command of a check. NULL: this
	 *  driver has only the calls below that wait, and commands run here. With it activate() and
	 *  prune() may be NULL. */
	void (*begin)(struct driver_task *task);
	/** Read a host's state. A root that does not exist yet is a host without state.
	 *  ERR_UNREACHABLE, ERR_INVALID (the state file does not read). */
	bool (*ask)(
		const struct driver_host *host, struct driver_state *state_out, struct error *err);
	/**
	 * From now on the host refuses every lower epoch, also of a leader that does not know yet
	 * that it is none. A host without folders of ours has nobody to refuse.
	 * @param fenced_out  false: an activation or a step runs there, which ends by itself
	 * @return false: ERR_REFUSED (a higher epoch rules this host), ERR_UNREACHABLE,
	 * ERR_INVALID, ERR_SYSTEM. NULL: the driver cannot.
	 */
	bool (*fence)(
		const struct driver_host *host, int64_t epoch, bool *fenced_out, struct error *err);
	/** Is the release's folder on the host? ERR_UNREACHABLE, ERR_INVALID. */
	bool (*has_release)(const struct driver_host *host, const char *digest, bool *has_out,
		struct error *err);
	/**
	 * Do the files of a release on the host still hold what was delivered? Files that something
	 * on the host added are no difference. NULL: the driver cannot tell cheaply.
	 * @param path_out  the first file that differs, NULL none; borrowed from @p release
	 */
	bool (*compare)(const struct driver_host *host, const struct driver_release *release,
		const char **path_out, struct error *err);
	/**
	 * Deliver the release, make it current, run its restore step if it has one, then activate
	 * in it; record both ends of that. An activation or a step that still runs is waited for,
	 * up to activate_timeout_ms, then ended.
	 *
	 * @return true after exit 0 in time; false with run->touched set and
	 *         ERR_UNREACHABLE (nothing was touched), ERR_INVALID (a path, mode or digest; or
	 *         activate failed), ERR_REFUSED (a higher epoch rules this host), ERR_NOT_FOUND
	 *         (release without files is not there), ERR_TIMEOUT, ERR_STOPPED, ERR_SYSTEM
	 */
	bool (*activate)(const struct driver_host *host, const struct driver_release *release,
		struct driver_run *run, struct error *err);
	/**
	 * Run a step in `current`, or in the root of a host that has none yet. It waits for its
	 * turn, is fenced by its epoch and found after our death like an activation; it changes
	 * neither `current` nor the state.
	 *
	 * @param release  for its environment and epoch; its files are not looked at
	 * @return true after exit 0 in time; else as activate(), with run->touched: NOTHING the
	 *         step did not begin, UNKNOWN nobody knows how it ended, FAILED it failed
	 */
	bool (*run_step)(const struct driver_host *host, const struct driver_release *release,
		const struct driver_step *step, struct driver_run *run, struct error *err);
	/**
	 * Remove old releases down to host->keep, the least recently activated first; never current
	 * and none of @p digests. Does nothing while an activation runs.
	 */
	bool (*prune)(const struct driver_host *host, const char *const *digests, size_t count,
		struct error *err);
};

extern const struct driver driver_local;
extern const struct driver driver_ssh;

/** The driver of `driver.kind`, or NULL. */
const struct driver *driver_find(const char *name);
/** Names of all drivers, for messages; ends with NULL. */
const char *const *driver_names(void);

/** Do two digests (whole, or "sha256:" and 16 digits) name the same release folder? */
bool driver_same_release(const char *a, const char *b);

/* ---- for drivers ---------------------------------------------------------------------------- */

/** The name of a release's folder into @p name of DRIVER_SHORT + 1 bytes. ERR_INVALID. */
MUST_USE bool driver_release_folder(const char *digest, char *name, struct error *err);
/** Is everything about a release such that a host can take it? ERR_INVALID, names the file. */
MUST_USE bool driver_check_release(const struct driver_release *release, struct error *err);
/** The environment of activate: PATH, HOME, LANG of ours, and AVIARY_*. */
void driver_environment(const struct driver_host *host, const struct driver_release *release,
	struct strlist *environment);
/** What a step sees beside that: AVIARY_STEP, AVIARY_BACKUP. */
void driver_step_environment(const struct driver_step *step, struct strlist *environment);
/** Text of a state file. */
void driver_state_format(const struct driver_state *state, struct buf *out);
/** Read a state file; fields that are no part of it stay zero. ERR_INVALID. */
MUST_USE bool driver_state_parse(
	const char *text, struct driver_state *state_out, struct error *err);
