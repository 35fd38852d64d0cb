#include "reconcile/secrets/sops_metadata.h"
#include "base/buf.h"

static const char *const other_kinds[] = {"pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"};

/* A list's length; null, missing and empty count as nothing. */
static bool list_count(
	const struct node *map, const char *name, size_t *count_out, struct error *err)
{
	const struct node *list = node_get(map, name);
	*count_out = 0;
	if (!list || list->kind == NODE_NULL || (list->kind == NODE_STRING && !list->len))
		return true;
	if (list->kind != NODE_LIST)
		return node_error(err, list, "'sops.%s' is no list", name);
	if (list->count > SOPS_MAX_ENTRIES)
		return node_error(err, list, "'sops.%s' has more than the limit of %d entries",
			name, SOPS_MAX_ENTRIES);
	*count_out = list->count;
	return true;
}

static bool read_age_entry(const struct node *node, struct sops_age_entry *entry, struct error *err)
{
	const struct node *enc = node_get(node, "enc");
	const struct node *recipient = node_get(node, "recipient");
	if (node->kind != NODE_MAP || !enc || enc->kind != NODE_STRING)
		return node_error(err, node, "entry of 'sops.age' has no 'enc'");
	*entry = (struct sops_age_entry){
		.recipient = recipient && recipient->text ? recipient->text : "",
		.enc = enc->text,
		.enc_len = enc->len,
	};
	return true;
}

static bool read_group(
	struct arena *arena, const struct node *map, struct sops_group *group, struct error *err)
{
	const struct node *age = node_get(map, "age");
	if (!list_count(map, "age", &group->age_count, err))
		return false;
	group->age = arena_array(arena, group->age_count, sizeof(*group->age));
	for (size_t i = 0; i < group->age_count; i++) {
		if (!read_age_entry(age->items[i], &group->age[i], err))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(other_kinds); i++) {
		size_t count;
		if (!list_count(map, other_kinds[i], &count, err))
			return false;
		if (count && !group->other_kind)
			group->other_kind = other_kinds[i];
		group->other_count += count;
	}
	return true;
}

static bool read_key_groups(struct arena *arena, const struct node *list,
	struct sops_metadata *metadata, struct error *err)
{
	size_t count;
	if (!list_count(metadata->node, "key_groups", &count, err))
		return false;
	if (!count)
		return node_error(err, metadata->node, "'sops' has no keys");
	metadata->groups = arena_array(arena, count, sizeof(*metadata->groups));
	metadata->group_count = count;
	for (size_t i = 0; i < count; i++) {
		if (list->items[i]->kind != NODE_MAP)
			return node_error(
				err, list->items[i], "entry of 'sops.key_groups' is no map");
		if (!read_group(arena, list->items[i], &metadata->groups[i], err))
			return false;
	}
	return true;
}

/* Key lists at the top count as one group and hide `key_groups`. */
static bool read_groups(struct arena *arena, struct sops_metadata *metadata, struct error *err)
{
	struct sops_group *group = arena_alloc(arena, sizeof(*group));
	if (!read_group(arena, metadata->node, group, err))
		return false;
	if (!group->age_count && !group->other_count)
		return read_key_groups(
			arena, node_get(metadata->node, "key_groups"), metadata, err);
	metadata->groups = group;
	metadata->group_count = 1;
	return true;
}

static bool read_threshold(struct sops_metadata *metadata, struct error *err)
{
	const struct node *node = node_get(metadata->node, "shamir_threshold");
	char *end = NULL;
	if (!node || node->kind == NODE_NULL)
		return true;
	if (node->text)
		metadata->shamir_threshold = strtoll(node->text, &end, 10);
	if (!end || end == node->text || *end || metadata->shamir_threshold < 0 ||
		metadata->shamir_threshold > 255)
		return node_error(err, node, "'sops.shamir_threshold' is no number from 0 to 255");
	return true;
}

/* Types are converted weakly: "true" is true. */
static bool read_mac_only(struct sops_metadata *metadata, struct error *err)
{
	const struct node *node = node_get(metadata->node, "mac_only_encrypted");
	if (!node || node->kind == NODE_NULL)
		return true;
	const char *text = node->text ? node->text : "?";
	metadata->mac_only_encrypted = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
	if (!metadata->mac_only_encrypted && *text && strcasecmp(text, "false") != 0 &&
		strcmp(text, "0") != 0)
		return node_error(err, node, "'sops.mac_only_encrypted' is neither true nor false");
	return true;
}

static bool read_last_modified(struct sops_metadata *metadata, struct error *err)
{
	const struct node *node = node_get(metadata->node, "lastmodified");
	if (!node || !node->text ||
		!sops_time_format(node->text, SOPS_TIME_RFC3339, false, metadata->last_modified))
		return node_error(err, node ? node : metadata->node,
			"'sops.lastmodified' is no RFC 3339 time");
	return true;
}

bool sops_metadata_read(struct arena *arena, const struct node *sops,
	struct sops_metadata *metadata_out, struct error *err)
{
	*metadata_out = (struct sops_metadata){.node = sops};
	if (sops->kind != NODE_MAP)
		return node_error(err, sops, "'sops' is no map");
	const struct node *mac = node_get(sops, "mac");
	if (mac && mac->kind == NODE_STRING && mac->len)
		metadata_out->mac = mac;
	return read_last_modified(metadata_out, err) && read_groups(arena, metadata_out, err) &&
	       read_threshold(metadata_out, err) && read_mac_only(metadata_out, err) &&
	       sops_rules_read(sops, &metadata_out->rules, err);
}

void sops_metadata_clear(struct sops_metadata *metadata)
{
	sops_rules_clear(&metadata->rules);
}
