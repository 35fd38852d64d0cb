#include "server/config_file.h"

struct overlay {
	const struct config_source *source;
	struct arena *arena;
};

static const char *variable(const struct overlay *overlay, const char *name)
{
	const char *const *entry = overlay->source->environment;
	size_t len = strlen(name);
	for (; entry && *entry; entry++)
		if (!strncmp(*entry, name, len) && (*entry)[len] == '=')
			return *entry + len + 1;
	return NULL;
}

/* A flag goes before the variable of the same key. Sets the place that messages name. */
static const char * override(
	const struct overlay *overlay, const struct key *key, const char **place_out)
{
	const struct config_flags *flags = &overlay->source->flags;
	const struct {
		const char *env, *flag, *value;
	} known[] = {
		{"AVIARY_LISTEN", "--listen", flags->listen},
		{"AVIARY_STATE_DIR", "--state-dir", flags->state_dir},
		{"AVIARY_LOG_FORMAT", "--log-format", flags->log_format},
	};
	if (!key->env)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].env, key->env) || !known[i].value)
			continue;
		*place_out = known[i].flag;
		return known[i].value;
	}
	*place_out = key->env;
	return variable(overlay, key->env);
}

static const struct node *text_node(
	const struct overlay *overlay, const char *text, const char *place)
{
	struct node *node = node_new(overlay->arena, NODE_STRING, NULL);
	node->file = place;
	node->text = arena_str(overlay->arena, text);
	node->len = strlen(text);
	return node;
}

static void put(
	struct node_entry *entries, size_t *count, const char *name, const struct node *value)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(entries[i].key, name))
			continue;
		entries[i].value = value;
		return;
	}
	entries[(*count)++] =
		(struct node_entry){.key = name, .key_len = strlen(name), .value = value};
}

/* Tables are nested twice at most; the recursion is as deep as the table. */
static const struct node *overlay_map(
	const struct overlay *overlay, const struct key *keys, const struct node *map)
{
	size_t count = 0, changes = 0, most = map ? map->count : 0;
	if (map && map->kind != NODE_MAP && map->kind != NODE_NULL)
		return map;
	for (const struct key *key = keys; key->name; key++)
		most++;
	auto_free struct node_entry *entries = mem_zero(most, sizeof(*entries));
	for (; map && map->kind == NODE_MAP && count < map->count; count++)
		entries[count] = map->map[count];
	for (const struct key *key = keys; key->name; key++) {
		const struct node *old = node_get(map, key->name), *value = NULL;
		const char *place, *text = override(overlay, key, &place);
		if (key->type == KEY_MAP)
			value = overlay_map(overlay, key->keys, old);
		else if (text)
			value = text_node(overlay, text, place);
		if (!value || value == old)
			continue;
		put(entries, &count, key->name, value);
		changes++;
	}
	return changes ? node_new_map(overlay->arena, entries, count, map) : map;
}

const struct node *config_overlay(
	const struct config_source *source, const struct node *root, struct arena *arena)
{
	struct overlay overlay = {.source = source, .arena = arena};
	return overlay_map(&overlay, config_keys, root);
}
