/* reconcile/renderer.h - releases and checks of any commit, on demand, for the workers
 *
 * Reads the mirror with its own handle. Fleets of the last commits stay loaded, since a rollout
 * asks for many clients of one commit, and for their known good ones.
 * Threads: any; one at a time inside.
 */
#pragma once
#include "reconcile/checks/checks.h"
#include "reconcile/drivers/driver.h"
#include "reconcile/release.h"
#include "reconcile/step_playbook.h"
#include "reconcile/step_request.h"

struct renderer;

/** @param repo     taken over
 *  @param keyring  borrowed; may hold no identity
 *  @param hosts    borrowed; the connections that targets get */
struct renderer *renderer_new(
	struct repo *repo, const struct keyring *keyring, struct hosts *hosts);
void renderer_free(struct renderer *renderer);
DEFINE_CLEANUP(struct renderer, renderer_free)
#define auto_renderer CLEANUP(renderer_free_at)

/** The digest keys as the status branch has them (text of digest-key.sops.yaml). Never waits for a
 *  rendering: they are decrypted by the next one that needs them. */
void renderer_set_keys(struct renderer *renderer, const char *text, size_t len);

/** Let go of what was loaded for a rollout that ended: with 10,000 clients 25 MB for each of its
 *  commits. What is asked for later is loaded again; targets live on. */
void renderer_forget(struct renderer *renderer);

/** Everything that a worker needs to bring one client to one commit, or to check it. */
struct target {
	struct arena *arena;
	const struct driver *driver;
	struct driver_host host;
	const char *root;        /* where the client lives, as records have it */
	struct release *release; /* with content; NULL unless asked for */
	struct check_spec *checks;
	size_t check_count;
	struct driver_step *steps; /* all that the commit defines; without a backup's name */
	size_t step_count;
};
/** How the host of a client is reached; texts are the client's. */
struct driver_host renderer_host(const struct client *client, struct hosts *hosts);
void target_free(struct target *target);
DEFINE_CLEANUP(struct target, target_free)
#define auto_target CLEANUP(target_free_at)

/** The files of its release as a driver takes them, in the target's arena; NULL without one. */
struct driver_file *target_files(const struct target *target);
/** A step by its name, or NULL. */
struct driver_step *target_step(const struct target *target, const char *name);

/**
 * @param commit        of the infra repo
 * @param client        client_name; ERR_NOT_FOUND if the commit does not describe it
 * @param want_release  render the release with content, under this digest key's id; NULL: not
 * needed
 */
MUST_USE bool renderer_target(struct renderer *renderer, const char *commit, const char *client,
	const char *want_release, struct target **target_out, struct error *err);

/** A step that runs on this machine, with all that it needs. */
struct step_here {
	struct arena *arena; /* ARENA_SECRET */
	struct tree *tree;   /* of the commit, with a handle of its own */
	enum policy_step_kind kind;
	const char *name;
	int64_t timeout_ms;
	const char **argv;             /* RUN_COMMAND */
	const char *secrets;           /* JSON of secrets.service; NULL: it has none */
	struct step_request request;   /* RUN_HTTP */
	struct step_playbook playbook; /* RUN_ANSIBLE */
};
void step_here_free(struct step_here *step);
DEFINE_CLEANUP(struct step_here, step_here_free)
#define auto_step_here CLEANUP(step_here_free_at)

/** Which step, for whom. */
struct step_wanted {
	const char *commit;
	const char *client; /* whose pipeline it is in */
	const char *name;   /* ERR_NOT_FOUND if the commit defines none */
};
/** Find the step and all that it needs of its commit; owned by the caller. */
MUST_USE bool renderer_step(struct renderer *renderer, const struct step_wanted *wanted,
	struct step_here **step_out, struct error *err);
