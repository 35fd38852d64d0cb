/* Any bytes as the `sops` entry of a file: as a YAML map, and as flattened lines of dotenv. What
 * passes the check has keys, and is, flattened and built again, the same entry. */
#include "reconcile/secrets/sops_config.h"
#include "reconcile/secrets/sops_flat.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_metadata_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct sops_metadata *a, const struct sops_metadata *b)
{
	if (a->group_count != b->group_count || a->shamir_threshold != b->shamir_threshold ||
		a->mac_only_encrypted != b->mac_only_encrypted || !a->mac != !b->mac ||
		strcmp(a->last_modified, b->last_modified) != 0)
		abort();
	for (size_t i = 0; i < a->group_count; i++) {
		const struct sops_group *one = &a->groups[i], *other = &b->groups[i];
		if (one->age_count != other->age_count || one->other_count != other->other_count)
			abort();
	}
}

static const struct node *child(const struct node *node, size_t i)
{
	return node->kind == NODE_MAP ? node->map[i].value : node->items[i];
}

static bool has_value(const struct node *node)
{
	if (node->kind != NODE_MAP && node->kind != NODE_LIST)
		return node->kind != NODE_NULL;
	for (size_t i = 0; i < node->count; i++)
		if (has_value(child(node, i)))
			return true;
	return false;
}

/* Such a map has no lines when it is flattened, and is lost: a group without keys, a key without
 * fields. */
static bool has_hollow_map(const struct node *node)
{
	if (node->kind != NODE_MAP && node->kind != NODE_LIST)
		return false;
	if (node->kind == NODE_MAP && !has_value(node))
		return true;
	for (size_t i = 0; i < node->count; i++)
		if (has_hollow_map(child(node, i)))
			return true;
	return false;
}

/* As a file of dotenv or ini has it. */
static void check_flat(struct arena *arena, const struct sops_metadata *metadata)
{
	auto_sops_metadata struct sops_metadata again = {0};
	const struct node *built = sops_metadata_build(arena, metadata->node, NULL, 0), *map;
	struct sops_item *flat = sops_item_new(arena, SOPS_ITEM_MAP, built);
	struct error err;
	sops_flatten(arena, built, "", true, flat);
	if (!sops_unflatten(arena, flat, &map, &err))
		return; /* an item of a list that has no entries leaves a gap, which is refused */
	if (!sops_metadata_read(arena, map, &again, &err)) {
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
	check_same(metadata, &again);
}

static void check(struct arena *arena, const struct node *sops)
{
	auto_sops_metadata struct sops_metadata metadata = {0};
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	struct error err = {.message = ""};
	if (!sops_metadata_read(arena, sops, &metadata, &err)) {
		if (!*err.message)
			abort();
		return;
	}
	if (!metadata.group_count || !*metadata.last_modified)
		abort();
	for (size_t i = 0; i < metadata.group_count; i++) {
		if (metadata.groups[i].age_count > SOPS_MAX_ENTRIES)
			abort();
	}
	sops_metadata_creation(&metadata, &creation);
	if (!has_hollow_map(metadata.node))
		check_flat(arena, &metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct node_options options = {.rules = NODE_SOPS};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const char *text = (const char *)data;
	const struct sops_source source = {SOPS_DOTENV, "f.env", text, size};
	struct sops_item *lines;
	const struct node *node;
	struct error err;
	if (node_parse_yaml(arena, "f.yaml", text, size, &options, &node, &err))
		check(arena, node);
	if (sops_dotenv_read(&source, arena, &lines, &err) && lines->count &&
		sops_unflatten(arena, lines, &node, &err))
		check(arena, node);
	return 0;
}
