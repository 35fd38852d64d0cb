#include "templates/mustache_parse.h"
#include "base/utf8.h"

#define DELIMITER_MAX 16 /* bytes; nobody writes longer ones on purpose */

struct delimiter {
	char text[DELIMITER_MAX + 2]; /* one more for the '}' or '=' before a closing one */
	size_t len;
};

struct parser {
	struct arena *arena;
	struct mustache_template *template;
	struct delimiter open, close;
	struct mustache_token *tokens;
	size_t count, capacity;
	size_t sections[MUSTACHE_MAX_DEPTH]; /* indices of the open ones */
	size_t depth;
	size_t position; /* everything before it is in tokens */
	size_t counted;  /* `line` is the line of this offset */
	unsigned line;
};

/* One tag as it lies in the text. */
struct tag {
	enum mustache_tag tag;
	size_t start, end;  /* with delimiters; a standalone one has its whole line */
	const char *inside; /* between them, without sigil and blanks */
	size_t inside_len;
	size_t indentation; /* where the blanks before a standalone tag begin */
	bool standalone;
	unsigned line;
};

static void parser_clear(struct parser *parser)
{
	free(parser->tokens);
}

PRINTF(4, 5)
static bool fail(
	const struct parser *parser, unsigned line, struct error *err, const char *format, ...)
{
	char message[sizeof(err->message)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args); /* cutting is harmless here */
	va_end(args);
	error_set(err, ERR_INVALID, "%s", message);
	error_hint(err, "correct the tag; " MUSTACHE_OTHER_BRACES);
	return error_at(err, parser->template->file, line);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static unsigned line_at(struct parser *parser, size_t offset)
{
	const char *text = parser->template->text;
	while (parser->counted < offset) {
		const char *feed = memchr(text + parser->counted, '\n', offset - parser->counted);
		if (!feed) {
			parser->counted = offset;
			break;
		}
		parser->counted = (size_t)(feed - text) + 1;
		parser->line++;
	}
	return parser->line;
}

static bool is_line_start(const struct parser *parser, size_t offset)
{
	return offset == 0 || parser->template->text[offset - 1] == '\n';
}

static void delimiter_set(struct delimiter *delimiter, const char *text, size_t len)
{
	memcpy(delimiter->text, text, len);
	delimiter->text[len] = '\0';
	delimiter->len = len;
}

static const char *find(const struct parser *parser, size_t from, const struct delimiter *delimiter)
{
	const struct mustache_template *template = parser->template;
	return memmem(template->text + from, template->len - from, delimiter->text, delimiter->len);
}

static struct mustache_token *add_token(
	struct parser *parser, enum mustache_tag tag, size_t start, unsigned line)
{
	mem_grow(parser->tokens, parser->count, parser->capacity);
	struct mustache_token *token = &parser->tokens[parser->count++];
	*token = (struct mustache_token){
		.tag = tag,
		.line = line,
		.line_start = is_line_start(parser, start),
		.text = parser->template->text + start,
	};
	return token;
}

static void add_literal(struct parser *parser, size_t start, size_t end, unsigned line)
{
	if (start < end)
		add_token(parser, MUSTACHE_LITERAL, start, line)->len = end - start;
}

/* Blanks between the line's begin and the tag, and between the tag and the line's end? Then the
 * whole line is the tag's (spec: standalone). Values never are. */
static void find_standalone(const struct parser *parser, struct tag *tag)
{
	const char *text = parser->template->text;
	size_t begin = tag->start, end = tag->end, len = parser->template->len;
	if (tag->tag == MUSTACHE_VALUE || tag->tag == MUSTACHE_RAW_VALUE)
		return;
	while (begin > parser->position && (text[begin - 1] == ' ' || text[begin - 1] == '\t'))
		begin--;
	if (!is_line_start(parser, begin))
		return;
	while (end < len && (text[end] == ' ' || text[end] == '\t'))
		end++;
	if (end + 1 < len && text[end] == '\r' && text[end + 1] == '\n')
		end++;
	if (end < len && text[end] != '\n')
		return;
	tag->standalone = true;
	tag->indentation = begin;
	tag->end = end < len ? end + 1 : end;
}

static void trim(struct tag *tag)
{
	while (tag->inside_len && is_blank(tag->inside[0])) {
		tag->inside++;
		tag->inside_len--;
	}
	while (tag->inside_len && is_blank(tag->inside[tag->inside_len - 1]))
		tag->inside_len--;
}

static enum mustache_tag tag_of_sigil(char sigil)
{
	switch (sigil) {
	case '!':
		return MUSTACHE_COMMENT;
	case '=':
		return MUSTACHE_DELIMITER;
	case '#':
		return MUSTACHE_SECTION;
	case '^':
		return MUSTACHE_INVERTED;
	case '/':
		return MUSTACHE_CLOSE;
	case '>':
		return MUSTACHE_PARTIAL;
	case '{':
	case '&':
		return MUSTACHE_RAW_VALUE;
	default:
		return MUSTACHE_VALUE;
	}
}

/* Read the tag whose opening delimiter is at `start`. */
static bool read_tag(struct parser *parser, size_t start, struct tag *tag, struct error *err)
{
	const struct mustache_template *template = parser->template;
	struct delimiter close = parser->close;
	size_t inside = start + parser->open.len;
	*tag = (struct tag){.start = start, .line = line_at(parser, start)};
	size_t sigil_at = inside;
	/* `{{ #x }}` means a section in most implementations; as a name it would be none. */
	while (sigil_at < template->len && is_blank(template->text[sigil_at]))
		sigil_at++;
	char sigil = sigil_at < template->len ? template->text[sigil_at] : '\0';
	bool longer = sigil == '{' || sigil == '='; /* its closing delimiter is longer by one */
	if (longer && sigil_at > inside) {
		longer = false;
		sigil = '\0';
	}
	tag->tag = tag_of_sigil(sigil);
	if (tag->tag != MUSTACHE_VALUE)
		inside = sigil_at + 1;
	if (longer) {
		close.text[0] = sigil == '{' ? '}' : '=';
		memcpy(close.text + 1, parser->close.text, parser->close.len + 1);
		close.len++;
	}
	const char *end = find(parser, inside, &close);
	if (!end)
		return fail(parser, tag->line, err, "tag is not closed: no '%s' after this '%s'",
			close.text, parser->open.text);
	tag->inside = template->text + inside;
	tag->inside_len = (size_t)(end - tag->inside);
	tag->end = (size_t)(end - template->text) + close.len;
	trim(tag);
	find_standalone(parser, tag);
	return true;
}

static bool set_delimiters(struct parser *parser, const struct tag *tag, struct error *err)
{
	size_t first = 0, second;
	while (first < tag->inside_len && !is_blank(tag->inside[first]))
		first++;
	second = first;
	while (second < tag->inside_len && is_blank(tag->inside[second]))
		second++;
	size_t second_len = tag->inside_len - second;
	bool good = first && second_len && first <= DELIMITER_MAX && second_len <= DELIMITER_MAX;
	for (size_t i = 0; good && i < tag->inside_len; i++)
		good = tag->inside[i] != '=' && tag->inside[i] != '\0' &&
		       (i < second || !is_blank(tag->inside[i]));
	if (!good || !utf8_valid(tag->inside, tag->inside_len)) {
		fail(parser, tag->line, err, "delimiters cannot be read");
		return error_hint(err,
			"write two words without '=', at most %d bytes each: '{{=<%% %%>=}}'",
			DELIMITER_MAX);
	}
	delimiter_set(&parser->open, tag->inside, first);
	delimiter_set(&parser->close, tag->inside + second, second_len);
	return true;
}

static bool check_name(const struct parser *parser, const struct tag *tag, struct error *err)
{
	if (!tag->inside_len)
		return fail(parser, tag->line, err, "tag without a name");
	if (tag->inside_len > MUSTACHE_MAX_NAME)
		return fail(parser, tag->line, err, "a name is longer than %d bytes",
			MUSTACHE_MAX_NAME);
	for (size_t i = 0; i < tag->inside_len; i++)
		if ((unsigned char)tag->inside[i] < ' ' || tag->inside[i] == 0x7F)
			return fail(parser, tag->line, err,
				"a line break or control character in a name");
	if (!utf8_valid(tag->inside, tag->inside_len))
		return fail(parser, tag->line, err, "a name is not UTF-8");
	char first = tag->inside[0];
	if (tag->tag == MUSTACHE_VALUE && (first == '<' || first == '$'))
		return fail(parser, tag->line, err, "template inheritance is not supported ('%c')",
			first);
	if (tag->tag == MUSTACHE_PARTIAL && first == '*')
		return fail(parser, tag->line, err, "dynamic partial names are not supported");
	return true;
}

static void set_name(struct parser *parser, struct mustache_token *token, const struct tag *tag)
{
	token->name = arena_dup(parser->arena, tag->inside, tag->inside_len);
	if (!strcmp(token->name, "."))
		return;
	token->parts = arena_dup(parser->arena, tag->inside, tag->inside_len);
	token->part_count = 1;
	for (char *c = token->parts; c < token->parts + tag->inside_len; c++) {
		if (*c != '.')
			continue;
		*c = '\0';
		token->part_count++;
	}
}

static bool open_section(struct parser *parser, unsigned line, struct error *err)
{
	if (parser->depth == MUSTACHE_MAX_DEPTH)
		return fail(parser, line, err, "sections are nested deeper than %d",
			MUSTACHE_MAX_DEPTH);
	parser->sections[parser->depth++] = parser->count - 1;
	return true;
}

static bool close_section(struct parser *parser, unsigned line, struct error *err)
{
	const char *name = parser->tokens[parser->count - 1].name;
	if (!parser->depth)
		return fail(parser, line, err, "'/%s' closes a section that is not open", name);
	struct mustache_token *section = &parser->tokens[parser->sections[--parser->depth]];
	if (strcmp(section->name, name) != 0)
		return fail(parser, line, err, "'/%s' closes the section '%s' of line %u", name,
			section->name, section->line);
	section->end = parser->count - 1;
	return true;
}

static bool add_tag(struct parser *parser, const struct tag *tag, struct error *err)
{
	if (tag->tag == MUSTACHE_COMMENT || tag->tag == MUSTACHE_DELIMITER) {
		/* At the start of a line that goes on it leaves an empty literal, so that an
		 * indented partial still indents that line. */
		if (!tag->standalone && is_line_start(parser, tag->start))
			add_token(parser, MUSTACHE_LITERAL, tag->start, tag->line);
		return tag->tag == MUSTACHE_COMMENT || set_delimiters(parser, tag, err);
	}
	if (!check_name(parser, tag, err))
		return false;
	struct mustache_token *token = add_token(parser, tag->tag, tag->start, tag->line);
	set_name(parser, token, tag);
	if (tag->standalone) {
		token->standalone = true;
		token->line_start = false;
		token->text = parser->template->text + tag->indentation;
		token->len = tag->start - tag->indentation;
	}
	if (tag->tag == MUSTACHE_SECTION || tag->tag == MUSTACHE_INVERTED)
		return open_section(parser, tag->line, err);
	return tag->tag != MUSTACHE_CLOSE || close_section(parser, tag->line, err);
}

static bool parse_tokens(struct parser *parser, struct error *err)
{
	const struct mustache_template *template = parser->template;
	const char *open;
	while ((open = find(parser, parser->position, &parser->open))) {
		struct tag tag;
		size_t start = (size_t)(open - template->text);
		unsigned line = line_at(parser, parser->position);
		if (!read_tag(parser, start, &tag, err))
			return false;
		add_literal(
			parser, parser->position, tag.standalone ? tag.indentation : start, line);
		if (!add_tag(parser, &tag, err))
			return false;
		parser->position = tag.end;
	}
	add_literal(parser, parser->position, template->len, line_at(parser, parser->position));
	if (!parser->depth)
		return true;
	const struct mustache_token *section = &parser->tokens[parser->sections[parser->depth - 1]];
	return fail(parser, section->line, err, "section '%s' is not closed", section->name);
}

bool mustache_parse(struct arena *arena, struct mustache_template *template, struct error *err)
{
	CLEANUP(parser_clear)
	struct parser parser = {
		.arena = arena,
		.template = template,
		.open = {"{{", 2},
		.close = {"}}", 2},
		.line = 1,
	};
	if (!parse_tokens(&parser, err))
		return false;
	template->count = parser.count;
	template->tokens = arena_array(arena, parser.count, sizeof(*parser.tokens));
	if (parser.count)
		memcpy(template->tokens, parser.tokens, parser.count * sizeof(*parser.tokens));
	return true;
}
