/* reconcile/secrets/shamir.h - put a secret together from shares over GF(2^8), as sops splits it */
#pragma once
#include "base/error.h"

#define SHAMIR_MAX_SHARES 255

/** One share: @p size value bytes, then the byte x. */
struct shamir_share {
	const uint8_t *bytes;
};

/**
 * The secret of @p size bytes from two or more shares. Fewer than were needed when it was split
 * give a wrong secret, not an error. No table and no branch depends on the shares' values.
 * @return false if there are fewer than two, an x is zero, or two have the same
 */
MUST_USE bool shamir_combine(const struct shamir_share *shares, size_t count, size_t size,
	uint8_t *secret_out, struct error *err);
