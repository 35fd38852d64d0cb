/* server/webhook_forge.h - what differs between forges: one const table each
 *
 * Private to server/webhook*.c. A new forge is one file with its table and a line in webhook.c.
 */
#pragma once
#include "server/webhook.h"
#include "server/webhook_json.h"

#define WEBHOOK_REF_SIZE 1025 /* refs of more than 1024 bytes are refused */
#define WEBHOOK_ID_SIZE  65   /* 64 hex digits: SHA-256 repositories */
#define WEBHOOK_PATH_MAX 1024 /* of a repository's path or URL */

/** A header that should stand there once. */
struct webhook_field {
	const char *value; /* of the first; without blanks around it */
	size_t len;
	unsigned count;
};

/** A delivery that is authentic: its event and its body. */
struct webhook_delivery {
	const struct webhook_tracked *tracked;
	const char *event;
	size_t event_len;
	struct webhook_json body;
};

/** One ref that moved. */
struct webhook_update {
	char ref[WEBHOOK_REF_SIZE];
	char before[WEBHOOK_ID_SIZE];
	char after[WEBHOOK_ID_SIZE];
};

/** Does a form's signature cover the form, or the JSON inside? */
enum webhook_form { WEBHOOK_NO_FORM, WEBHOOK_FORM_SIGNED, WEBHOOK_PAYLOAD_SIGNED };

struct webhook_kind {
	const char *name;
	const char *event_header;
	const char *delivery_headers[2]; /* the first that is there counts */
	const char *signature_header;
	const char *signature_prefix; /* in front of the hex digits */
	enum webhook_form form;
	/* Other ways to authenticate; NULL: HMAC-SHA256 of the body in signature_header. Sets
	 * *cause_out on failure. */
	bool (*authentic)(const struct webhook_input *input, const char **cause_out);
	/* Sets the verdict of an authentic delivery. */
	void (*read)(const struct webhook_delivery *delivery, struct webhook_verdict *verdict);
};

extern const struct webhook_kind webhook_github, webhook_gitlab, webhook_gitea, webhook_forgejo,
	webhook_bitbucket;

/** Find a header by its name in any case. */
struct webhook_field webhook_header(const struct webhook_input *input, const char *name);
bool webhook_event_is(const struct webhook_delivery *delivery, const char *name);

/** Verdicts. */
PRINTF(3, 4)
void webhook_refuse(struct webhook_verdict *verdict, int status, const char *format, ...);
void webhook_ignore(struct webhook_verdict *verdict, const char *reason);

/* ---- webhook_auth.c ---- */
#define WEBHOOK_MAC_SIZE 32
/** A stretch of the signed message. */
struct webhook_part {
	const void *bytes;
	size_t len;
};
/** HMAC-SHA256 over the parts, one behind the other. */
void webhook_mac(const struct webhook_secret *key, const struct webhook_part *parts, size_t count,
	unsigned char *mac_out);
/** Does @p field hold the MAC of @p message under one of the secrets? */
bool webhook_mac_holds(const struct webhook_input *input, const struct webhook_kind *kind,
	const struct webhook_part *message, const char **cause_out);
/** GitLab: plain token or signing token, as each secret's kind says. */
bool webhook_gitlab_authentic(const struct webhook_input *input, const char **cause_out);
/** Is the secret a signing token? Then its key, decoded. */
bool webhook_signing_key(
	const struct webhook_secret *secret, unsigned char *key_out, size_t *len_out);
#define WEBHOOK_SIGNING_PREFIX  "whsec_"
#define WEBHOOK_SIGNING_KEY_MAX 64

/* ---- webhook_form.c ---- */
/** Decode the one member `payload` of a form. @return the text (caller frees), or NULL with the
 *  problem: none, two, bad percent escape. */
char *webhook_form_payload(const char *body, size_t len, size_t *len_out, const char **problem_out);

/* ---- webhook_push.c ---- */
/** Is this repository ours? @p path is owner/name, @p url its page or clone URL or "". */
bool webhook_is_tracked(const struct webhook_tracked *tracked, const char *path, const char *url);
/** Is the update well-formed: a full ref by git's rules, ids of one length? */
bool webhook_update_valid(const struct webhook_update *update, const char **problem_out);
/** Fold one update of a push into the verdict; call for each, after webhook_ignore("no-changes").
 */
void webhook_fold(const struct webhook_tracked *tracked, const struct webhook_update *update,
	struct webhook_verdict *verdict);
/**
 * The whole reading of a push of one ref: `ref`, `before`, `after`, and the repository.
 *
 * @param repository  member with the repository; @p path and @p url are its members
 */
struct webhook_push_names {
	const char *repository, *path, *url;
};
/** Fill the verdict from a push of one ref, as GitHub, GitLab, Gitea and Forgejo word it. */
void webhook_read_push(const struct webhook_delivery *delivery,
	const struct webhook_push_names *names, struct webhook_verdict *verdict);
