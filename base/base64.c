#include "base/base64.h"

#define FIRST 0x20

/* One more than the value of each character from FIRST on; 0 is no character of it. */
/* clang-format off */
static const uint8_t values[] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 0, 64,
	53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 0, 0, 0, 0, 0, 0,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 0, 0, 0, 0, 0,
	0, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
	42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0, 0, 0, 0, 0,
};
/* clang-format on */

/* Bits of one character; false for one that is none. */
static bool add_char(char c, uint32_t *bits)
{
	size_t at = (size_t)(unsigned char)c - FIRST; /* below FIRST it is far too large */
	uint8_t value = at < sizeof(values) ? values[at] : 0;
	*bits = *bits << 6 | (uint32_t)(value - 1);
	return value != 0;
}

/* Three bytes of four characters. */
static bool decode_group(const char *text, uint8_t *out)
{
	uint32_t bits = 0;
	bool good = add_char(text[0], &bits) && add_char(text[1], &bits) &&
		    add_char(text[2], &bits) && add_char(text[3], &bits);
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return good;
}

/* One or two bytes of the last two or three characters; bits that are left over are zero. */
static bool decode_rest(const char *text, size_t len, uint8_t *out)
{
	uint32_t bits = 0;
	for (size_t i = 0; i < len; i++) {
		if (!add_char(text[i], &bits))
			return false;
	}
	size_t unused = len * 6 % 8;
	if (bits & ((1u << unused) - 1))
		return false;
	bits >>= unused;
	if (len == 3)
		*out++ = (uint8_t)(bits >> 8);
	*out = (uint8_t)bits;
	return true;
}

bool base64_decode(enum base64_form form, const char *text, size_t len, struct base64_room *room)
{
	uint8_t *at = room->bytes;
	if (form == BASE64_PADDED) {
		if (len % 4)
			return false;
		for (int i = 0; i < 2 && len && text[len - 1] == '='; i++)
			len--;
	}
	size_t rest = len % 4, size = len / 4 * 3 + (rest ? rest - 1 : 0);
	if (rest == 1 || size > room->size)
		return false;
	for (const char *end = text + (len - rest); text < end; text += 4, at += 3) {
		if (!decode_group(text, at))
			return false;
	}
	if (rest && !decode_rest(text, rest, at))
		return false;
	room->len = size;
	return true;
}
