#include "reconcile/secrets/secret_spelling.h"
#include <ctype.h>
#include <sodium.h>

/* The longest spelling is \u00XX for every byte. */
#define GROWTH 6

struct sink {
	void (*each)(void *data, const char *text, size_t len);
	void *data;
};

static void tell(const struct sink *sink, const struct buf *text)
{
	if (text->len >= SECRET_MIN && !buf_overflowed(text))
		sink->each(sink->data, text->text, text->len);
}

/* Base64 of `shift` unknown bytes and the value: only characters that the value alone decides. */
static void spell_base64(
	const struct sink *sink, const char *value, size_t len, size_t shift, int variant)
{
	size_t size = len + shift, text_size = sodium_base64_encoded_len(size, variant);
	auto_buf struct buf shifted = BUF_INIT_SECRET(size);
	auto_buf struct buf text = BUF_INIT_SECRET(text_size);
	char *encoded = mem_alloc(text_size);
	buf_add(&shifted, "\0\0", shift);
	buf_add(&shifted, value, len);
	sodium_bin2base64(encoded, text_size, (const uint8_t *)shifted.text, size, variant);
	size_t first = (shift * 8 + 5) / 6, last = size * 8 / 6;
	buf_add(&text, encoded + first, last - first);
	tell(sink, &text);
	sodium_memzero(encoded, text_size);
	free(encoded);
}

static void spell_all_base64(const struct sink *sink, const char *value, size_t len)
{
	for (size_t shift = 0; shift < 3; shift++) {
		spell_base64(sink, value, len, shift, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
		spell_base64(sink, value, len, shift, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	}
}

/* @p unreserved: bytes beside letters and digits that stay; blanks become @p blank */
static void spell_url(const struct sink *sink, const char *value, size_t len,
	const char *unreserved, const char *blank)
{
	auto_buf struct buf upper = BUF_INIT_SECRET(len * 3);
	auto_buf struct buf lower = BUF_INIT_SECRET(len * 3);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		char text[4] = {(char)c};
		char small[4] = {(char)c};
		if (c == ' ') {
			memcpy(text, blank, strlen(blank));
			memcpy(small, blank, strlen(blank));
		} else if (c >= 128 || !c || !(isalnum(c) || strchr(unreserved, c))) {
			(void)snprintf(text, sizeof(text), "%%%02X", c);   /* fits */
			(void)snprintf(small, sizeof(small), "%%%02x", c); /* fits */
		}
		buf_add_str(&upper, text);
		buf_add_str(&lower, small);
	}
	tell(sink, &upper);
	tell(sink, &lower);
}

/* As Go's encoder (Docker, sops) writes it: buf_add_json() and < > & escaped. */
static void spell_json(const struct sink *sink, const char *value, size_t len)
{
	auto_buf struct buf plain = BUF_INIT_SECRET(len * GROWTH);
	auto_buf struct buf html = BUF_INIT_SECRET(len * GROWTH);
	buf_add_json(&plain, value, len);
	tell(sink, &plain);
	for (size_t i = 0; i < plain.len; i++) {
		char c = plain.text[i];
		if (c == '<' || c == '>' || c == '&')
			buf_addf(&html, "\\u%04x", (unsigned)c);
		else
			buf_add_char(&html, c);
	}
	tell(sink, &html);
}

void secret_spellings(const char *value, size_t len,
	void (*each)(void *data, const char *text, size_t len), void *data)
{
	const struct sink sink = {each, data};
	if (len < SECRET_MIN)
		return;
	each(data, value, len);
	spell_all_base64(&sink, value, len);
	spell_url(&sink, value, len, "-._~", "%20");
	spell_url(&sink, value, len, "-._*", "+");
	spell_json(&sink, value, len);
}
