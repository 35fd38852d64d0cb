/* reconcile/policy_file.h - fleet.yaml as its tables of keys read it, before it becomes a policy
 *
 * Internal to reconcile/policy*.c.
 */
#pragma once
#include "reconcile/policy.h"

/* For the tables of keys. */
#define SECOND           ((int64_t)1000)
#define MINUTE           (60 * SECOND)
#define HOUR             (60 * MINUTE)
#define DAY              (24 * HOUR)
#define AT(type, member) .offset = offsetof(struct type, member)
#define LATER(key_name)                                                                            \
	{                                                                                          \
		.name = (key_name), .type = KEY_REFUSED                                            \
	}

enum policy_approval { APPROVAL_AUTO, APPROVAL_MANUAL };

struct stage_file {
	char *name, *group;
	const struct node *batch;
	int64_t wave_pause_ms, bake_ms, rollback_bake_ms;
	int approval; /* approval_words */
	int64_t approval_expires_ms, max_failures, max_unreachable;
	struct key_list windows; /* struct window_file */
};

struct window_file {
	char *days, *from, *to, *zone;
};

struct release_file {
	char *from, *to, *mode;
	bool template_;
};

struct driver_file {
	char *kind, *user, *root;
	const struct node *activate;
	int64_t activate_timeout_ms, retries, keep;
};

struct check_file {
	char *app, *http, *tcp, *tls, *body;
	const struct node *command;
	int64_t status, timeout_ms, min_days;
	const struct node *json, *headers;
};

enum policy_scope { SCOPE_CLIENT, SCOPE_FLEET };

struct step_file {
	const struct node *remote, *command, *body, *headers;
	char *http, *ansible;
	int method; /* policy_methods */
	int64_t status;
	int64_t timeout_ms;
	int when;  /* when_words */
	int scope; /* scope_words */
};

struct lifecycle_file {
	const struct node *onboard, *upgrade;
};

struct policy_raw {
	int64_t version;
	char *inventory, *secrets_shared, *secrets_client, *secrets_service;
	struct key_list stages; /* struct stage_file */
	int on_failure;
	struct key_list files; /* struct release_file */
	struct driver_file driver;
	const struct node *checks;
	const struct node *steps;
	struct lifecycle_file lifecycle;
	int64_t verify_interval_ms, verify_healthy, verify_timeout_ms;
	bool pinned_images, encrypted_secrets;
	int canary_coverage;
	int64_t max_changed, keep_rollback_tags;
	int drift; /* drift_words */
	int64_t drift_interval_ms;
};

extern const struct key policy_check_keys[];
extern const struct key policy_step_keys[];
extern const struct key policy_lifecycle_keys[];

/** A problem at the place of a node. @return false */
PRINTF(4, 5)
bool policy_problem(struct problems *problems, const struct node *node, const char *fix,
	const char *format, ...);
/** What the readers of the file's parts share. */
struct converter {
	const struct policy_raw *raw;
	const struct node *root;
	struct policy *policy;
	struct arena *arena;
	struct problems *problems;
};

/** Read `stages:` into policy->stages, or the default ones. @return false if errors were added */
bool policy_read_stages(struct converter *self);
/** Read `checks:` into policy->checks. @return false if errors were added */
bool policy_read_checks(const struct policy_raw *raw, struct arena *arena, struct policy *policy,
	struct problems *problems);
/** What a step runs, from its keys. @return false if errors were added */
bool policy_read_step_kind(
	const struct converter *self, const struct step_file *file, struct policy_step *step);
/** Is it a map of texts by names that a header can have? @p what  "checks.x", for messages */
bool policy_check_headers(const struct node *headers, const char *what, struct problems *problems);
/** Does it begin as a URL for http, or as a template that may become one? */
bool policy_may_be_url(const char *text);
/** Methods of a request; the order is that of step_file.method. */
extern const char *const policy_methods[];
/** Read `steps:` and `lifecycle:`. @return false if errors were added */
bool policy_read_steps(struct converter *self);
/** Copy a list of texts (argv); anything else is a problem. @p name for messages. */
bool policy_read_argv(const struct node *node, const char *name, struct arena *arena,
	struct key_texts *argv_out, struct problems *problems);
