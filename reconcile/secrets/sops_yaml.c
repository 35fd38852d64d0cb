/* A small YAML emitter that writes what sops 3.13 writes (specs/sops-age.md 2.11): libyaml's own
 * does not indent lists in mappings. Comments are not written. */
#include "base/buf.h"
#include "reconcile/secrets/sops_store.h"
#include "reconcile/secrets/sops_value.h"
#include "reconcile/secrets/sops_yaml_scalar.h"
#include <math.h>

#define INDENT         4
#define SIMPLE_KEY_MAX 128 /* longer ones need the `? key` form */

static void write_value(const struct node *node, unsigned column, struct buf *out);

/* The column of a block inside one at @p column. */
static unsigned next_column(unsigned column)
{
	return (column / INDENT + 1) * INDENT;
}

static void add_spaces(struct buf *out, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buf_add_char(out, ' ');
}

static bool is_block(const struct node *node)
{
	return (node->kind == NODE_MAP || node->kind == NODE_LIST) && node->count;
}

/* Lines of a literal block; blank ones are not indented. */
static void write_literal(const char *text, size_t len, unsigned column, struct buf *out)
{
	size_t ends = 0;
	while (ends < len && text[len - 1 - ends] == '\n')
		ends++;
	buf_add_char(out, '|');
	if (text[0] == ' ' || text[0] == '\n')
		buf_addf(out, "%d", INDENT);
	if (!ends)
		buf_add_char(out, '-');
	else if (ends > 1 || ends == len)
		buf_add_char(out, '+');
	for (const char *end = text + len; text < end;) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((stop ? stop : end) - text);
		buf_add_char(out, '\n');
		if (size)
			add_spaces(out, column);
		buf_add(out, text, size);
		text = stop ? stop + 1 : end;
	}
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

static void write_scalar(const struct node *node, unsigned column, struct buf *out)
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
		if (sops_yaml_style(node->text, node->len, false) == SOPS_YAML_LITERAL)
			write_literal(node->text, node->len, next_column(column), out);
		else
			sops_yaml_inline(node->text, node->len, false, out);
		return;
	case NODE_MAP:
		buf_add_str(out, "{}");
		return;
	case NODE_LIST:
		buf_add_str(out, "[]");
		return;
	case NODE_NULL:
		buf_add_str(out, "null");
		return;
	}
}

static void write_key(const struct node_entry *entry, unsigned column, struct buf *out)
{
	bool simple = entry->key_len <= SIMPLE_KEY_MAX;
	buf_add_str(out, simple ? "" : "? ");
	if (strcmp(entry->key, "<<") == 0)
		buf_add_str(out, "!!merge <<");
	else
		sops_yaml_inline(entry->key, entry->key_len, true, out);
	if (!simple) {
		buf_add_char(out, '\n');
		add_spaces(out, column);
	}
	buf_add_char(out, ':');
}

/* The first entry stands where the writer is; the others get lines of their own. */
static void write_map(const struct node *map, unsigned column, struct buf *out)
{
	for (size_t i = 0; i < map->count; i++) {
		if (i)
			add_spaces(out, column);
		write_key(&map->map[i], column, out);
		if (is_block(map->map[i].value)) {
			buf_add_char(out, '\n');
			add_spaces(out, next_column(column));
			write_value(map->map[i].value, next_column(column), out);
		} else {
			buf_add_char(out, ' ');
			write_value(map->map[i].value, column, out);
		}
	}
}

static void write_list(const struct node *list, unsigned column, struct buf *out)
{
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			add_spaces(out, column);
		buf_add_str(out, "- ");
		write_value(list->items[i], is_block(list->items[i]) ? column + 2 : column, out);
	}
}

static void write_value(const struct node *node, unsigned column, struct buf *out)
{
	if (!is_block(node)) {
		write_scalar(node, column, out);
		buf_add_char(out, '\n');
	} else if (node->kind == NODE_MAP) {
		write_map(node, column, out);
	} else {
		write_list(node, column, out);
	}
}

void sops_yaml_write(const struct node *map, struct buf *out)
{
	write_value(map, 0, out);
}
