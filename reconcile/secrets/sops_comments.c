/* The scanner: comments stand in the gaps between libyaml's tokens. A comment in a line of its own
 * waits for the next key or list item, whose column decides to what it belongs. */
#include "base/buf.h"
#include "base/yaml_wipe.h"
#include "reconcile/secrets/sops_comments_parts.h"
#include <yaml.h>

#define NONE SOPS_COMMENT_NONE

/* An open collection. */
struct frame {
	size_t run; /* NONE for block maps */
	size_t column;
	bool flow, indentless;
};

struct scanner {
	struct sops_comments *comments;
	const char *bytes, *at, *end; /* `at` has the index `index` in characters */
	size_t index;
	yaml_mark_t gap; /* where the last token ended */
	yaml_token_type_t before;
	struct frame *frames;
	size_t depth, frame_capacity, flow_depth;
	bool properties; /* an anchor or tag stands before what comes, at `start` */
	yaml_mark_t start;
	size_t closed;              /* flow collection that ended last, or NONE */
	size_t pending, pending_to; /* comments that wait: from, to */
	size_t *columns;            /* of the waiting comments */
	size_t column_capacity;
	size_t last_mark; /* newest item, NONE at a document's start */
	bool list_item;   /* and whether it is one of a list */
	bool content;     /* the document has begun */
};

static const struct sops_hook no_hook = {NONE, NONE};

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

static void hang(struct sops_comments *comments, struct sops_hook *hook, size_t index)
{
	if (hook->first == NONE)
		hook->first = index;
	else
		comments->comments[hook->last].next = index;
	hook->last = index;
}

static struct sops_hook *document_hook(struct sops_comments *comments)
{
	if (!comments->document_count) {
		mem_grow(
			comments->documents, comments->document_count, comments->document_capacity);
		comments->documents[comments->document_count++] = no_hook;
	}
	return &comments->documents[comments->document_count - 1];
}

static size_t add_comment(
	struct scanner *scanner, const char *text, size_t len, enum sops_comment_place place)
{
	struct sops_comments *comments = scanner->comments;
	mem_grow(comments->comments, comments->count, comments->capacity);
	comments->comments[comments->count] =
		(struct sops_comment){.place = place, .text = text, .len = len, .next = NONE};
	return comments->count++;
}

/* Gives the waiting comments to the next item or, if they stand deeper, to the last one. */
static void settle(struct scanner *scanner, size_t column, struct sops_hook *next)
{
	struct sops_comments *comments = scanner->comments;
	for (size_t i = scanner->pending; i < scanner->pending_to; i++) {
		bool deeper = scanner->columns[i - scanner->pending] > column;
		struct sops_hook *hook = next;
		if (deeper && scanner->last_mark != NONE) {
			hook = &comments->marks[scanner->last_mark].hook;
			comments->comments[i].place = SOPS_COMMENT_AFTER;
		}
		hang(comments, hook, i);
	}
	scanner->pending = scanner->pending_to = 0;
}

static void wait_for_next(struct scanner *scanner, size_t comment, size_t column)
{
	size_t waiting = scanner->pending_to - scanner->pending;
	if (!waiting)
		scanner->pending = comment;
	scanner->pending_to = comment + 1;
	mem_grow(scanner->columns, waiting, scanner->column_capacity);
	scanner->columns[waiting] = column;
}

/* A comment at the end of a line that has something else. */
static void take_beside(struct scanner *scanner, const char *text, size_t len)
{
	struct sops_comments *comments = scanner->comments;
	struct sops_hook *hook = scanner->last_mark == NONE
					 ? document_hook(comments)
					 : &comments->marks[scanner->last_mark].hook;
	switch (scanner->before) {
	case YAML_SCALAR_TOKEN:
	case YAML_ALIAS_TOKEN:
		hang(comments, hook, add_comment(scanner, text, len, SOPS_COMMENT_BESIDE));
		return;
	case YAML_FLOW_SEQUENCE_END_TOKEN:
	case YAML_FLOW_MAPPING_END_TOKEN:
		if (!scanner->list_item && scanner->closed != NONE)
			hook = &comments->runs[scanner->closed].hook;
		hang(comments, hook,
			add_comment(scanner, text, len,
				scanner->list_item ? SOPS_COMMENT_BEFORE : SOPS_COMMENT_HEAD));
		return;
	case YAML_VALUE_TOKEN:
		hang(comments, hook, add_comment(scanner, text, len, SOPS_COMMENT_BEFORE));
		return;
	default:
		wait_for_next(scanner, add_comment(scanner, text, len, SOPS_COMMENT_BEFORE), 0);
		return;
	}
}

