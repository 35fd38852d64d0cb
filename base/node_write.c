#include "base/node_build.h"
#include "base/utf8.h"
#include <math.h>

#define DIGITS_SIZE 18

struct writer {
	struct buf *out;
	int indent;
	bool sort;
};

/* Digits and decimal exponent of the shortest "%e" form that reads back to the same double. */
static int shortest(double number, char *digits)
{
	char text[NODE_FLOAT_TEXT];
	for (int precision = 0; precision <= 16; precision++) {
		(void)snprintf(text, sizeof(text), "%.*e", precision, number); /* fits: 24 bytes */
		if (strtod(text, NULL) == number)
			break;
	}
	size_t len = 0;
	const char *p = text;
	for (; *p && *p != 'e'; p++)
		if (*p >= '0' && *p <= '9' && len < DIGITS_SIZE - 1)
			digits[len++] = *p;
	while (len > 1 && digits[len - 1] == '0')
		len--;
	digits[len] = '\0';
	return *p ? (int)strtol(p + 1, NULL, 10) : 0;
}

const char *node_float_text(double number, char *text)
{
	char digits[DIGITS_SIZE];
	const char *sign = signbit(number) && !isnan(number) ? "-" : "";
	if (!isfinite(number)) {
		(void)snprintf(
			text, NODE_FLOAT_TEXT, "%s%s", sign, isnan(number) ? "NaN" : "Infinity");
		return text;
	}
	int exponent = shortest(fabs(number), digits);
	int len = (int)strlen(digits);
	if (exponent < -4 || exponent >= 16)
		(void)snprintf(text, NODE_FLOAT_TEXT, "%s%c%s%se%c%02d", sign, digits[0],
			len > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
	else if (exponent < 0)
		(void)snprintf(
			text, NODE_FLOAT_TEXT, "%s0.%.*s%s", sign, -exponent - 1, "0000", digits);
	else if (exponent + 1 >= len)
		(void)snprintf(text, NODE_FLOAT_TEXT, "%s%s%.*s.0", sign, digits,
			exponent + 1 - len, "0000000000000000");
	else
		(void)snprintf(text, NODE_FLOAT_TEXT, "%s%.*s.%s", sign, exponent + 1, digits,
			digits + exponent + 1);
	return text;
}

static const char *short_escape(char c)
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	case '\f':
		return "\\f";
	case '\b':
		return "\\b";
	default:
		return NULL;
	}
}

/* Python's escapes, which differ from buf_add_json()'s in \r, \f, \b and DEL. */
static void write_text(struct buf *out, const char *text, size_t len)
{
	size_t plain = 0; /* start of what can be copied as it is */
	buf_add_char(out, '"');
	for (size_t i = 0; i < len;) {
		const char *escape = short_escape(text[i]);
		size_t width = utf8_width(text + i, len - i);
		if (!escape && width && (unsigned char)text[i] >= 0x20) {
			i += width;
			continue;
		}
		buf_add(out, text + plain, i - plain);
		if (escape)
			buf_add_str(out, escape);
		else if (width)
			buf_addf(out, "\\u%04x", (unsigned)text[i]);
		else
			buf_add_str(out, "\xEF\xBF\xBD");
		plain = ++i;
	}
	buf_add(out, text + plain, len - plain);
	buf_add_char(out, '"');
}

static void line_break(struct writer *writer, int depth)
{
	if (!writer->indent)
		return;
	buf_addf(writer->out, "\n%*s", writer->indent * depth, "");
}

static bool is_number(const struct node *node)
{
	return node &&
	       (node->kind == NODE_INT || node->kind == NODE_FLOAT || node->kind == NODE_BOOL);
}

static double as_number(const struct node *node)
{
	if (node->kind == NODE_FLOAT)
		return node->number;
	return node->kind == NODE_BOOL ? node->boolean : (double)node->integer;
}

static int compare_keys(const void *a, const void *b)
{
	const struct node_entry *left = *(const struct node_entry *const *)a;
	const struct node_entry *right = *(const struct node_entry *const *)b;
	if (is_number(left->key_node) && is_number(right->key_node)) {
		double x = as_number(left->key_node), y = as_number(right->key_node);
		return (x > y) - (x < y);
	}
	size_t common = left->key_len < right->key_len ? left->key_len : right->key_len;
	int order = memcmp(left->key, right->key, common);
	return order ? order : (left->key_len > right->key_len) - (left->key_len < right->key_len);
}

