#include "base/utf8.h"

static bool continues(const unsigned char *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if ((s[i] & 0xC0) != 0x80)
			return false;
	return true;
}

size_t utf8_width(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	if (!len)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		return len >= 2 && continues(s, 1, 2) ? 2 : 0;
	if (s[0] >= 0xE0 && s[0] <= 0xEF) {
		if (len < 3 || !continues(s, 1, 3))
			return 0;
		bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
		bool surrogate = s[0] == 0xED && s[1] > 0x9F;
		return overlong || surrogate ? 0 : 3;
	}
	if (s[0] >= 0xF0 && s[0] <= 0xF4) {
		if (len < 4 || !continues(s, 1, 4))
			return 0;
		bool overlong = s[0] == 0xF0 && s[1] < 0x90;
		bool too_high = s[0] == 0xF4 && s[1] > 0x8F;
		return overlong || too_high ? 0 : 4;
	}
	return 0;
}

bool utf8_valid(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t width = utf8_width(text + i, len - i);
		if (!width)
			return false;
		i += width;
	}
	return true;
}
