/* git/commit.h - commits and annotated tags without a work tree, their messages and trailers */
#pragma once
#include "git/repo.h"

struct trailer {
	const char *key;
	const char *value;
};

/** A file that a commit writes or removes. */
struct commit_change {
	const char *path;
	const void *bytes; /* NULL: remove (missing is fine) */
	size_t len;
};

struct commit_author {
	const char *name;
	const char *email;
	int64_t wall_s;
	const char *signing_key_file; /* signs commits and tags, or NULL; see git/signing_key.h */
};

/** Append "subject, empty line, body, trailers" to @p out. Line breaks and control characters in
 *  subject and values become blanks; a trailer with an empty value is left out. */
void commit_message(const char *subject, const char *body, const struct trailer *trailers,
	size_t count, struct buf *out);

/**
 * Make a commit with @p parent's tree plus @p changes; moves no reference.
 * @param parent  empty: an orphan
 */
MUST_USE bool commit_create(struct repo *repo, const struct oid *parent,
	const struct commit_change *changes, size_t count, const char *message,
	const struct commit_author *author, struct oid *id_out, struct error *err);

/** Make an annotated tag reference `refs/tags/<name>`; ERR_REJECTED if it exists on another commit,
 *  fine if it exists on the same. */
MUST_USE bool commit_tag(struct repo *repo, const char *name, const struct oid *commit,
	const char *message, const struct commit_author *tagger, struct error *err);

struct commit_info {
	struct oid id;
	struct oid tree;
	struct oid parent; /* first parent, empty if none */
	size_t parents;
	char *subject;
	char *message;
	char *author; /* "Name <email>" */
	char *author_name;
	int64_t wall_s;              /* committer time */
	struct strlist trailer_keys; /* in order; values at the same index */
	struct strlist trailer_values;
};
/** Read a commit with its trailers. @p info_out is the caller's to clear. */
MUST_USE bool commit_read(
	struct repo *repo, const struct oid *id, struct commit_info *info_out, struct error *err);
void commit_info_clear(struct commit_info *info);
#define auto_commit_info CLEANUP(commit_info_clear)
/** First value of a trailer (case-insensitive key), or NULL. */
const char *commit_trailer(const struct commit_info *info, const char *key);

/** Walk first parents from @p from, newest first, until @p visit returns false or the root. */
MUST_USE bool commit_walk(struct repo *repo, const struct oid *from,
	bool (*visit)(void *data, const struct commit_info *info), void *data, struct error *err);