/* Can Python sort the keys of every map in it? Texts among themselves and numbers among
 * themselves; json.dumps() is called again without sorting otherwise. */
static bool is_sortable(const struct node *node)
{
	for (size_t i = 0; node->kind == NODE_LIST && i < node->count; i++)
		if (!is_sortable(node->items[i]))
			return false;
	if (node->kind != NODE_MAP)
		return true;
	size_t texts = 0, numbers = 0;
	for (size_t i = 0; i < node->count; i++) {
		const struct node *key = node->map[i].key_node;
		texts += !key || key->kind == NODE_STRING;
		numbers += is_number(key);
		if (!is_sortable(node->map[i].value))
			return false;
	}
	return node->count < 2 || texts == node->count || numbers == node->count;
}

static void write_node(struct writer *writer, const struct node *node, int depth);

static void write_list(struct writer *writer, const struct node *list, int depth)
{
	buf_add_char(writer->out, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			buf_add_char(writer->out, ',');
		line_break(writer, depth + 1);
		write_node(writer, list->items[i], depth + 1);
	}
	if (list->count)
		line_break(writer, depth);
	buf_add_char(writer->out, ']');
}

static void write_map(struct writer *writer, const struct node *map, int depth)
{
	auto_free const struct node_entry **order = mem_zero(map->count, sizeof(*order));
	for (size_t i = 0; i < map->count; i++)
		order[i] = &map->map[i];
	if (writer->sort && map->count > 1)
		qsort(order, map->count, sizeof(*order), compare_keys);
	buf_add_char(writer->out, '{');
	for (size_t i = 0; i < map->count; i++) {
		if (i)
			buf_add_char(writer->out, ',');
		line_break(writer, depth + 1);
		write_text(writer->out, order[i]->key, order[i]->key_len);
		buf_add_str(writer->out, writer->indent ? ": " : ":");
		write_node(writer, order[i]->value, depth + 1);
	}
	if (map->count)
		line_break(writer, depth);
	buf_add_char(writer->out, '}');
}

/* As AnsibleJSONEncoder marks what must not be templated or is encrypted. */
static void write_tagged(struct writer *writer, const struct node *node, int depth)
{
	buf_add_char(writer->out, '{');
	line_break(writer, depth + 1);
	buf_addf(writer->out, "\"__ansible_%s\":%s",
		strstr(node->tag, "vault") ? "vault" : "unsafe", writer->indent ? " " : "");
	write_text(writer->out, node->text, node->len);
	line_break(writer, depth);
	buf_add_char(writer->out, '}');
}

static void write_float(struct writer *writer, const struct node *node)
{
	char text[NODE_FLOAT_TEXT];
	buf_add_str(writer->out, node->integral ? node->text : node_float_text(node->number, text));
}

static void write_node(struct writer *writer, const struct node *node, int depth)
{
	switch (node->kind) {
	case NODE_NULL:
		buf_add_str(writer->out, "null");
		return;
	case NODE_BOOL:
		buf_add_str(writer->out, node->boolean ? "true" : "false");
		return;
	case NODE_INT:
		buf_addf(writer->out, "%lld", (long long)node->integer);
		return;
	case NODE_FLOAT:
		write_float(writer, node);
		return;
	case NODE_STRING:
		write_text(writer->out, node->text, node->len);
		return;
	case NODE_TIME:
		write_text(writer->out, node->iso, strlen(node->iso));
		return;
	case NODE_TAGGED:
		write_tagged(writer, node, depth);
		return;
	case NODE_LIST:
		write_list(writer, node, depth);
		return;
	case NODE_MAP:
		write_map(writer, node, depth);
		return;
	}
}

void node_to_json(const struct node *node, int indent, bool sort_keys, struct buf *out)
{
	struct writer writer = {
		.out = out, .indent = indent, .sort = sort_keys && is_sortable(node)};
	write_node(&writer, node, 0);
}
