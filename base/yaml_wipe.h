/* base/yaml_wipe.h - libyaml leaves what it read in freed memory; of secrets nothing may stay
 *
 * Called before the library's own delete functions. Header only, for the two places that parse.
 */
#pragma once
#include "base/mem.h"
#include <yaml.h>

/** Wipe the text that a scalar event holds. */
static inline void wipe_event(yaml_event_t *event)
{
	if (event->type == YAML_SCALAR_EVENT)
		explicit_bzero(event->data.scalar.value, event->data.scalar.length);
}

/** Wipe the text that a scalar token holds. */
static inline void wipe_token(yaml_token_t *token)
{
	if (token->type == YAML_SCALAR_TOKEN)
		explicit_bzero(token->data.scalar.value, token->data.scalar.length);
}

/** Wipe the input buffers of a parser and the tokens that it has not handed out. */
static inline void wipe_parser(yaml_parser_t *parser)
{
	explicit_bzero(parser->raw_buffer.start,
		(size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
	explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
	for (yaml_token_t *token = parser->tokens.head; token != parser->tokens.tail; token++)
		wipe_token(token);
}
