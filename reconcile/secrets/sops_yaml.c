/* A small YAML emitter that writes what sops 3.13 writes (specs/sops-age.md 2.11): libyaml's own
 * does not indent lists in mappings and has no comments.
 *
 * Comments at the head of a collection inside a list stand before its `- `, so they are written by
 * the list. */
#include "base/buf.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_value.h"
#include "reconcile/secrets/sops_yaml_scalar.h"
#include <math.h>

#define INDENT         4
#define MERGE          "!!merge <<"
#define SIMPLE_KEY_MAX 128 /* longer ones need the `? key` form */

struct writer {
	struct buf *out;
	unsigned indent;
};

static void write_block(struct writer *writer, const struct sops_item *item, unsigned column);

/* The column of a block inside one at @p column. */
static unsigned next_column(const struct writer *writer, unsigned column)
{
	return (column / writer->indent + 1) * writer->indent;
}

static void add_spaces(struct writer *writer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buf_add_char(writer->out, ' ');
}

static bool is_block(const struct sops_item *item)
{
	return item->kind != SOPS_ITEM_SCALAR && sops_item_has_values(item);
}

/* Lines of a literal block; blank ones are not indented. */
static void write_lines(struct writer *writer, const struct node *node, unsigned column)
{
	const char *text = node->text;
	for (const char *end = text + node->len; text < end;) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((stop ? stop : end) - text);
		buf_add_char(writer->out, '\n');
		if (size)
			add_spaces(writer, column);
		buf_add(writer->out, text, size);
		text = stop ? stop + 1 : end;
	}
}

/* The digit says how deep the text stands. sops always writes its own indent, which is wrong in
 * lists, where the text stands deeper by 2 only: its output does not parse there, ours does. */
static void write_header(struct writer *writer, const struct node *node, unsigned depth)
{
	size_t ends = 0;
	while (ends < node->len && node->text[node->len - 1 - ends] == '\n')
		ends++;
	buf_add_char(writer->out, '|');
	if (node->text[0] == ' ' || node->text[0] == '\t' || node->text[0] == '\n')
		buf_addf(writer->out, "%u", depth);
	if (!ends)
		buf_add_char(writer->out, '-');
	else if (ends > 1 || ends == node->len)
		buf_add_char(writer->out, '+');
}

/* As Go's %g with the shortest digits: an exponent below 1e-4 and from 1e6 on. */
static void write_float(double number, struct buf *out)
{
	if (isnan(number) || isinf(number)) {
		buf_add_str(out, isnan(number) ? ".nan" : number < 0 ? "-.inf" : ".inf");
		return;
	}
	double size = fabs(number);
	if (size == 0 || (size >= 1e-4 && size < 1e6)) {
		sops_format_float(number, out);
		return;
	}
	char form[40];
	for (int precision = 0; precision < 17; precision++) {
		(void)snprintf(form, sizeof(form), "%.*e", precision, number); /* fits */
		if (strtod(form, NULL) == number)
			break;
	}
	buf_add_str(out, form);
}

static bool is_merge(const char *text, size_t len)
{
	return len == 2 && memcmp(text, "<<", 2) == 0;
}

static void write_scalar(const struct node *node, struct buf *out)
{
	switch (node->kind) {
	case NODE_BOOL:
		buf_add_str(out, node->boolean ? "true" : "false");
		return;
	case NODE_INT:
		buf_addf(out, "%lld", (long long)node->integer);
		return;
	case NODE_FLOAT:
		write_float(node->number, out);
		return;
	case NODE_TIME:
		buf_add_str(out, node->iso);
		return;
	case NODE_STRING:
	case NODE_TAGGED:
		if (is_merge(node->text, node->len)) /* sops writes it so as a value too */
			buf_add_str(out, MERGE);
		else
			sops_yaml_inline(node->text, node->len, false, out);
		return;
	default:
		buf_add_str(out, "null");
		return;
	}
}

static void write_text(struct writer *writer, const struct sops_item *comment)
{
	buf_add_char(writer->out, '#');
	buf_add(writer->out, comment->value->text, comment->value->len);
}

/* Where something stands, and where a block inside it would. */
struct place {
	unsigned column, inside;
};

/* The rest of a line: what has no block, and the comment beside it. */
static void write_inline(struct writer *writer, const struct sops_item *item,
	const struct sops_item *beside, struct place place)
{
	const struct node *node = item->value;
	bool text = item->kind == SOPS_ITEM_SCALAR &&
		    (node->kind == NODE_STRING || node->kind == NODE_TAGGED);
	bool literal = text && sops_yaml_style(node->text, node->len, false) == SOPS_YAML_LITERAL;
	if (item->kind == SOPS_ITEM_MAP)
		buf_add_str(writer->out, "{}");
	else if (item->kind == SOPS_ITEM_LIST)
		buf_add_str(writer->out, "[]");
	else if (literal)
		write_header(writer, node, place.inside - place.column);
	else
		write_scalar(node, writer->out);
	if (beside) {
		buf_add_char(writer->out, ' ');
		write_text(writer, beside);
	}
	if (literal)
		write_lines(writer, node, place.inside);
	buf_add_char(writer->out, '\n');
}

