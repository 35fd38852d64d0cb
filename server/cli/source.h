/* server/cli/source.h - where a command reads the history: a branch at hand, or a running service
 *
 * With --url the service is asked; with -c FILE the one that listens on its socket, and if none
 * does, its mirror is read; without either origin/<branch> of the repository in the working folder.
 * The words are the same everywhere.
 */
#pragma once
#include "server/branch.h"
#include "server/cli/online.h"

struct source {
	struct branch branch;
	struct online_service service;
	bool online; /* the service answers; the branch is not open */
	struct arena *arena;
};
void source_clear(struct source *source);
#define auto_source CLEANUP(source_clear)

#define BRANCH_DEFAULT "deployments"

/** Open the branch that the options name, whether a service runs or not. ERR_NOT_FOUND. */
MUST_USE bool source_open_branch(
	const struct online_options *options, struct branch *branch_out, struct error *err);

/** Find what the options name. */
MUST_USE bool source_open(
	const struct online_options *options, struct source *source_out, struct error *err);

/** A file of the branch, or what the service answers to a GET: text of the record or the events.
 * @param file  "clients/alpha.yaml"
 * @param path  "clients/alpha", below /api/v1/
 */
MUST_USE bool source_read(struct source *source, const char *file, const char *path,
	struct buf *text, struct error *err);

/**
 * Commits, newest first, until @p visit returns false.
 * @param path  for a service: "clients/alpha/history", which has only those that are meant; from a
 *              branch all come
 */
MUST_USE bool source_walk(struct source *source, const char *path,
	bool (*visit)(void *data, const struct commit_info *info), void *data, struct error *err);

/** The argument of a command as a part of a path. */
void source_escape(struct buf *out, const char *text);
