/* reconcile/drivers/playbook.h - one run of ansible-playbook for one client
 *
 * In the checkout of its commit, with the repository's own inventory limited to the client's host.
 * Variables and secrets reach it through a pipe in memory, what it keeps meanwhile (copies of
 * templates, sockets) lies in memory too. SIGINT ends it: then ansible ends what it started.
 */
#pragma once
#include "reconcile/drivers/step_place.h"

struct playbook {
	const char *name;      /* of the step, for messages */
	const char *path;      /* of the playbook in the checkout */
	const char *inventory; /* in the checkout */
	const char *config;    /* ansible.cfg in the checkout, or NULL */
	const char *host;      /* name in the inventory */
	const char *variables; /* YAML; may hold secrets */
	size_t variables_len;
	const char *connection;         /* YAML: a second inventory, with how the host is reached */
	const char *const *environment; /* ends with NULL; what the step's program sees */
	int64_t timeout_ms;
	const char *ssh_key_file;       /* or NULL */
	const char *known_hosts_file;   /* or NULL */
	void (*mask)(struct buf *text); /* of secrets in an error, which is recorded; or NULL */
};

/**
 * Run it to its end.
 * @return true if it ran and failed nowhere; else with run->touched ERR_UNREACHABLE (touched
 *         NOTHING: the host could not be reached), ERR_INVALID (a task failed; or touched NOTHING:
 *         it never ran), ERR_NOT_FOUND (no ansible), ERR_TIMEOUT, ERR_STOPPED, ERR_SYSTEM
 */
MUST_USE bool playbook_run(struct step_place *place, const struct playbook *playbook,
	struct driver_run *run, struct error *err);
/** Does ansible-playbook start, and is it new enough? ERR_INVALID, with what to install. */
MUST_USE bool playbook_check_version(
	const char *const *environment, int cancel_fd, struct error *err);
/** Can --limit name exactly this host of an inventory? Not if it would be a pattern. */
bool playbook_can_limit(const char *host);