static void write_key(struct writer *writer, const struct sops_item *item, unsigned column)
{
	bool simple = item->key_len <= SIMPLE_KEY_MAX;
	buf_add_str(writer->out, simple ? "" : "? ");
	if (is_merge(item->key, item->key_len))
		buf_add_str(writer->out, MERGE);
	else
		sops_yaml_inline(item->key, item->key_len, true, writer->out);
	if (!simple) {
		buf_add_char(writer->out, '\n');
		add_spaces(writer, column);
	}
	buf_add_char(writer->out, ':');
}

/* Index of the first item that is no comment. */
static size_t skip_comments(const struct sops_item *container, size_t i)
{
	while (i < container->count && container->items[i]->kind == SOPS_ITEM_COMMENT)
		i++;
	return i;
}

/* Comments between two indexes, each on a line of its own, but for one beside. */
static const struct sops_item *write_comments(struct writer *writer,
	const struct sops_item *container, size_t from, size_t to, unsigned column)
{
	const struct sops_item *beside = NULL;
	const struct sops_item *next = to < container->count ? container->items[to] : NULL;
	for (size_t i = from; i < to; i++) {
		const struct sops_item *comment = container->items[i];
		if (comment->beside && !beside && next && next->kind == SOPS_ITEM_SCALAR) {
			beside = comment;
			continue;
		}
		add_spaces(writer, column);
		write_text(writer, comment);
		buf_add_char(writer->out, '\n');
	}
	return beside;
}

/* Comments that stand before a collection's first line: of one that is written in one line, or
 * that starts behind a `- `. */
static void write_head(
	struct writer *writer, const struct sops_item *item, bool in_list, unsigned column)
{
	size_t first = skip_comments(item, 0);
	if (item->kind == SOPS_ITEM_SCALAR || (!in_list && first < item->count))
		return;
	(void)write_comments(writer, item, 0, first, column); /* none is beside a scalar here */
	if (first < item->count && item->kind == SOPS_ITEM_LIST)
		write_head(writer, item->items[first], true, column);
}

static void write_map_entry(struct writer *writer, const struct sops_item *item,
	const struct sops_item *beside, unsigned column)
{
	write_key(writer, item, column);
	if (!is_block(item)) {
		buf_add_char(writer->out, ' ');
		write_inline(
			writer, item, beside, (struct place){column, next_column(writer, column)});
		return;
	}
	unsigned next = next_column(writer, column);
	buf_add_char(writer->out, '\n');
	(void)write_comments(writer, item, 0, skip_comments(item, 0), next);
	if (item->kind == SOPS_ITEM_LIST)
		write_head(writer, item->items[skip_comments(item, 0)], true, next);
	add_spaces(writer, next);
	write_block(writer, item, next);
}

static void write_list_item(struct writer *writer, const struct sops_item *item,
	const struct sops_item *beside, unsigned column)
{
	buf_add_str(writer->out, "- ");
	if (is_block(item))
		write_block(writer, item, column + 2);
	else
		write_inline(writer, item, beside, (struct place){column, column + 2});
}

/* The first item stands where the writer is, its comments have been written; the others get lines
 * of their own. */
static void write_block(struct writer *writer, const struct sops_item *item, unsigned column)
{
	bool list = item->kind == SOPS_ITEM_LIST;
	size_t at = skip_comments(item, 0);
	const struct sops_item *beside = NULL;
	for (size_t i = 0; i < at; i++) {
		if (item->items[i]->beside && item->items[at]->kind == SOPS_ITEM_SCALAR)
			beside = beside ? beside : item->items[i];
	}
	while (at < item->count) {
		const struct sops_item *child = item->items[at];
		size_t next = skip_comments(item, at + 1);
		if (list)
			write_list_item(writer, child, beside, column);
		else
			write_map_entry(writer, child, beside, column);
		beside = write_comments(writer, item, at + 1, next, column);
		if (next < item->count) {
			write_head(writer, item->items[next], list, column);
			add_spaces(writer, column);
		}
		at = next;
	}
}

void sops_yaml_write(const struct sops_item *document, unsigned indent, struct buf *out)
{
	/* a block's header has room for one digit; sops takes 2 where another does not fit */
	bool fits = indent >= 2 && indent <= 9;
	struct writer writer = {out, fits ? indent : indent ? 2 : INDENT};
	size_t first = skip_comments(document, 0);
	(void)write_comments(&writer, document, 0, first, 0);
	if (!is_block(document)) {
		write_inline(&writer, document, NULL, (struct place){0, writer.indent});
		return;
	}
	write_head(&writer, document->items[first], document->kind == SOPS_ITEM_LIST, 0);
	write_block(&writer, document, 0);
}
