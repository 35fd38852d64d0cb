#include "templates/mustache_context.h"
#include "base/buf.h"

#define NAMES_MAX 4096 /* that the nearest name is looked for among */

struct mustache_lookup mustache_find(
	const struct mustache_frame *top, const struct mustache_token *token)
{
	struct mustache_lookup found = {.frame = top, .part = token->parts};
	if (!token->part_count) {
		found.value = top->value;
		return found;
	}
	while (found.frame && !(found.value = node_get(found.frame->value, found.part)))
		found.frame = found.frame->below;
	for (size_t i = 1; found.value && i < token->part_count; i++) {
		found.part += strlen(found.part) + 1;
		found.holder = found.value;
		found.value = node_get(found.holder, found.part);
	}
	return found;
}

struct names {
	const char **items;
	size_t count;
};

static void add_keys(struct names *names, const struct node *map)
{
	if (map->kind != NODE_MAP)
		return;
	for (size_t i = 0; i < map->count && names->count < NAMES_MAX; i++)
		names->items[names->count++] = map->map[i].key;
}

/* "did you mean 'secrets.mail.password'?": the name with the part that is missing replaced. */
static void hint_nearest(const struct mustache_frame *top, const struct mustache_token *token,
	const struct mustache_lookup *lookup, struct error *err)
{
	auto_free const char **items = mem_zero(NAMES_MAX, sizeof(*items));
	struct names names = {.items = items};
	size_t offset = (size_t)(lookup->part - token->parts);
	if (lookup->holder)
		add_keys(&names, lookup->holder);
	for (const struct mustache_frame *frame = top; frame && !lookup->holder;
		frame = frame->below)
		add_keys(&names, frame->value);
	const char *nearest = nearest_name(lookup->part, names.items, names.count);
	if (nearest)
		error_hint(err, "did you mean '%.*s%s%s'?", (int)offset, token->name, nearest,
			token->name + offset + strlen(lookup->part));
}

static bool is_name(const char *name)
{
	if (*name == '.' || name[strlen(name) - 1] == '.')
		return false;
	return !strpbrk(name, " \"'`|()[]{}:,;=<>!?*%$\\") && !strstr(name, "..");
}

bool mustache_explain_missing(const struct mustache_frame *top, const struct mustache_token *token,
	const struct mustache_lookup *lookup, struct error *err)
{
	if (!is_name(token->name)) {
		error_set(err, ERR_INVALID, "'%s' is not a variable's name", token->name);
		return error_hint(err, MUSTACHE_OTHER_BRACES);
	}
	int holder_len = (int)(lookup->part - token->parts - 1);
	if (lookup->holder && lookup->holder->kind != NODE_MAP) {
		error_set(err, ERR_INVALID, "unknown variable '%s': '%.*s' is a %s, not a map",
			token->name, holder_len, token->name, node_kind_name(lookup->holder->kind));
		return error_hint(
			err, "write '%.*s' alone, or make it a map", holder_len, token->name);
	}
	error_set(err, ERR_INVALID, "unknown variable '%s'", token->name);
	error_hint(err, "define it, or correct the name");
	hint_nearest(top, token, lookup, err);
	return false;
}
