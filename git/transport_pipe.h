/* git/transport_pipe.h - git to a repository on this machine, through git(1)'s own server side
 *
 * libgit2's local transport runs no hooks and moves references without comparing the old value;
 * `git receive-pack` does both, so a push to a path gets the verdicts that a server would give.
 */
#pragma once
#include "git/transport.h"

/** Runs `git receive-pack <path>` as a child with pipes. Needs git in PATH. */
extern const struct wire_kind transport_pipe;
