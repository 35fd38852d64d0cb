/* reconcile/renderer_parts.h - what the files of module renderer share; nobody else includes it */
#pragma once
#include "reconcile/renderer.h"
#include <pthread.h>

/* The rollout's commit and the commits of its known good releases; these are rarely more. */
#define RENDERER_COMMITS 4

struct rendered_commit {
	char commit[OID_HEX + 1];
	struct tree *tree;
	struct fleet *fleet;
	struct release_builder *builder;
	uint64_t used; /* larger = more recently */
};

struct renderer {
	pthread_mutex_t lock;
	struct repo *repo;
	const struct keyring *keyring;
	struct hosts *hosts;
	struct digest_keys keys;
	struct rendered_commit commits[RENDERER_COMMITS];
	uint64_t clock;
	pthread_mutex_t keys_lock; /* of what follows; taken inside `lock` */
	char *keys_text;           /* not decrypted yet, or NULL */
	size_t keys_len;
};

/** The loaded commit; under renderer->lock. */
MUST_USE bool renderer_find_commit(struct renderer *renderer, const char *commit,
	struct rendered_commit **loaded_out, struct error *err);
/** A copy that ends with NULL. */
const char **renderer_copy_argv(struct arena *arena, const struct key_texts *texts);