static void take_comment(
	struct scanner *scanner, const char *text, size_t len, bool beside, size_t column)
{
	struct sops_comments *comments = scanner->comments;
	if (scanner->flow_depth) {
		size_t i = scanner->depth - scanner->flow_depth;
		hang(comments, &comments->runs[scanner->frames[i].run].hook,
			add_comment(scanner, text, len, SOPS_COMMENT_HEAD));
	} else if (beside) {
		take_beside(scanner, text, len);
	} else {
		wait_for_next(
			scanner, add_comment(scanner, text, len, SOPS_COMMENT_BEFORE), column);
	}
}

/* Bytes of the line end that stands here, or 0. YAML 1.1 has more of them than CR and LF. */
static size_t break_len(const char *at, const char *end)
{
	static const char *const breaks[] = {
		"\r\n", "\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
	for (size_t i = 0; at < end && i < ARRAY_LEN(breaks); i++) {
		size_t len = strlen(breaks[i]);
		if ((size_t)(end - at) >= len && memcmp(at, breaks[i], len) == 0)
			return len;
	}
	return 0;
}

static const char *find_break(const char *at, const char *end)
{
	while (at < end && !break_len(at, end))
		at++;
	return at;
}

/* The text between two tokens: blanks, line ends and comments. */
static void take_gap(struct scanner *scanner, const yaml_token_t *token)
{
	const char *start = seek(scanner, scanner->gap.index);
	const char *end = seek(scanner, token->start_mark.index);
	const char *line = start;
	bool beside = scanner->before != YAML_NO_TOKEN && scanner->gap.column > 0;
	while (line < end) {
		const char *next = find_break(line, end);
		const char *mark = memchr(line, '#', (size_t)(next - line));
		if (mark)
			take_comment(scanner, mark + 1, (size_t)(next - mark - 1), beside,
				(size_t)(mark - line));
		line = next + break_len(next, end);
		beside = false;
	}
}

/* `k: | # comment`: libyaml makes it a part of the scalar. */
static void take_block_header(struct scanner *scanner, const yaml_token_t *token)
{
	if (token->type != YAML_SCALAR_TOKEN ||
		(token->data.scalar.style != YAML_LITERAL_SCALAR_STYLE &&
			token->data.scalar.style != YAML_FOLDED_SCALAR_STYLE))
		return;
	const char *start = seek(scanner, token->start_mark.index);
	const char *end = find_break(start, scanner->end);
	const char *mark = memchr(start, '#', (size_t)(end - start));
	if (!mark)
		return;
	scanner->before = YAML_SCALAR_TOKEN;
	take_beside(scanner, mark + 1, (size_t)(end - mark - 1));
}

static struct frame *push(struct scanner *scanner, bool flow, size_t column)
{
	mem_grow(scanner->frames, scanner->depth, scanner->frame_capacity);
	struct frame *frame = &scanner->frames[scanner->depth++];
	*frame = (struct frame){.run = NONE, .column = column, .flow = flow};
	scanner->flow_depth += flow;
	return frame;
}

static void start_run(struct scanner *scanner, struct frame *frame, yaml_mark_t mark, bool list)
{
	struct sops_comments *comments = scanner->comments;
	if (scanner->properties)
		mark = scanner->start;
	mem_grow(comments->runs, comments->run_count, comments->run_capacity);
	frame->run = comments->run_count;
	comments->runs[comments->run_count++] = (struct sops_run){
		.line = mark.line, .column = mark.column, .list = list, .hook = no_hook};
}

static void pop(struct scanner *scanner)
{
	if (!scanner->depth)
		return;
	struct frame *frame = &scanner->frames[--scanner->depth];
	if (!frame->flow)
		return;
	scanner->flow_depth--;
	scanner->closed = frame->run;
}

static void add_mark(struct scanner *scanner, yaml_mark_t mark, bool in_list)
{
	struct sops_comments *comments = scanner->comments;
	if (scanner->flow_depth)
		return;
	mem_grow(comments->marks, comments->mark_count, comments->mark_capacity);
	size_t index = comments->mark_count++;
	comments->marks[index] =
		(struct sops_mark){.line = mark.line, .column = mark.column, .hook = no_hook};
	settle(scanner, mark.column, &comments->marks[index].hook);
	scanner->last_mark = index;
	scanner->list_item = in_list;
}

static void take_key(struct scanner *scanner, yaml_mark_t mark)
{
	while (scanner->depth && scanner->frames[scanner->depth - 1].indentless)
		pop(scanner);
	add_mark(scanner, mark, false);
}

static void take_entry(struct scanner *scanner, yaml_mark_t mark)
{
	struct sops_comments *comments = scanner->comments;
	struct frame *top = scanner->depth ? &scanner->frames[scanner->depth - 1] : NULL;
	if (!top || top->run == NONE) { /* a list at the column of the key that holds it */
		top = push(scanner, false, mark.column);
		top->indentless = true;
		start_run(scanner, top, mark, true);
	}
	struct sops_run *run = &comments->runs[top->run];
	add_mark(scanner, mark, true);
	mem_grow(run->marks, run->count, run->capacity);
	run->marks[run->count++] = comments->mark_count - 1;
}

static void end_document(struct scanner *scanner)
{
	struct sops_comments *comments = scanner->comments;
	struct sops_hook *hook = document_hook(comments);
	for (size_t i = scanner->pending; i < scanner->pending_to; i++)
		comments->comments[i].place = SOPS_COMMENT_AFTER;
	settle(scanner, 0, hook);
	scanner->last_mark = NONE;
	scanner->depth = scanner->flow_depth = 0;
}

static void start_document(struct scanner *scanner)
{
	struct sops_comments *comments = scanner->comments;
	if (scanner->content) {
		end_document(scanner);
		mem_grow(
			comments->documents, comments->document_count, comments->document_capacity);
		comments->documents[comments->document_count++] = no_hook;
	}
	scanner->content = true;
}

static void take_start(struct scanner *scanner, const yaml_token_t *token)
{
	bool flow = token->type == YAML_FLOW_SEQUENCE_START_TOKEN ||
		    token->type == YAML_FLOW_MAPPING_START_TOKEN;
	bool list = token->type == YAML_FLOW_SEQUENCE_START_TOKEN ||
		    token->type == YAML_BLOCK_SEQUENCE_START_TOKEN;
	struct frame *frame = push(scanner, flow, token->start_mark.column);
	if (flow || list)
		start_run(scanner, frame, token->start_mark, list);
}

static void take_structure(struct scanner *scanner, const yaml_token_t *token)
{
	switch (token->type) {
	case YAML_DOCUMENT_START_TOKEN:
		start_document(scanner);
		return;
	case YAML_BLOCK_SEQUENCE_START_TOKEN:
	case YAML_BLOCK_MAPPING_START_TOKEN:
	case YAML_FLOW_SEQUENCE_START_TOKEN:
	case YAML_FLOW_MAPPING_START_TOKEN:
		scanner->content = true;
		take_start(scanner, token);
		return;
	case YAML_BLOCK_END_TOKEN:
		while (scanner->depth && scanner->frames[scanner->depth - 1].indentless)
			pop(scanner);
		pop(scanner);
		return;
	case YAML_FLOW_SEQUENCE_END_TOKEN:
	case YAML_FLOW_MAPPING_END_TOKEN:
		pop(scanner);
		return;
	case YAML_KEY_TOKEN:
		take_key(scanner, token->start_mark);
		return;
	case YAML_BLOCK_ENTRY_TOKEN:
		take_entry(scanner, token->start_mark);
		return;
	default:
		return;
	}
}

static void take_token(struct scanner *scanner, const yaml_token_t *token)
{
	bool property = token->type == YAML_ANCHOR_TOKEN || token->type == YAML_TAG_TOKEN;
	take_gap(scanner, token);
	take_block_header(scanner, token);
	take_structure(scanner, token);
	if (property && !scanner->properties)
		scanner->start = token->start_mark;
	scanner->properties = property;
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
		wipe_token(&token);
		yaml_token_delete(&token);
	}
	end_document(scanner);
	return true;
}

bool sops_comments_read(
	const char *bytes, size_t len, struct sops_comments **comments_out, struct error *err)
{
	size_t bom = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	auto_sops_comments struct sops_comments *comments = mem_zero(1, sizeof(*comments));
	struct scanner scanner = {
		.comments = comments,
		.at = bytes + bom,
		.end = bytes + len,
		.closed = NONE,
		.last_mark = NONE,
	};
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		mem_abort(sizeof(parser));
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes + bom, len - bom);
	bool ok = scan(&scanner, &parser, err);
	wipe_parser(&parser);
	yaml_parser_delete(&parser);
	free(scanner.frames);
	free(scanner.columns);
	if (ok)
		*comments_out = STEAL(comments);
	return ok;
}

void sops_comments_free(struct sops_comments *comments)
{
	if (!comments)
		return;
	for (size_t i = 0; i < comments->run_count; i++)
		free(comments->runs[i].marks);
	free(comments->comments);
	free(comments->marks);
	free(comments->runs);
	free(comments->documents);
	free(comments);
}
