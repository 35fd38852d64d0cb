/* Mustache templates: each input is a template and, after a NUL, the partial "p" of it. Renders
 * strict and lenient; whatever happens, output stays in its limit and errors have a place. */
#include "templates/mustache.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTPUT_LIMIT 10000

struct input {
	const char *partial;
	size_t len;
};

static bool give_partial(void *data, const char *name, const char *including_file,
	const char **file_out, const char **text_out, size_t *len_out, struct error *err)
{
	const struct input *input = data;
	(void)including_file; /* one folder */
	if (strcmp(name, "p") != 0)
		return error_set(err, ERR_NOT_FOUND, "no such file");
	*file_out = "p";
	*text_out = input->partial;
	*len_out = input->len;
	return true;
}

static const struct node *make_context(struct arena *arena)
{
	static const char json[] =
		"{\"t\": true, \"f\": false, \"n\": null, \"i\": 7, \"s\": \"a\\nb\","
		" \"h\": \"<&>\","
		" \"m\": {\"a\": {\"b\": \"c\"}}, \"l\": [1, {\"x\": \"y\"}, [2, 3]], \"e\": []}";
	const struct node *context = NULL;
	struct error err;
	bool good = node_parse_json(arena, "context", json, sizeof(json) - 1, &context, &err);
	assert(good);
	(void)good; /* with NDEBUG */
	return context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = size ? (const char *)data : "";
	const char *nul = memchr(text, '\0', size);
	size_t len = nul ? (size_t)(nul - text) : size;
	struct input input = {nul ? nul + 1 : "", nul ? size - len - 1 : 0};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *context = make_context(arena);
	for (int strict = 0; strict < 2; strict++) {
		const struct mustache_options options = {.strict = strict,
			.escape = strict ? MUSTACHE_ESCAPE_NONE : MUSTACHE_ESCAPE_HTML,
			.max_output = OUTPUT_LIMIT,
			.hooks = {.partial = give_partial, .data = &input}};
		auto_buf struct buf out = BUF_INIT(SIZE_MAX / 2);
		struct error err;
		if (!mustache_render("t", text, len, context, &options, &out, &err))
			assert(err.code == ERR_INVALID && err.where[0] && err.message[0]);
		assert(out.len <= OUTPUT_LIMIT);
	}
	return 0;
}
