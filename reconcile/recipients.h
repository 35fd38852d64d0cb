/* reconcile/recipients.h - for whom Aviary encrypts what it keeps in the repository */
#pragma once
#include "git/repo.h"
#include "reconcile/secrets/keyring.h"

/**
 * Whoever may read the shared secrets of a commit; without that file this service itself.
 *
 * @param recipients  age1... and ssh-... texts are appended
 * @return false: ERR_INVALID, it has a mistake, so that nobody knows; else it cannot be read
 */
MUST_USE bool recipients_of_commit(struct repo *repo, const struct oid *commit,
	const struct keyring *keyring, struct strlist *recipients, struct error *err);
/**
 * While none of this service's own identities is among them (the only one was replaced, and
 * age_key_file comes later), add them: what it could not open would be lost.
 *
 * @return false: it has none
 */
bool recipients_keep_own(const struct keyring *keyring, struct strlist *recipients);
