/* git/remote_priv.h - what remote.c and remote_push.c share */
#pragma once
#include "git/remote.h"
#include "git/remote_url.h"
#include <git2.h>

struct remote {
	struct remote_url url;
	struct buf key;   /* secret */
	struct buf token; /* secret; "user NUL password" or the password */
	char *key_name;
	char *ca_file;
	struct known_hosts *known_hosts;
	struct transport transport; /* borrows from the above */
};

/** Forget the last failure and start the clock. */
void remote_begin(struct remote *remote, bool push);
/** The transport's own words for a failed call, else libgit2's. @return false */
bool remote_failed(const struct remote *remote, int rc, struct error *err);
/** A git_remote for one conversation. */
MUST_USE bool remote_make(
	struct remote *remote, struct repo *repo, git_remote **out, struct error *err);
