#include "reconcile/secrets/bech32.h"
#include <sodium.h>

#define CHECKSUM_LEN 6

static const char bech32_letters[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t checksum_step(uint32_t sum, uint8_t value)
{
	static const uint32_t generator[5] = {
		0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = sum >> 25;
	sum = (sum & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++)
		sum ^= (top >> i & 1) ? generator[i] : 0;
	return sum;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static uint32_t checksum_of_hrp(const char *hrp, size_t len)
{
	uint32_t sum = 1;
	for (size_t i = 0; i < len; i++)
		sum = checksum_step(sum, (uint8_t)to_lower(hrp[i]) >> 5);
	sum = checksum_step(sum, 0);
	for (size_t i = 0; i < len; i++)
		sum = checksum_step(sum, (uint8_t)to_lower(hrp[i]) & 31);
	return sum;
}

/* Printable and of one case. */
static bool text_is_uniform(const char *text, size_t len)
{
	bool upper = false, lower = false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 33 || text[i] > 126)
			return false;
		upper = upper || (text[i] >= 'A' && text[i] <= 'Z');
		lower = lower || (text[i] >= 'a' && text[i] <= 'z');
	}
	return !(upper && lower);
}

/* Letters of five bits into bytes; the letters of the checksum only count for the sum. */
static bool decode_letters(const char *letters, size_t len, uint32_t sum, struct buf *out)
{
	uint32_t bits = 0, held = 0;
	for (size_t i = 0; i < len; i++) {
		const char *at = memchr(bech32_letters, to_lower(letters[i]), 32);
		if (!at)
			return false;
		uint8_t value = (uint8_t)(at - bech32_letters);
		sum = checksum_step(sum, value);
		if (i >= len - CHECKSUM_LEN)
			continue;
		bits = bits << 5 | value;
		held += 5;
		if (held >= 8) {
			held -= 8;
			buf_add_char(out, (char)(bits >> held));
			bits &= (1u << held) - 1;
		}
	}
	return sum == 1 && held < 5 && bits == 0;
}

bool bech32_decode(const char *text, size_t len, struct buf *hrp_out, struct buf *data_out)
{
	if (len > BECH32_MAX_TEXT || !text_is_uniform(text, len))
		return false;
	const char *one = memrchr(text, '1', len);
	if (!one || one == text)
		return false;
	size_t hrp_len = (size_t)(one - text), letters = len - hrp_len - 1;
	if (letters < CHECKSUM_LEN)
		return false;
	size_t before = data_out->len;
	if (!decode_letters(one + 1, letters, checksum_of_hrp(text, hrp_len), data_out)) {
		buf_truncate(data_out, before);
		return false;
	}
	buf_add(hrp_out, text, hrp_len);
	return true;
}

static uint32_t encode_letter(uint32_t sum, uint8_t value, struct buf *out)
{
	buf_add_char(out, bech32_letters[value]);
	return checksum_step(sum, value);
}

void bech32_encode(const char *hrp, const uint8_t *data, size_t len, struct buf *out)
{
	uint32_t sum = checksum_of_hrp(hrp, strlen(hrp)), bits = 0, held = 0;
	buf_addf(out, "%s1", hrp);
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | data[i]) & 0xfff;
		for (held += 8; held >= 5; held -= 5)
			sum = encode_letter(sum, bits >> (held - 5) & 31, out);
	}
	if (held)
		sum = encode_letter(sum, bits << (5 - held) & 31, out);
	for (int i = 0; i < CHECKSUM_LEN; i++)
		sum = checksum_step(sum, 0);
	sum ^= 1;
	for (int i = 0; i < CHECKSUM_LEN; i++)
		buf_add_char(out, bech32_letters[sum >> 5 * (5 - i) & 31]);
	sodium_memzero(&bits, sizeof(bits));
}
