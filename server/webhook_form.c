#include "server/webhook_forge.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode application/x-www-form-urlencoded text; @p to has room for @p len bytes. */
static bool decode(const char *from, size_t len, char *to, size_t *len_out)
{
	size_t put = 0;
	for (size_t i = 0; i < len; i++) {
		char c = from[i] == '+' ? ' ' : from[i];
		if (c == '%') {
			int high = len - i > 2 ? hex_digit(from[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_digit(from[i + 2]);
			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		to[put++] = c;
	}
	*len_out = put;
	return true;
}

struct pair {
	const char *name, *value;
	size_t name_len, value_len;
};

static struct pair next_pair(const char **at, const char *end)
{
	const char *stop = memchr(*at, '&', (size_t)(end - *at));
	stop = stop ? stop : end;
	const char *equals = memchr(*at, '=', (size_t)(stop - *at));
	struct pair pair = {.name = *at, .name_len = (size_t)((equals ? equals : stop) - *at)};
	if (equals) {
		pair.value = equals + 1;
		pair.value_len = (size_t)(stop - equals - 1);
	}
	*at = stop < end ? stop + 1 : end;
	return pair;
}

char *webhook_form_payload(const char *body, size_t len, size_t *len_out, const char **problem_out)
{
	static const char wanted[] = "payload";
	auto_free char *scratch = mem_alloc(len);
	auto_free char *payload = NULL;
	const char *end = body + len;
	*problem_out = NULL;
	for (const char *at = body; at < end;) {
		struct pair pair = next_pair(&at, end);
		size_t name_len = 0, value_len = 0;
		if (!decode(pair.name, pair.name_len, scratch, &name_len)) {
			*problem_out = "the form has a bad percent escape";
			return NULL;
		}
		bool is_payload = name_len == strlen(wanted) && !memcmp(scratch, wanted, name_len);
		if (!decode(pair.value, pair.value_len, scratch, &value_len)) {
			*problem_out = "the form has a bad percent escape";
			return NULL;
		}
		if (!is_payload)
			continue;
		if (payload) {
			*problem_out = "the form has two members 'payload'";
			return NULL;
		}
		payload = mem_dup(scratch, value_len);
		*len_out = value_len;
	}
	if (!payload)
		*problem_out = "the form has no member 'payload'";
	return STEAL(payload);
}
