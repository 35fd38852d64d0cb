#include "reconcile/secrets/shamir.h"

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
