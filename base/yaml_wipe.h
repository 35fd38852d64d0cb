/* base/yaml_wipe.h - libyaml leaves what it read in freed memory; of secrets nothing may stay
 *
 * Two ways. yaml_wipe.c takes the place of the library's own yaml_free() and yaml_realloc(), which
 * it calls through its symbol table, with ones that wipe: nothing of any parse stays. A library
 * that was linked with -Bsymbolic-functions does not see them; for it the functions below wipe
 * what can be reached, and pieces of long texts stay, which grew by being copied.
 */
#pragma once
#include "base/mem.h"
#include <yaml.h>

/** Wipe the text that a scalar event holds; before yaml_event_delete(). */
void wipe_event(yaml_event_t *event);
/** Wipe the text that a scalar token holds; before yaml_token_delete(). */
void wipe_token(yaml_token_t *token);
/** Wipe the input buffers of a parser and the tokens that it has not handed out; before
 *  yaml_parser_delete(). */
void wipe_parser(yaml_parser_t *parser);
