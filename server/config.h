/* server/config.h - aviary.yaml as a plain struct
 *
 * Precedence: command line flag, AVIARY_* variable, file, default. Secrets are paths of files here,
 * never values. Relative paths of the file count from the file's folder, those of flags and
 * variables from the working folder. Unknown keys, and keys whose function is not built yet, are
 * errors.
 */
#pragma once
#include "base/keys.h"
#include "base/log.h"
#include "server/webhook.h"

#define CONFIG_SECRET_MAX 65536 /* bytes of one secret file: an RSA key has 3 KB */

struct config_repository {
	const char *url;
	const char *branch;
	const char *ssh_key_file;     /* or NULL, as the other files */
	const char *known_hosts_file; /* always there for a URL over ssh */
	const char *token_file;
	const char *ca_file;
	const char *allowed_signers_file; /* there if one of the next two is */
	const char *revoked_signers_file;
	const char *forge_keyring_file;
	int64_t poll_interval_ms;
};

struct config_status {
	const char *url; /* of the repository with the status branch; repository.url by default */
	const char *branch;
	bool inside; /* it is repository.branch of the same repository: records stand under status/
		      */
	const char *author_name;
	const char *author_mail;
	const char *signing_key_file; /* or NULL */
};

struct config_hosts {
	const char *ssh_key_file;     /* or NULL: none can be reached */
	const char *known_hosts_file; /* or NULL */
	int64_t concurrency, pulls;
	bool openssh;               /* transport */
	const char *program_config; /* file for the program ssh, in state_dir */
};

struct config_tofu {
	const char *listen; /* address of the state backend; NULL: there is none */
};

struct config_webhook {
	enum webhook_forge forge; /* each at most once */
	const char **secret_files;
	size_t secret_count; /* at least 1 */
	const struct node *node;
};

enum config_may { CONFIG_MAY_READ = 1, CONFIG_MAY_WRITE = 2, CONFIG_MAY_APPROVE = 4 };

struct config_token {
	const char *name;
	const char *file;
	unsigned may; /* bits of enum config_may */
	const struct node *node;
};

struct config {
	const char *file; /* as given, or NULL */
	const char *listen;
	const char *socket;
	const char *state_dir;
	struct config_repository repository;
	struct config_status status;
	struct config_hosts hosts;
	struct config_tofu tofu;
	struct config_webhook *webhooks;
	size_t webhook_count;
	int64_t webhook_max_body; /* bytes */
	const char *age_key_file; /* or NULL */
	struct config_token *tokens;
	size_t token_count;
	enum log_format log_format;
	enum log_level log_level;
	const struct node *node; /* root of the file, with flags and variables put in */
};

/** Flags of the command line; NULL: not given. */
struct config_flags {
	const char *listen;
	const char *state_dir;
	const char *log_format;
};

/** What a configuration is read from. */
struct config_source {
	const char *file; /* name for messages, and the folder of relative paths */
	const char *bytes;
	size_t len;
	struct config_flags flags;
	const char *const *environment; /* "NAME=value", ends with NULL; may be NULL */
};

/** The table of aviary.yaml's keys, for the man page. */
extern const struct key config_keys[];

/**
 * Read a configuration; every mistake becomes a problem. Reads no other file.
 *
 * @param config_out  owned by @p arena
 * @return false if errors were added
 */
MUST_USE bool config_parse(const struct config_source *source, struct arena *arena,
	struct config **config_out, struct problems *problems);
/** Read the file at @p path with the flags and the environment of the process. */
MUST_USE bool config_load(const char *path, const struct config_flags *flags, struct arena *arena,
	struct config **config_out, struct problems *problems);

/**
 * What `aviary serve --check` does beyond parsing, without network: secret files exist, are not
 * open to others and hold what they should; the state folder can be used.
 *
 * @return false if errors were added; warnings are no errors
 */
MUST_USE bool config_check(const struct config *config, struct problems *problems);
