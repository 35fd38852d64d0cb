/* Any bytes as a .sops.yaml, a path in a document, and a JSON value for it: no crash, no rule
 * without recipients. */
#include "reconcile/secrets/sops_config.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_rules(const char *text, size_t size)
{
	static const char *const paths[] = {"a.yaml", "clients/alpha/secrets.sops.yaml", ""};
	auto_sops_config struct sops_config *config = NULL;
	struct error err;
	if (!sops_config_parse(".sops.yaml", text, size, &config, &err))
		return;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
		if (!sops_config_rule(config, paths[i], &creation, &err))
			continue;
		if (!creation.group_count || !creation.groups[0].count || !creation.rule)
			abort();
	}
	if (sops_config_layout(config).yaml_indent > SOPS_INDENT_MAX)
		abort();
}

static void try_path(const char *text, size_t size)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct sops_source source = {SOPS_JSON, "value", text, size};
	struct sops_item *document = sops_item_new(arena, SOPS_ITEM_MAP, NULL);
	struct sops_item *value, *found;
	struct sops_path path;
	struct error err;
	bool changed;
	if (sops_json_read_value(&source, arena, &value, &err)) {
		auto_buf struct buf out = BUF_INIT((size_t)1 << 26);
		if (!sops_json_write(value, 0, &out, &err))
			abort();
	}
	if (!sops_path_parse(text, &path, &err))
		return;
	value = sops_item_new(arena, SOPS_ITEM_SCALAR, NULL);
	if (!sops_path_set(arena, document, &path, value, &changed))
		return;
	for (size_t i = 0; i < path.count; i++)
		path.steps[i].index = 0; /* past the end means appended */
	if (!sops_path_find(document, &path, &found, &err) ||
		!sops_path_unset(document, &path, &err))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = mem_dup(data, size);
	try_rules(text, size);
	try_path(text, size);
	return 0;
}
