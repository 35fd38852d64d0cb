/* tests/lib/mustache_context.h - what the tests of templates share: contexts in JSON, partials from
 * a table that ends with a NULL name */
#pragma once
#include "templates/mustache.h"
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define OUT_MAX ((size_t)16 << 20)

struct partial {
	const char *name;
	const char *text;
};

static inline bool partial_from_table(void *data, const char *name, const char *including_file,
	const char **file_out, const char **text_out, size_t *len_out, struct error *err)
{
	(void)including_file; /* names in the tables are absolute */
	for (const struct partial *p = data; p->name; p++) {
		if (strcmp(p->name, name) != 0)
			continue;
		*file_out = p->name;
		*text_out = p->text;
		*len_out = strlen(p->text);
		return true;
	}
	return error_set(err, ERR_NOT_FOUND, "no such file");
}

static inline const struct node *json(struct arena *arena, const char *text)
{
	const struct node *node = NULL;
	struct error err;
	if (!node_parse_json(arena, "context.json", text, strlen(text), &node, &err))
		fail_msg("context %s: %s", text, err.message);
	return node;
}
