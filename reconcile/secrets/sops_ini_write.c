/* ini as ini.v1 writes it: `=` aligned in each section, a blank line between them, comments with
 * `; ` before what they belong to */
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_value.h"
#include <math.h>

#define TEXT_MAX ((size_t)32 << 20)

static bool has_any(const char *text, size_t len, const char *chars)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] && strchr(chars, text[i]))
			return true;
	}
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As Go's %G with the shortest digits; never like an integer. */
static void write_float(double number, struct buf *out)
{
	char form[40];
	double size = fabs(number);
	if (isnan(number) || isinf(number) || size == 0 || (size >= 1e-4 && size < 1e6)) {
		size_t before = out->len;
		sops_format_float(number, out);
		if (!isnan(number) && !isinf(number) &&
			!memchr(out->text + before, '.', out->len - before))
			buf_add_str(out, ".0");
		return;
	}
	for (int precision = 0; precision < 17; precision++) {
		(void)snprintf(form, sizeof(form), "%.*E", precision, number); /* fits */
		if (strtod(form, NULL) == number)
			break;
	}
	buf_add_str(out, form);
}

/* RFC 3339 in whole seconds. */
static void write_time(const char *iso, struct buf *out)
{
	const char *dot = strchr(iso, '.');
	size_t before = dot ? (size_t)(dot - iso) : strlen(iso);
	buf_add(out, iso, before);
	if (dot)
		buf_add_str(out, dot + 1 + strspn(dot + 1, "0123456789"));
}

bool sops_flat_scalar(const struct sops_item *item, struct buf *out, struct error *err)
{
	const struct node *node = item->value;
	if (item->kind != SOPS_ITEM_SCALAR) {
		auto_buf struct buf key = BUF_INIT(200);
		buf_add_clean(
			&key, item->key ? item->key : "", item->key_len < 60 ? item->key_len : 60);
		return error_set(err, ERR_INVALID,
			"dotenv and ini hold no maps and lists, but '%s' is one", key.text);
	}
	switch (node->kind) {
	case NODE_NULL:
		buf_add_str(out, "<nil>");
		return true;
	case NODE_BOOL:
		buf_add_str(out, node->boolean ? "true" : "false");
		return true;
	case NODE_INT:
		buf_addf(out, "%lld", (long long)node->integer);
		return true;
	case NODE_FLOAT:
		write_float(node->number, out);
		return true;
	case NODE_TIME:
		write_time(node->iso, out);
		return true;
	default:
		buf_add(out, node->text, node->len);
		return true;
	}
}

/* Each line with a mark; blanks around it go. */
static void write_comment(const struct sops_item *comment, struct buf *out)
{
	const char *at = comment->value->text, *end = at + comment->value->len;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *last = stop ? stop : end, *next = last;
		char mark = *at == '#' || *at == ';' ? *at++ : ';';
		while (at < last && is_blank(*at))
			at++;
		while (last > at && is_blank(last[-1]))
			last--;
		buf_addf(out, "%c ", mark);
		buf_add(out, at, (size_t)(last - at));
		buf_add_char(out, '\n');
		at = next + 1;
	}
}

static const char *key_quotes(const struct sops_item *item)
{
	if (has_any(item->key, item->key_len, "\"=:"))
		return "`";
	return has_any(item->key, item->key_len, "`") ? "\"\"\"" : "";
}

static size_t key_width(const struct sops_item *item)
{
	return item->key_len + 2 * strlen(key_quotes(item));
}

static const char *value_quotes(const struct buf *text)
{
	if (has_any(text->text, text->len, "\n`"))
		return "\"\"\"";
	if (has_any(text->text, text->len, "#;"))
		return "`";
	return text->len && (is_blank(text->text[0]) || is_blank(text->text[text->len - 1])) ? "\""
											     : "";
}

static bool write_key(
	const struct sops_item *item, size_t width, struct buf *out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TEXT_MAX);
	const char *quotes = key_quotes(item);
	if (has_any(item->key, item->key_len, "\n") || !item->key_len)
		return error_set(err, ERR_INVALID,
			"ini has no form for a key that is empty or has a line break");
	if (!sops_flat_scalar(item, &text, err))
		return false;
	buf_add_str(out, quotes);
	buf_add(out, item->key, item->key_len);
	buf_add_str(out, quotes);
	for (size_t i = key_width(item); i < width; i++)
		buf_add_char(out, ' ');
	quotes = value_quotes(&text);
	buf_addf(out, " = %s", quotes);
	buf_add(out, text.text, text.len);
	buf_addf(out, "%s\n", quotes);
	return true;
}

/* A key's comment stands behind it in the tree and before it in the file. */
static bool write_keys(
	const struct sops_item *section, size_t from, struct buf *out, struct error *err)
{
	size_t width = 0;
	for (size_t i = from; i < section->count; i++) {
		if (section->items[i]->key && key_width(section->items[i]) > width)
			width = key_width(section->items[i]);
	}
	for (size_t i = from; i < section->count; i++) {
		const struct sops_item *item = section->items[i];
		const struct sops_item *next =
			i + 1 < section->count ? section->items[i + 1] : NULL;
		if (item->kind == SOPS_ITEM_COMMENT)
			continue;
		if (next && next->kind == SOPS_ITEM_COMMENT)
			write_comment(next, out);
		if (!write_key(item, width, out, err))
			return false;
	}
	return true;
}

static bool write_section(
	const struct sops_item *section, bool first, struct buf *out, struct error *err)
{
	bool comment = section->count && section->items[0]->kind == SOPS_ITEM_COMMENT;
	bool hidden = first && strcasecmp(section->key, "DEFAULT") == 0;
	if (section->kind != SOPS_ITEM_MAP)
		return error_set(err, ERR_INVALID,
			"ini holds sections of keys, but the file has a value at its top");
	if (memchr(section->key, '\n', section->key_len) || !section->key_len)
		return error_set(err, ERR_INVALID,
			"ini has no form for a section whose name is empty or has a line break");
	if (comment)
		write_comment(section->items[0], out);
	if (!hidden) {
		buf_add_char(out, '[');
		buf_add(out, section->key, section->key_len);
		buf_add_str(out, "]\n");
	}
	return write_keys(section, comment, out, err);
}

bool sops_ini_write(const struct sops_item *document, struct buf *out, struct error *err)
{
	bool first = true, blank = false;
	for (size_t i = 0; i < document->count; i++) {
		const struct sops_item *section = document->items[i];
		if (section->kind == SOPS_ITEM_COMMENT)
			continue;
		if (blank)
			buf_add_char(out, '\n');
		if (!write_section(section, first, out, err))
			return false;
		blank = !(first && strcasecmp(section->key, "DEFAULT") == 0 &&
			  !sops_item_has_values(section));
		first = false;
	}
	return true;
}
