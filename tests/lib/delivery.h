/* tests/lib/delivery.h - deliveries as a forge would send them, and what should become of them */
#pragma once
#include "server/webhook.h"

/* What a forge with the secret "key" would send for this text; `signed_text` differs for forms. */
struct delivery_trial {
	const char *name;
	enum webhook_forge forge;
	const char *event; /* NULL: the forge's push; "-": header absent */
	const char *body;
	int status;
	const char *says;         /* ignored reason, or part of the error; NULL: not looked at */
	const char *content_type; /* NULL: application/json */
	const char *signed_text;  /* NULL: the body */
	size_t body_len;          /* 0: strlen */
	int end;                  /* not used: lets tables leave the rest out */
};

/** org/infra, branch main, status branch deployments. */
extern const struct webhook_tracked delivery_tracked;

/** HMAC-SHA256 as 64 hex digits and a NUL. */
void delivery_mac(const char *key, const char *text, size_t len, char *hex);
/** Sign, add the forge's headers, judge. */
void delivery_judge(const struct delivery_trial *trial, const struct webhook_tracked *follow,
	struct webhook_verdict *verdict);
/** Is the verdict the wanted one, and of one piece? Says on stderr what is not. */
MUST_USE bool delivery_check(
	const struct delivery_trial *trial, const struct webhook_verdict *verdict);
/** delivery_judge() and delivery_check() for each. */
MUST_USE bool delivery_run(const struct delivery_trial *trials, size_t count);
