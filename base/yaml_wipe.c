#include "base/yaml_wipe.h"
#include <malloc.h>

/* The names are the library's: these are found before its own. */
void yaml_free(void *memory);
void *yaml_realloc(void *memory, size_t size);

void yaml_free(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* Growing in place would do, but a copy that stays behind would not: so it always moves. */
void *yaml_realloc(void *memory, size_t size)
{
	void *moved = mem_alloc(size);
	size_t before = memory ? malloc_usable_size(memory) : 0;
	if (before)
		memcpy(moved, memory, before < size ? before : size);
	yaml_free(memory);
	return moved;
}

void wipe_event(yaml_event_t *event)
{
	if (event->type == YAML_SCALAR_EVENT)
		explicit_bzero(event->data.scalar.value, event->data.scalar.length);
}

void wipe_token(yaml_token_t *token)
{
	if (token->type == YAML_SCALAR_TOKEN)
		explicit_bzero(token->data.scalar.value, token->data.scalar.length);
}

void wipe_parser(yaml_parser_t *parser)
{
	explicit_bzero(parser->raw_buffer.start,
		(size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
	explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
	for (yaml_token_t *token = parser->tokens.head; token != parser->tokens.tail; token++)
		wipe_token(token);
}
