/* git/transport_ssh.h - git over SSH (base/ssh) */
#pragma once
#include "git/transport.h"

/** Runs `git-upload-pack '<path>'` on the server. */
extern const struct wire_kind transport_ssh;
