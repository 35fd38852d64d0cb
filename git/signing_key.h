/* git/signing_key.h - signatures of our own, under commits and tags of the status branch
 *
 * The key file is read for each signature and wiped after it, so that the key is in memory for a
 * few microseconds and a new one counts at once. Ed25519 only: its signatures are deterministic, so
 * the same fact written twice is the same commit.
 */
#pragma once
#include "git/sshsig.h"

#define SIGNING_KEY_MAX ((size_t)16 << 10)

/**
 * Sign bytes for the namespace `git`, as `git commit -S` does with gpg.format ssh.
 *
 * @param path       private key in OpenSSH's format, without a passphrase, for nobody else to read
 * @param armor_out  the armored signature is appended, without a final line break
 * @return false with what fs_read_secret() says, or ERR_INVALID: no such key
 */
MUST_USE bool signing_key_sign(
	const char *path, const struct span *bytes, struct buf *armor_out, struct error *err);
/** Could it sign? */
MUST_USE bool signing_key_check(const char *path, struct error *err);
/** Append its public half, "ssh-ed25519 AAAA...", as a list of signers names it. */
MUST_USE bool signing_key_public(const char *path, struct buf *out, struct error *err);
