/* reconcile/policy.h - fleet.yaml as a plain struct
 *
 * Everything is checked that needs no other file: forms, limits, names, paths that stay inside.
 * What needs the clients is the fleet loader's: groups that exist, apps of checks, templates.
 */
#pragma once
#include "base/keys.h"
#include "git/tree.h"
#include "reconcile/batch.h"
#include "reconcile/pipeline.h"
#include "reconcile/window.h"

#define POLICY_FILE "fleet.yaml"

struct policy_stage {
	const char *name;
	const char *group;
	struct batches batch;
	int64_t wave_pause_ms, bake_ms, rollback_bake_ms;
	bool manual;                 /* approval: manual */
	int64_t approval_expires_ms; /* 0: never */
	int64_t max_failures, max_unreachable;
	struct windows windows;
	const struct node *node;
};

struct policy_file {
	const char *from;
	const char *to;
	int64_t mode; /* e.g. 0644 */
	bool template_;
	const struct node *node;
};

enum check_kind { CHECK_HTTP, CHECK_TCP, CHECK_TLS, CHECK_COMMAND };

struct policy_check {
	const char *name;
	const char *app; /* as written, "all" for every client; NULL: not written, the fleet loader
			  * takes the check's name if some client has that app */
	enum check_kind kind;
	const char *target;         /* template: URL or host:port */
	struct key_texts command;   /* templates */
	int64_t status;             /* http */
	const struct node *json;    /* http: map of expected members, not empty, or NULL */
	const char *body;           /* http: substring, template, or NULL */
	const struct node *headers; /* http: map of headers to send, texts (templates), or NULL */
	int64_t timeout_ms;
	int64_t min_days; /* tls */
	const struct node *node;
};

struct policy_driver {
	const char *kind;          /* "local", "ssh" */
	bool remote;               /* the host is reached over the network */
	const char *user;          /* who logs in there, or NULL */
	const char *root;          /* template */
	struct key_texts activate; /* argv; count 0: nothing to run, or compose */
	bool compose;              /* activate: compose */
	int64_t activate_timeout_ms;
	int64_t retries;
	int64_t keep;
	const struct node *node;
};

enum policy_when { STEP_ALWAYS, STEP_CHANGED, STEP_NEVER, STEP_ASK };

/** What a step is; all but the first run on the service machine. */
enum policy_step_kind { RUN_REMOTE, RUN_COMMAND, RUN_HTTP, RUN_ANSIBLE };

/** Something that a client's pipeline comes to. */
struct policy_step {
	const char *name;
	enum policy_step_kind kind;
	struct key_texts argv;      /* remote, command: no templates */
	const char *playbook;       /* ansible: path in the repository */
	const char *url;            /* http: template */
	const char *method;         /* http */
	const char *body;           /* http: template, or NULL */
	const struct node *headers; /* http: map of texts (templates), or NULL */
	int64_t status;             /* http: that is success */
	int64_t timeout_ms;
	enum policy_when when;
	const struct node *node;
};

enum policy_on_failure { ON_FAILURE_ROLLBACK, ON_FAILURE_HOLD };
enum policy_coverage { COVERAGE_OFF, COVERAGE_WARN, COVERAGE_REFUSE };
enum policy_drift { DRIFT_REPORT, DRIFT_REPAIR, DRIFT_OFF };
#define DRIFT_INTERVAL_MS ((int64_t)3600 * 1000) /* unless fleet.yaml says another */

struct policy {
	const char *inventory;
	const char *secrets_shared;
	const char *secrets_client; /* template */
	const char *secrets_service;
	struct policy_stage *stages;
	size_t stage_count;
	enum policy_on_failure on_failure;
	struct policy_file *files;
	size_t file_count;
	struct policy_driver driver;
	struct policy_check *checks;
	size_t check_count;
	struct policy_step *steps;
	size_t step_count;
	const char *onboard, *upgrade; /* pipelines, see reconcile/pipeline.h */
	enum restore_when restore;
	int64_t verify_interval_ms, verify_healthy, verify_timeout_ms;
	bool pinned_images, encrypted_secrets;
	enum policy_coverage canary_coverage;
	int64_t max_changed; /* percent */
	enum policy_drift drift;
	int64_t drift_interval_ms;
	int64_t keep_rollback_tags;
	const struct node *node; /* root of the file */
};

/** The table of fleet.yaml's keys, for the man page. */
extern const struct key policy_keys[];

/**
 * Read the bytes of a fleet.yaml; every mistake becomes a problem. Texts live in @p arena.
 * @param policy_out  also set after mistakes where enough is left to look for further ones in the
 *                    inventory and the templates: never to be followed
 * @return false if errors were added
 */
MUST_USE bool policy_parse(const char *bytes, size_t len, struct arena *arena,
	struct policy **policy_out, struct problems *problems);
/** A step by its name, or NULL. */
const struct policy_step *policy_step_find(const struct policy *policy, const char *name);
/** Read fleet.yaml of a tree; a missing one is a problem too. @return false if errors were added */
MUST_USE bool policy_load(struct tree *tree, struct arena *arena, struct policy **policy_out,
	struct problems *problems);
