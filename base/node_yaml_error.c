#include "base/node_yaml_error.h"
#include "base/utf8.h"

static size_t line_of_byte(const struct node_input *input, size_t offset)
{
	size_t line = 1;
	for (size_t i = 0; i < offset && i < input->len; i++)
		line += input->bytes[i] == '\n' ||
			(input->bytes[i] == '\r' &&
				(i + 1 == input->len || input->bytes[i + 1] != '\n'));
	return line;
}

/* The character at a mark, whose index counts characters where we have bytes; NUL past the end. */
static char char_at(const struct node_input *input, const yaml_mark_t *mark)
{
	size_t at = 0;
	for (size_t i = 0; i < mark->index && at < input->len; i++) {
		size_t width = utf8_width(input->bytes + at, input->len - at);
		at += width ? width : 1;
	}
	return at < input->len ? input->bytes[at] : '\0';
}

static void add_hint(const yaml_parser_t *parser, const struct node_input *input, struct error *err)
{
	static const struct {
		const char *problem, *hint;
	} hints[] = {
		{"mapping values are not allowed", "quote a text that contains ': '"},
		{"could not find expected ':'", "write 'key: value', with a space after the colon"},
		{"did not find expected key", "check the indentation of this line and those above"},
		{"found unexpected end of stream", "close the quotation mark or bracket"},
		{"found unknown escape character",
			"in double quotes a backslash is written '\\\\'"},
	};
	char at = char_at(input, &parser->problem_mark);
	if (at == '\t')
		(void)error_hint(err, "indent with spaces, not with tabs");
	else if (at == '@' || at == '`' || at == '%')
		(void)error_hint(err, "quote a text that begins with '%c'", at);
	for (size_t i = 0; i < ARRAY_LEN(hints) && parser->problem && !err->hint[0]; i++)
		if (strstr(parser->problem, hints[i].problem))
			(void)error_hint(err, "%s", hints[i].hint);
}

bool node_yaml_error(const yaml_parser_t *parser, const struct node_input *input, struct error *err)
{
	const char *problem = parser->problem ? parser->problem : "unknown problem";
	if (parser->error == YAML_MEMORY_ERROR)
		mem_abort(0);
	if (parser->error == YAML_READER_ERROR) {
		/* Marks are not kept up by the reader; the offset is the exact byte. */
		error_set(err, ERR_INVALID, "not a UTF-8 text: %s", problem);
		return error_at(
			err, input->file, (unsigned)line_of_byte(input, parser->problem_offset));
	}
	if (parser->context)
		error_set(err, ERR_INVALID, "not valid YAML: %s, %s in line %zu", problem,
			parser->context, parser->context_mark.line + 1);
	else
		error_set(err, ERR_INVALID, "not valid YAML: %s", problem);
	error_at(err, input->file, (unsigned)parser->problem_mark.line + 1);
	add_hint(parser, input, err);
	return false;
}
