/* reconcile/release.h - what one client runs at one commit, and its digest
 *
 * Rendering traces what it really reads; digest and reasons come from that trace, never from lists
 * kept by hand (design.md section 4). Digest: SHA-256 over a canonical text of rendered files
 * (path, mode, content with each secret replaced by its name), variables read, and secrets read
 * (name, keyed hash). Described line by line in docs/release-digest.md.
 *
 * Partials: `{{> name}}` is looked for beside the including file, then in `templates/`, then at the
 * root of the repository; each as it is written, then with `.mustache`.
 */
#pragma once
#include "reconcile/digest_key.h"
#include "reconcile/fleet.h"
#include "reconcile/status.h"

enum input_kind {
	INPUT_VARIABLE, /* name = variable, value = JSON text */
	INPUT_SECRET,   /* name = dotted name in the client's view; value = keyed hash, or ENC text
			   without keys */
	INPUT_FILE      /* name = path of a template, partial or plain file; value = blob id */
};

struct release_input {
	enum input_kind kind;
	const char *name;
	const char *value;
	const char *file; /* where it is defined */
	unsigned line;
	uint64_t used_by; /* bits of the release files that read it, see release_file.bit */
};

struct release_file {
	const char *path;
	unsigned mode;
	const char *from;  /* source path in the repository */
	const char *bytes; /* only with want_content; holds secrets */
	size_t len;
	const char *shape; /* content with secrets as markers `<secret:name>`; for reasons and
			      plans */
	size_t shape_len;
	uint64_t bit; /* one bit per file; the last one is shared by all past the 63rd */
};

/** Where the version of an app is written. */
struct release_place {
	const char *file; /* "" unknown */
	unsigned line;
};

struct release {
	struct arena *arena;      /* ARENA_SECRET with content, else plain */
	char digest[DIGEST_TEXT]; /* "" without keys when the client uses secrets */
	char key[KEY_ID_TEXT];    /* id of the digest key */
	bool steered;             /* a section depends on a secret: without its key it may differ */
	char checks[DIGEST_TEXT]; /* digest of the client's resolved checks */
	char plain[DIGEST_TEXT];  /* the same digest with secrets as their encrypted text: needs no
				     key; "" when built with keys */
	struct client_app *apps;  /* versions, arena; sorted by name */
	struct release_place *app_places; /* of apps[i].version */
	size_t app_count;
	struct release_input *inputs; /* sorted by kind, name */
	size_t input_count;
	struct release_file *files;
	size_t file_count;
};

/** Builds releases of one fleet; caches templates, shared secrets, and what did not change. */
struct release_builder;

/**
 * @param fleet    borrowed, must outlive the builder
 * @param tree     of the same commit; borrowed, must outlive the builder
 * @param keyring  NULL: without keys; secrets enter as their encrypted text
 */
MUST_USE bool release_builder_new(const struct fleet *fleet, struct tree *tree,
	const struct keyring *keyring, struct release_builder **builder_out, struct error *err);
/** As release_builder_new() where the shared file of secrets is known to open: it is opened when a
 *  release needs it, and not at all if none is built. */
struct release_builder *release_builder_late(
	const struct fleet *fleet, struct tree *tree, const struct keyring *keyring);
/** Refuse images that are not pinned, whatever the fleet's policy says (an older one was stricter).
 */
void release_builder_require_pinned(struct release_builder *builder);
void release_builder_free(struct release_builder *builder);
DEFINE_CLEANUP(struct release_builder, release_builder_free)
#define auto_release_builder CLEANUP(release_builder_free_at)

/**
 * Render one client's release.
 * @param key           digest key; NULL = without keys
 * @param want_content  also keep the rendered bytes (for the driver, `render`)
 * @param problems      mistakes of this client, with file and line
 */
MUST_USE bool release_build(struct release_builder *builder, const struct client *client,
	const struct digest_key *key, bool want_content, struct release **release_out,
	struct problems *problems);
void release_free(struct release *release);
DEFINE_CLEANUP(struct release, release_free)
#define auto_release CLEANUP(release_free_at)

/**
 * Append what of the tree the release depends on, beside its client's variables and secrets, as
 * pairs of lines: path and blob id, path and `-` (looked for and not there), `?name` and yes or no
 * (does some host define it). The same answers on another tree give the same release.
 */
void release_builder_trace(
	const struct release_builder *builder, const struct release *release, struct buf *out);

/** The client's secrets, its own over the shared ones, in the arena of the builder or in @p arena:
 *  until the next release is built. @param secrets_out  a map; NULL if there are none */
MUST_USE bool release_secrets(struct release_builder *builder, const struct client *client,
	struct arena *arena, const struct node **secrets_out, struct error *err);

/** Version of an app: variable X_version, else the tag of the image of service X in a rendered
 * compose file. */
const char *release_app_version(const struct release *release, const char *app);

/** The client's checks with all templates rendered, in a form for the checks engine. */
struct client_check {
	const struct policy_check *policy;
	const char *target;
	const char **argv; /* command, ends with NULL */
	const char *body;
	const char **headers; /* "Name: value", ends with NULL */
};
/** The checks that apply to a client, rendered for it; owned by @p arena. */
MUST_USE bool release_checks(const struct fleet *fleet, const struct client *client,
	struct arena *arena, struct client_check **checks_out, size_t *count_out,
	struct problems *problems);
