/* reconcile/release_parts.h - what the files of module release share; nobody else includes it */
#pragma once
#include "base/strmap.h"
#include "reconcile/release.h"

/** A file of the tree that templates use, read once. */
struct release_source {
	const char *path;
	const char *text;
	size_t len;
	struct oid id;
	bool missing;
};

/** What the rendered compose files of a release say; cached by their text. */
struct compose_service {
	const char *name;
	const char *image; /* "" none */
	const char *tag;   /* "" none */
};
struct compose_facts {
	struct compose_service *services;
	size_t count;
	struct problems problems;
};

struct release_builder {
	const struct fleet *fleet;
	struct tree *tree;
	const struct keyring *keyring; /* NULL: without keys */
	struct arena *arena;           /* sources, facts */
	struct strmap sources;         /* path -> struct release_source */
	struct strmap partials;        /* "folder name" -> struct release_source */
	struct strmap defined;         /* variable -> "yes" or "no": does some host define it */
	struct strmap compose;         /* digest of text -> struct compose_facts */
	struct compose_facts **facts;  /* owned, for their problems */
	size_t fact_count, fact_capacity;
	struct arena *shared_arena; /* ARENA_SECRET; NULL: the file is not open yet */
	const struct node *shared;  /* NULL: no file */
	struct arena
		*secrets; /* ARENA_SECRET of the last clients' values, renewed when it is large */
	bool pinned_images;
};

/** A file of the tree; a missing one is no error, see `missing`. */
MUST_USE bool release_source_read(struct release_builder *builder, const char *path,
	const struct release_source **source_out, struct error *err);

/** Does a host of the fleet define the name (dotted)? Asked once per name. */
bool release_is_defined(struct release_builder *builder, const char *name);

/* ---- secrets ---- */
/** Leaf of a secret? Then its dotted name, else NULL. */
const char *release_secret_name(const struct node *node);
/** Load one SOPS file as leaves that know their names, owned by @p arena; a missing file leaves
 * *node_out as it is. */
MUST_USE bool release_secrets_load(struct release_builder *builder, const char *path,
	struct arena *arena, const struct node **node_out, struct error *err);
/** Client's values over the shared ones; either may be NULL. */
const struct node *release_secrets_merge(
	struct arena *arena, const struct node *shared, const struct node *client);
/** Hex HMAC-SHA256 of name and value under @p key, or the value's encrypted text without a key. */
const char *release_secret_mark(
	struct arena *arena, const struct digest_key *key, const struct node *leaf);

/* ---- rendering ---- */
struct release_trace {
	struct release_builder *builder;
	const struct client *client;
	const struct digest_key *key;
	struct release *release;
	const struct node *context;
	size_t input_capacity;
	uint64_t bit;      /* of the file that is rendered now */
	bool one_line;     /* it is an env or YAML file: values with line breaks are refused */
	bool want_content; /* print secrets as they are */
	size_t secrets_read, secrets_printed;
	struct error bad; /* a value that cannot be used, found while reading; code ERR_NONE: no */
};
/** Render all files of the client into trace->release. @return false if problems were added */
MUST_USE bool release_render(struct release_trace *trace, struct problems *problems);

/* ---- compose files, versions ---- */
MUST_USE bool release_read_compose(struct release_builder *builder, const struct client *client,
	struct release *release, struct problems *problems);
/** Image's tag, "" if it has none; @p digest_out: is it pinned by digest? */
const char *release_image_tag(struct arena *arena, const char *image, bool *digest_out);

/* ---- digests ---- */
void release_sort_inputs(struct release *release);
void release_make_digest(const struct release *release, char digest_out[DIGEST_TEXT]);
void release_digest_text(const struct buf *text, char digest_out[DIGEST_TEXT]);
MUST_USE bool release_checks_digest(const struct fleet *fleet, const struct client *client,
	char digest_out[DIGEST_TEXT], struct problems *problems);
