/* server/tofu_backend.h - the backend `http` of OpenTofu and Terraform, on a listener of its own
 *
 *	GET    /tofu/{name}         the newest state; 404: none yet
 *	POST   /tofu/{name}?ID=..   a new version, under the lock of that id
 *	DELETE /tofu/{name}?ID=..   no state any more
 *	LOCK   /tofu/{name}         body: tofu's words; 423 with the holder's if it is taken
 *	UNLOCK /tofu/{name}         the same body; 409 with the holder's if it is somebody else's;
 *	                            without a body (force-unlock): whoever's it is
 *
 * Basic authentication: the password is a token of api.tokens that may write, reading included,
 * since a state is full of secrets. An answer waits for the remote, which the threads of the
 * webhooks must not do: therefore the second listener.
 */
#pragma once
#include "reconcile/snapshot.h"
#include "reconcile/tofu_state.h"
#include "server/api.h"
#include "server/config.h"

struct tofu_backend_options {
	const struct config *config;  /* borrowed, as all here */
	struct remote_options remote; /* of the repository with the status branch */
	const struct keyring *keyring;
	struct board
		*board;  /* says what was deployed last: who may read its secrets may read states */
	struct api *api; /* knows the tokens */
};

struct tofu_backend;
/** Answers from now on. ERR_INVALID: there is no age key to open states with. */
MUST_USE bool tofu_backend_new(const struct tofu_backend_options *options,
	struct tofu_backend **backend_out, struct error *err);
/** Another keyring from now on; the old one can go after the return. */
void tofu_backend_set_keyring(struct tofu_backend *backend, const struct keyring *keyring);
/** Ends what runs; NULL is fine. */
void tofu_backend_free(struct tofu_backend *backend);
DEFINE_CLEANUP(struct tofu_backend, tofu_backend_free)
#define auto_tofu_backend CLEANUP(tofu_backend_free_at)
