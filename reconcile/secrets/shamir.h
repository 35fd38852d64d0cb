/* reconcile/secrets/shamir.h - split a secret into shares over GF(2^8), and put it together, as
 * sops does */
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

/** How a secret is split. */
struct shamir_split {
	unsigned threshold; /* shares that are needed, from 2 */
	unsigned count;     /* shares, up to SHAMIR_MAX_SHARES */
	size_t size;        /* bytes of the secret */
};
/** Write @p split->count shares of size + 1 bytes; share i, from 0, has the x i + 1. */
void shamir_split(const struct shamir_split *split, const uint8_t *secret, uint8_t *shares_out);
