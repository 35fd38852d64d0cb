#include "reconcile/secrets/sops_yaml_scalar.h"
#include "base/buf.h"
#include "base/node.h"
#include "base/utf8.h"
#include <sodium.h>

#define NUMBER_MAX 400 /* longer texts are no number or date */

/* What a text is made of, as the emitter of go-yaml looks at it. */
struct look {
	bool line_breaks, tabs, special, indicators;
	bool space_break; /* a blank right before a line feed */
	bool utf8;
};

static uint32_t code_point(const char *text, size_t width)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t code = (uint8_t)text[0] & masks[width];
	for (size_t i = 1; i < width; i++)
		code = code << 6 | ((uint8_t)text[i] & 0x3f);
	return code;
}

static bool is_printable(uint32_t code)
{
	return code == '\n' || (code >= 0x20 && code <= 0x7e) ||
	       (code >= 0xa0 && code <= 0xffff && code != 0xfeff && code != 0xfffe &&
		       code != 0xffff && code != 0x2028 && code != 0x2029);
}

/* Would the character at @p i end or change a plain scalar? */
static bool is_indicator(const char *text, size_t len, size_t i)
{
	bool blank_next = i + 1 == len || strchr(" \t\n", text[i + 1]);
	if (!i && strchr("#,[]{}&*!|>'\"%@`", text[0]))
		return true;
	if (!i && strchr("?-", text[0]))
		return blank_next;
	if (text[i] == ':')
		return blank_next;
	return text[i] == '#' && i && text[i - 1] == ' ';
}

static struct look look_at(const char *text, size_t len)
{
	struct look look = {.utf8 = true};
	look.indicators = len >= 3 && (!memcmp(text, "---", 3) || !memcmp(text, "...", 3));
	for (size_t i = 0, width; i < len; i += width) {
		width = utf8_width(text + i, len - i);
		if (!width) {
			look.utf8 = false;
			return look;
		}
		uint32_t code = code_point(text + i, width);
		look.line_breaks |= code == '\n';
		look.tabs |= code == '\t';
		look.special |= code != '\t' && !is_printable(code);
		look.indicators |= text[i] && is_indicator(text, len, i);
		look.space_break |= code == ' ' && i + 1 < len && text[i + 1] == '\n';
	}
	return look;
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* ^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$ */
static bool is_base_60(const char *text)
{
	const char *at = text + (*text == '-' || *text == '+');
	size_t groups = 0;
	if (*at < '0' || *at > '9')
		return false;
	at += strspn(at, "0123456789_");
	while (*at == ':') {
		size_t digits = strspn(at + 1, "0123456789");
		if (!digits || digits > 2 || (digits == 2 && at[1] > '5'))
			return false;
		at += 1 + digits;
		groups++;
	}
	if (*at == '.')
		at += 1 + strspn(at + 1, "0123456789_");
	return groups && !*at;
}

/* Does the parser make something else of it? Asked only for what starts like a number or date. */
static bool parses_otherwise(const char *text, size_t len)
{
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	struct error err;
	if (!strchr("0123456789+-.", text[0]) || len > NUMBER_MAX)
		return false;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	return !node_parse_yaml(arena, "", text, len, &options, &node, &err) ||
	       node->kind != NODE_STRING;
}

static bool needs_quotes(const char *text, size_t len)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", "true", "True", "TRUE",
		"false", "False", "FALSE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n",
		"N", "no", "No", "NO", "off", "Off", "OFF", "<<"};
	return is_one_of(text, words, ARRAY_LEN(words)) || is_base_60(text) ||
	       parses_otherwise(text, len);
}

enum sops_yaml_style sops_yaml_style(const char *text, size_t len, bool key)
{
	struct look look = look_at(text, len);
	if (!look.utf8)
		return SOPS_YAML_BINARY;
	if (look.line_breaks)
		return key || look.special || look.space_break || text[len - 1] == ' '
			       ? SOPS_YAML_DOUBLE
			       : SOPS_YAML_LITERAL;
	if (look.special || look.tabs)
		return SOPS_YAML_DOUBLE;
	if (look.indicators || (len && (text[0] == ' ' || text[len - 1] == ' ')))
		return SOPS_YAML_SINGLE;
	return needs_quotes(text, len) ? SOPS_YAML_DOUBLE : SOPS_YAML_PLAIN;
}

static void add_single(const char *text, size_t len, struct buf *out)
{
	buf_add_char(out, '\'');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'')
			buf_add_char(out, '\'');
		buf_add_char(out, text[i]);
	}
	buf_add_char(out, '\'');
}

static const char *short_escape(uint32_t code)
{
	switch (code) {
	case 0:
		return "\\0";
	case 7:
		return "\\a";
	case '\b':
		return "\\b";
	case '\t':
		return "\\t";
	case '\n':
		return "\\n";
	case 11:
		return "\\v";
	case '\f':
		return "\\f";
	case '\r':
		return "\\r";
	case 27:
		return "\\e";
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case 0x85:
		return "\\N";
	case 0x2028:
		return "\\L";
	case 0x2029:
		return "\\P";
	default:
		return NULL;
	}
}

/* Behind a byte order mark at its start, go-yaml escapes all of a text. */
static void add_double(const char *text, size_t len, struct buf *out)
{
	bool mark = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
	buf_add_char(out, '"');
	for (size_t i = 0, width; i < len; i += width) {
		width = utf8_width(text + i, len - i);
		uint32_t code = code_point(text + i, width);
		const char *escape = short_escape(code);
		if (escape)
			buf_add_str(out, escape);
		else if (is_printable(code) && !mark)
			buf_add(out, text + i, width);
		else if (code <= 0xff)
			buf_addf(out, "\\x%02X", code);
		else
			buf_addf(out, code <= 0xffff ? "\\u%04X" : "\\U%08X", code);
	}
	buf_add_char(out, '"');
}

static void add_binary(const char *text, size_t len, struct buf *out)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	char *encoded = mem_alloc(size);
	buf_addf(out, "!!binary %s",
		sodium_bin2base64(encoded, size, (const unsigned char *)text, len,
			sodium_base64_VARIANT_ORIGINAL));
	sodium_memzero(encoded, size);
	free(encoded);
}

void sops_yaml_inline(const char *text, size_t len, bool key, struct buf *out)
{
	switch (sops_yaml_style(text, len, key)) {
	case SOPS_YAML_SINGLE:
		add_single(text, len, out);
		return;
	case SOPS_YAML_BINARY:
		add_binary(text, len, out);
		return;
	case SOPS_YAML_DOUBLE:
		add_double(text, len, out);
		return;
	default:
		buf_add(out, text, len);
		return;
	}
}
