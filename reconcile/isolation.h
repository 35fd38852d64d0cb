/* reconcile/isolation.h - each client gets its own secrets and the shared ones, no other client's
 *
 * All releases are rendered without any key, so that each secret stands in them as its own
 * encrypted text: a marker that no other value has. What was read (the trace of rendering) and what
 * is printed (markers in the rendered files) is compared with whose secret it is:
 *  - of the client that its file's name names; else of the only client that reads the file
 *  - in the shared file: of the client that a part of the secret's name names, as in
 *    `clients.alpha.password`; the rest is everybody's
 *  - nobody's: the service's, and encrypted files that are neither shared nor a client's
 */
#pragma once
#include "reconcile/fleet.h"

struct isolation_secret {
	const char *file;
	const char *name;  /* dotted; "" where names cannot be read without a key */
	const char *owner; /* client; "" everybody; ISOLATION_NOBODY */
	size_t readers;    /* clients whose release has it */
	const char *mark;  /* encrypted text; "" for what is not encrypted */
	size_t same;       /* the next secret with the same mark; SIZE_MAX: none */
};
#define ISOLATION_NOBODY "-"

struct isolation_leak {
	const char *client; /* whose release it is in */
	const struct isolation_secret *secret;
	const char *path; /* source of the release's file */
};

struct isolation {
	struct arena *arena;
	struct isolation_secret *secrets; /* by file, then as they stand in it */
	size_t secret_count, secret_capacity;
	const char **clients; /* sorted; those with mistakes are left out */
	size_t client_count;
	bool *has; /* [client * secret_count + secret] */
	struct isolation_leak *leaks;
	size_t leak_count, leak_capacity;
};

/** Render all and look. Leaks become errors of @p problems; the mistakes of a release do not:
 *  reading the fleet tells those.
 *  @return false if secrets cannot be read at all; problems has the reason */
MUST_USE bool isolation_build(const struct fleet *fleet, struct tree *tree,
	struct isolation **isolation_out, struct problems *problems);
void isolation_free(struct isolation *isolation);
DEFINE_CLEANUP(struct isolation, isolation_free)
#define auto_isolation CLEANUP(isolation_free_at)
/** Does the release of a client have a secret? Indexes of the arrays. */
bool isolation_has(const struct isolation *isolation, size_t client, size_t secret);

/** Whose is a file of secrets, by its name: the longest name of a client that stands in the last
 *  part of it that has any, between other characters than letters and digits, as in
 *  `clients/alpha.sops.yaml` or `alpha-mail.sops.yaml`; of equally long ones that of the only
 *  client that reads it. NULL: no client's. */
const struct client *isolation_file_owner(const struct fleet *fleet, const char *path);
/** Whose is a secret of this file and name, see above. */
const char *isolation_owner(const struct fleet *fleet, const char *file, const char *name);
/** Mistakes that need no rendering: secrets.shared or secrets.client name a file of another client
 *  or of the service, or one file for several clients. */
void isolation_check_files(const struct fleet *fleet, struct tree *tree, struct problems *problems);
