/* git/signers_list.h - what the parts of git/signers share; nobody else includes this */
#pragma once
#include "git/signers.h"

struct signer {
	char *name;                /* first name of the line's principals */
	char *purposes;            /* pattern list of namespaces, NULL = every one */
	int64_t after_s, before_s; /* 0: no limit */
	bool has_after, has_before;
	unsigned char *key;
	size_t key_len;
	unsigned line;
};

struct revoked_key {
	unsigned char *key;
	size_t key_len;
};

struct signers {
	char *file;
	char *keyring; /* path, or NULL */
	struct signer *items;
	size_t count, capacity;
	struct revoked_key *revoked;
	size_t revoked_count, revoked_capacity;
};

/** OpenSSH's match_pattern_list(): 1 a pattern matches, -1 a negated one does, 0 none. */
int signers_match(const char *patterns, const char *text);

/** Is the signature by a key of the keyring? As signers_check(). */
MUST_USE bool signers_check_forge(
	const char *keyring, const struct signed_text *text, char *signer, struct error *err);
