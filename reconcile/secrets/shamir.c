#include "reconcile/secrets/shamir.h"
#include <assert.h>
#include <sodium.h>

/* Multiply modulo x^8 + x^4 + x^3 + x + 1. */
static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;
	for (int i = 0; i < 8; i++) {
		product ^= (uint8_t)(-(b & 1)) & a;
		b >>= 1;
		a = (uint8_t)(a << 1) ^ ((uint8_t)(-(a >> 7)) & 0x1b);
	}
	return product;
}

/* a^254 */
static uint8_t invert(uint8_t a)
{
	uint8_t result = 1;
	for (int i = 0; i < 7; i++) {
		a = multiply(a, a);
		result = multiply(result, a);
	}
	return result;
}

static bool check_shares(
	const struct shamir_share *shares, size_t count, size_t size, struct error *err)
{
	bool seen[256] = {false};
	if (count < 2 || count > SHAMIR_MAX_SHARES)
		return error_set(err, ERR_INVALID, "a key of several groups needs 2 to 255 shares");
	for (size_t i = 0; i < count; i++) {
		uint8_t x = shares[i].bytes[size];
		if (!x)
			return error_set(err, ERR_INVALID, "a share of the key has no number");
		if (seen[x])
			return error_set(
				err, ERR_INVALID, "two shares of the key have the same number");
		seen[x] = true;
	}
	return true;
}

/* Lagrange's weight of share i at zero: product of x_j / (x_j + x_i). */
static uint8_t weight_of(const struct shamir_share *shares, size_t count, size_t size, size_t i)
{
	uint8_t weight = 1, x = shares[i].bytes[size];
	for (size_t j = 0; j < count; j++) {
		uint8_t other = shares[j].bytes[size];
		if (j != i)
			weight = multiply(weight, multiply(other, invert(other ^ x)));
	}
	return weight;
}

bool shamir_combine(const struct shamir_share *shares, size_t count, size_t size,
	uint8_t *secret_out, struct error *err)
{
	if (!check_shares(shares, count, size, err))
		return false;
	memset(secret_out, 0, size);
	for (size_t i = 0; i < count; i++) {
		uint8_t weight = weight_of(shares, count, size, i);
		for (size_t k = 0; k < size; k++)
			secret_out[k] ^= multiply(weight, shares[i].bytes[k]);
	}
	return true;
}

/* Each byte is the constant term of its own random polynomial, which is taken at x by Horner. */
void shamir_split(const struct shamir_split *split, const uint8_t *secret, uint8_t *shares_out)
{
	uint8_t terms[SHAMIR_MAX_SHARES];
	size_t share_size = split->size + 1;
	assert(split->threshold >= 2 && split->threshold <= split->count &&
		split->count <= SHAMIR_MAX_SHARES);
	for (size_t k = 0; k < split->size; k++) {
		randombytes_buf(terms, split->threshold);
		terms[0] = secret[k];
		for (unsigned i = 0; i < split->count; i++) {
			uint8_t x = (uint8_t)(i + 1), value = 0;
			for (unsigned term = split->threshold; term-- > 0;)
				value = multiply(value, x) ^ terms[term];
			shares_out[i * share_size + k] = value;
		}
	}
	for (unsigned i = 0; i < split->count; i++)
		shares_out[i * share_size + split->size] = (uint8_t)(i + 1);
	sodium_memzero(terms, sizeof(terms));
}
