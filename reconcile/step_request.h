/* reconcile/step_request.h - the request of an http step, rendered for one client */
#pragma once
#include "reconcile/fleet.h"

struct step_request {
	const char *method, *url;
	const char *body;     /* or NULL */
	const char **headers; /* "Name: value", ends with NULL */
	int status;           /* that is success */
};

/** What its templates see. */
struct step_view {
	const struct client *client; /* its variables */
	const struct node *secrets;  /* of secrets.service, as `secrets`; NULL: there are none */
	bool encrypted;              /* their values are ENC[...]: what they become is not known */
};
/**
 * @param arena  owns the texts; ARENA_SECRET where secrets are decrypted
 * @return false: ERR_INVALID, at the line of fleet.yaml
 */
MUST_USE bool step_request_render(const struct policy_step *step, const struct step_view *view,
	struct arena *arena, struct step_request *request_out, struct error *err);
