/* JSON as Go's encoder writes it, indented as sops does (specs/sops-age.md 2.12) */
#include "base/utf8.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_value.h"
#include <math.h>

struct writer {
	struct buf *out;
	struct error *err;
	unsigned indent; /* 0: a tab */
	unsigned depth;
};

static bool write_item(struct writer *writer, const struct sops_item *item);

static void new_line(struct writer *writer)
{
	buf_add_char(writer->out, '\n');
	if (writer->indent == SOPS_INDENT_NONE)
		return;
	unsigned count = writer->depth * (writer->indent ? writer->indent : 1);
	for (unsigned i = 0; i < count; i++)
		buf_add_char(writer->out, writer->indent ? ' ' : '\t');
}

/* Also what is special in HTML, as Go escapes it. */
static void write_ascii(struct buf *out, char c)
{
	static const char letters[] = "\b\f\n\r\t", names[] = "bfnrt";
	const char *letter = c ? strchr(letters, c) : NULL;
	if (c == '"' || c == '\\')
		buf_addf(out, "\\%c", c);
	else if (letter)
		buf_addf(out, "\\%c", names[letter - letters]);
	else if ((uint8_t)c < 0x20 || c == '<' || c == '>' || c == '&')
		buf_addf(out, "\\u%04x", (unsigned)c);
	else
		buf_add_char(out, c);
}

static void write_text(struct buf *out, const char *text, size_t len)
{
	buf_add_char(out, '"');
	for (size_t i = 0, width; i < len; i += width ? width : 1) {
		width = utf8_width(text + i, len - i);
		if (width == 1)
			write_ascii(out, text[i]);
		else if (!width)
			buf_add_str(out, "\\ufffd");
		else if (width == 3 && (memcmp(text + i, "\xe2\x80\xa8", 3) == 0 ||
					       memcmp(text + i, "\xe2\x80\xa9", 3) == 0))
			buf_addf(out, "\\u202%c", text[i + 2] == '\xa8' ? '8' : '9');
		else
			buf_add(out, text + i, width);
	}
	buf_add_char(out, '"');
}

/* Shortest digits; an exponent below 1e-6 and from 1e21 on, without leading zeros. */
static bool write_float(struct writer *writer, double number)
{
	char form[40];
	double size = fabs(number);
	if (isnan(number) || isinf(number))
		return error_set(writer->err, ERR_INVALID, "JSON has no form for infinity and NaN");
	if (size == 0 || (size >= 1e-6 && size < 1e21)) {
		sops_format_float(number, writer->out);
		return true;
	}
	for (int precision = 0; precision < 17; precision++) {
		(void)snprintf(form, sizeof(form), "%.*e", precision, number); /* fits */
		if (strtod(form, NULL) == number)
			break;
	}
	char *exponent = strchr(form, 'e');
	bool short_one = exponent[1] == '-' && exponent[2] == '0';
	if (short_one)
		memmove(exponent + 2, exponent + 3, strlen(exponent + 3) + 1);
	buf_add_str(writer->out, form);
	return true;
}

static bool write_scalar(struct writer *writer, const struct node *node)
{
	switch (node->kind) {
	case NODE_NULL:
		buf_add_str(writer->out, "null");
		return true;
	case NODE_BOOL:
		buf_add_str(writer->out, node->boolean ? "true" : "false");
		return true;
	case NODE_INT:
		buf_addf(writer->out, "%lld", (long long)node->integer);
		return true;
	case NODE_FLOAT:
		return write_float(writer, node->number);
	case NODE_TIME:
		write_text(writer->out, node->iso, strlen(node->iso));
		return true;
	default:
		write_text(writer->out, node->text, node->len);
		return true;
	}
}

static bool write_container(struct writer *writer, const struct sops_item *item)
{
	bool list = item->kind == SOPS_ITEM_LIST, first = true;
	buf_add_char(writer->out, list ? '[' : '{');
	writer->depth++;
	for (size_t i = 0; i < item->count; i++) {
		const struct sops_item *child = item->items[i];
		if (child->kind == SOPS_ITEM_COMMENT)
			continue;
		if (!first)
			buf_add_char(writer->out, ',');
		first = false;
		new_line(writer);
		if (!list) {
			write_text(writer->out, child->key, child->key_len);
			buf_add_str(writer->out, ": ");
		}
		if (!write_item(writer, child))
			return false;
	}
	writer->depth--;
	if (!first)
		new_line(writer);
	buf_add_char(writer->out, list ? ']' : '}');
	return true;
}

static bool write_item(struct writer *writer, const struct sops_item *item)
{
	if (item->kind == SOPS_ITEM_MAP || item->kind == SOPS_ITEM_LIST)
		return write_container(writer, item);
	return write_scalar(writer, item->value);
}

bool sops_json_write(
	const struct sops_item *item, unsigned indent, struct buf *out, struct error *err)
{
	struct writer writer = {.out = out, .err = err, .indent = indent};
	return write_item(&writer, item);
}
