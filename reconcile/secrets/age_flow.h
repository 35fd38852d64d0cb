/* reconcile/secrets/age_flow.h - age files that are not in memory as a whole
 *
 * The same bytes as age_encrypt() and age_decrypt() give, in constant memory: 400 KB, whatever the
 * size of the file. Binary files only, armor is for small ones.
 */
#pragma once
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include <sys/types.h>

/** Where bytes come from and go to. */
struct age_flow {
	/** Up to @p size bytes into @p out. Returns how many, 0 at the end, -1 with an error. */
	ssize_t (*read)(void *data, void *out, size_t size, struct error *err);
	/** Takes all bytes, or fails. */
	bool (*write)(void *data, const void *bytes, size_t len, struct error *err);
	void *data;
};

/** Encrypt all that comes. */
MUST_USE bool age_flow_encrypt(
	const struct age_recipients *recipients, const struct age_flow *flow, struct error *err);
/** Decrypt all that comes. Each chunk is handed out once its tag was checked: after a failure those
 *  before the damage are out already. */
MUST_USE bool age_flow_decrypt(const struct age_identities *identities, const struct age_flow *flow,
	enum age_failure *failure_out, struct error *err);
