/* Comments stand in the gaps between tokens:
 *
 *   # before a         whole line: belongs to the next item if it stands at or left of its column,
 *   a: 1 # beside a    else to the container of the item before, where it is before nothing
 *   - # before or beside the item, whose place is that of the next token
 */
#include "reconcile/secrets/sops_comments.h"
#include "base/buf.h"
#include <yaml.h>

#define COMMENT_MAX 4096 /* bytes of a comment that are looked at */

struct item {
	size_t line, column; /* as libyaml counts: from 0 */
	bool in_list;
	bool hit;
};

struct sops_comments {
	struct item *items; /* of the whole file, in order */
	size_t count, capacity;
};

struct scanner {
	struct sops_comments *comments;
	const struct sops_rules *rules;
	const char *at, *end; /* `at` has the index `index` in characters */
	size_t index;
	yaml_mark_t gap;          /* where the last token ended */
	yaml_token_type_t before; /* its type */
	bool open_item;           /* the newest item waits for its place */
	size_t pending_column;    /* of the matching whole-line comment at the left; or NONE */
};

#define NONE SIZE_MAX

/* Moves to a character's index; libyaml counts characters, not bytes. */
static const char *seek(struct scanner *scanner, size_t index)
{
	while (scanner->index < index && scanner->at < scanner->end) {
		scanner->at++;
		while (scanner->at < scanner->end && ((uint8_t)*scanner->at & 0xc0) == 0x80)
			scanner->at++;
		scanner->index++;
	}
	return scanner->at;
}

static bool matches(const struct scanner *scanner, const char *text, size_t len)
{
	auto_buf struct buf comment = BUF_INIT(COMMENT_MAX);
	if (len && text[len - 1] == '\r')
		len--;
	buf_add(&comment, text, len);
	return regexec(scanner->rules->regex, comment.text, 0, NULL, 0) == 0;
}

/* One comment; its text starts behind the #. */
static void take_comment(
	struct scanner *scanner, const char *text, size_t len, bool beside, size_t column)
{
	struct sops_comments *comments = scanner->comments;
	bool flow_end = scanner->before == YAML_FLOW_SEQUENCE_END_TOKEN ||
			scanner->before == YAML_FLOW_MAPPING_END_TOKEN;
	if (!matches(scanner, text, len))
		return;
	if (!beside) {
		if (column < scanner->pending_column)
			scanner->pending_column = column;
	} else if (comments->count && !flow_end) {
		comments->items[comments->count - 1].hit = true;
	}
}

/* The text between two tokens: blanks, line ends and comments. */
static void take_gap(struct scanner *scanner, const yaml_token_t *token)
{
	const char *start = seek(scanner, scanner->gap.index);
	const char *end = seek(scanner, token->start_mark.index);
	const char *line = start;
	bool beside = scanner->before != YAML_NO_TOKEN && scanner->gap.column > 0;
	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		const char *next = stop ? stop : end;
		const char *mark = memchr(line, '#', (size_t)(next - line));
		if (mark)
			take_comment(scanner, mark + 1, (size_t)(next - mark - 1), beside,
				(size_t)(mark - line));
		line = next + 1;
		beside = false;
	}
}

static void add_item(struct scanner *scanner, const yaml_mark_t *mark, bool in_list)
{
	struct sops_comments *comments = scanner->comments;
	bool hit = scanner->pending_column <= mark->column; /* NONE is past every column */
	mem_grow(comments->items, comments->count, comments->capacity);
	comments->items[comments->count++] = (struct item){
		.line = mark->line, .column = mark->column, .in_list = in_list, .hit = hit};
	scanner->open_item = in_list;
	scanner->pending_column = NONE;
}

static void take_token(struct scanner *scanner, const yaml_token_t *token)
{
	struct sops_comments *comments = scanner->comments;
	take_gap(scanner, token);
	if (scanner->open_item && token->type != YAML_BLOCK_END_TOKEN) {
		struct item *item = &comments->items[comments->count - 1];
		item->line = token->start_mark.line;
		item->column = token->start_mark.column;
		scanner->open_item = false;
	}
	if (token->type == YAML_KEY_TOKEN || token->type == YAML_BLOCK_ENTRY_TOKEN)
		add_item(scanner, &token->start_mark, token->type == YAML_BLOCK_ENTRY_TOKEN);
	else if (token->type == YAML_DOCUMENT_START_TOKEN || token->type == YAML_DOCUMENT_END_TOKEN)
		scanner->pending_column = NONE;
	if (token->end_mark.index > token->start_mark.index) {
		scanner->gap = token->end_mark;
		scanner->before = token->type;
	}
}

static bool scan(struct scanner *scanner, yaml_parser_t *parser, struct error *err)
{
	for (bool done = false; !done;) {
		yaml_token_t token;
		if (!yaml_parser_scan(parser, &token))
			return error_set(err, ERR_INVALID, "comments cannot be read");
		done = token.type == YAML_STREAM_END_TOKEN;
		take_token(scanner, &token);
		yaml_token_delete(&token);
	}
	return true;
}

bool sops_comments_read(const char *bytes, size_t len, const struct sops_rules *rules,
	struct sops_comments **comments_out, struct error *err)
{
	size_t bom = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	struct sops_comments *comments = mem_zero(1, sizeof(*comments));
	struct scanner scanner = {
		.comments = comments,
		.rules = rules,
		.at = bytes + bom,
		.end = bytes + len,
		.pending_column = NONE,
	};
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		mem_abort(sizeof(parser));
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes + bom, len - bom);
	bool ok = scan(&scanner, &parser, err);
	yaml_parser_delete(&parser);
	if (ok)
		*comments_out = comments;
	else
		sops_comments_free(comments);
	return ok;
}

void sops_comments_free(struct sops_comments *comments)
{
	if (!comments)
		return;
	free(comments->items);
	free(comments);
}

/* Items stand in the order of their places. */
static size_t first_at(const struct sops_comments *comments, size_t line, size_t column)
{
	size_t low = 0, high = comments->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct item *item = &comments->items[middle];
		if (item->line < line || (item->line == line && item->column < column))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool sops_comments_hit(const struct sops_comments *comments, const struct node *item, bool in_list)
{
	if (!comments || !item || !item->line || !item->column)
		return false;
	size_t line = item->line - 1, column = item->column - 1;
	for (size_t i = first_at(comments, line, column); i < comments->count; i++) {
		const struct item *found = &comments->items[i];
		if (found->line != line || found->column != column)
			return false;
		if (found->in_list == in_list)
			return found->hit;
	}
	return false;
}
