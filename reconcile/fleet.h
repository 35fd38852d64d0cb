/* reconcile/fleet.h - everything that one tree of the infra repo describes: policy, inventory,
 * clients
 *
 * Loading reads and validates all of it and collects every mistake; nothing is decrypted or
 * rendered yet, see reconcile/release.h. A fleet borrows nothing: it may outlive the tree. Threads:
 * one at a time while loading and releases are built; then read-only.
 */
#pragma once
#include "reconcile/inventory.h"
#include "reconcile/pin.h"
#include "reconcile/policy.h"

struct client {
	const char *name; /* client_name */
	const struct host *host;
	size_t stage; /* index in policy->stages */
	const char
		*root; /* where it lives, for comparing: the folder, or ssh://ADDRESS:PORT/FOLDER */
	const char *folder;      /* driver.root, rendered */
	const char *address;     /* of a host that is reached over the network, else NULL */
	unsigned port;           /* 0: the usual one */
	const char *user;        /* who logs in there */
	const char *fingerprint; /* of its host key, or NULL */
	const char *jump;        /* hosts on the way there, as `ssh -J` takes them, or NULL */
	bool openssh;            /* through the program ssh */
	bool sudo;               /* the user becomes root there */
	const char **apps;
	size_t app_count;
	const char *secrets_file; /* rendered path; may not exist */
	struct client_pin pin;
};

struct fleet {
	struct arena *arena; /* of policy, inventory and clients; shared, see fleet_load_known() */
	int *refs;           /* fleets that share the arena */
	struct oid sources[3]; /* ids of fleet.yaml, ansible/ and the inventory's folder; empty: of
				  a folder as it lies */
	struct oid commit;     /* empty: a folder as it lies */
	struct oid tree;       /* id of the whole tree */
	struct policy *policy;
	struct inventory *inventory;
	struct client *clients; /* by stage, then name */
	size_t client_count;
	const struct client **by_name; /* the same, sorted by name */
};

/**
 * Read and validate a tree.
 *
 * Errors: unknown group of a stage, client_name missing, malformed (`^[a-z][a-z0-9-]{0,30}$`),
 * twice; domain or apps missing; a client in no stage; an empty first stage (a later one warns);
 * Jinja in a value that Aviary needs; a malformed `aviary_pin`; `aviary_offboard` ("not supported
 * yet");
 * versions that YAML reads as numbers; two clients with one driver root; checks of unknown apps;
 * templates that do not exist; files under secrets/ that are not encrypted (policy).
 * @param fleet_out  also set on failure where policy and inventory could be read, so that the
 *                   mistakes of templates can be told in the same run; never to be deployed
 * @return false if errors were added
 */
MUST_USE bool fleet_load(struct tree *tree, const struct oid *commit, struct fleet **fleet_out,
	struct problems *problems);

/** What is known from elsewhere, to save work. All borrowed for the call. */
struct fleet_known {
	const struct fleet
		*like[2];     /* valid fleets, or NULL: what has the same sources is shared */
	struct tree *checked; /* files of secrets that it has too are known to be encrypted */
	bool skip_encrypted;  /* do not look at files of secrets */
};
/** As fleet_load(), which knows nothing. */
MUST_USE bool fleet_load_known(struct tree *tree, const struct oid *commit,
	const struct fleet_known *known, struct fleet **fleet_out, struct problems *problems);
/** Another handle on the same clients; threads: any. */
struct fleet *fleet_share(const struct fleet *fleet);
void fleet_free(struct fleet *fleet);
DEFINE_CLEANUP(struct fleet, fleet_free)
#define auto_fleet CLEANUP(fleet_free_at)
/** What templates see of the client, but for secrets: its variables, with `apps` as a map of true.
 *  Made anew for each use, since a large fleet would keep much of it. @param arena  owns the map */
const struct node *client_context(const struct client *client, struct arena *arena);
/** Client by name, or NULL. Binary search. */
const struct client *fleet_client(const struct fleet *fleet, const char *name);
/** Does the text hold a Jinja expression, which only Ansible could resolve? */
bool fleet_text_is_jinja(const char *text);
